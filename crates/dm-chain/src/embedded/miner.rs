//! The thread that mines: one block of everything that waits, durable before
//! anybody hears of it, then the next.

use std::{collections::HashMap, sync::Arc, time::Duration};

use alloy::primitives::B256;
use dm_core::ports::WriteBatch;

use super::{
    EmbeddedChainError, builder,
    chain::{Chain, now},
    evm::BLOCK_GAS_LIMIT,
    pool::Selection,
};

/// Transactions that a block can hold: each uses at least 21,000 gas.
const MAX_TRANSACTIONS: usize = (BLOCK_GAS_LIMIT / 21_000) as usize;
/// Pause after the store failed for the first time.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// Longest pause between two attempts.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Mines until the queue is closed.
pub(super) fn run(chain: &Chain) {
    let mut seen = 0;
    while let Some(changes) = chain.queue.wait_for_change(seen) {
        seen = changes;
        mine_all(chain);
    }
}

/// Mines until nothing is left that could be mined.
fn mine_all(chain: &Chain) {
    let mut pause = FIRST_PAUSE;
    while !chain.queue.is_closed() {
        match mine(chain) {
            Ok(true) => pause = FIRST_PAUSE,
            Ok(false) => return,
            Err(error) => {
                tracing::error!(%error, "cannot mine, trying again");
                chain.queue.pause(pause);
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
    }
}

/// Mines one block, if there is a reason for one.
fn mine(chain: &Chain) -> Result<bool, EmbeddedChainError> {
    let head = chain.head();
    let selection = select(chain)?;
    let forced = std::mem::take(&mut chain.queue.lock().forced);
    // Where everything that waits offers too little, an empty block lowers the base fee.
    if selection.candidates.is_empty() && !selection.underpriced && forced.is_empty() {
        return Ok(false);
    }
    let draft = builder::build(
        chain.chain_id,
        &head.block,
        chain.view(&head),
        &selection.candidates,
        now(),
    )?;
    reject(chain, &draft.rejected);
    if draft.transactions.is_empty() && !selection.underpriced && forced.is_empty() {
        return Ok(true);
    }
    let mined: Vec<_> = draft
        .transactions
        .iter()
        .map(|mined| *mined.transaction.inner().tx_hash())
        .collect();
    let appended = chain.append(draft, |batch| commit(chain, batch))?;
    if appended {
        chain.queue.lock().pool.mined(mined);
        for done in forced {
            // Nobody may be waiting any more.
            let _ = done.send(());
        }
    }
    Ok(appended)
}

fn reject(chain: &Chain, hashes: &[B256]) {
    let mut waiting = chain.queue.lock();
    hashes.iter().for_each(|hash| waiting.pool.reject(hash));
}

fn select(chain: &Chain) -> Result<Selection, EmbeddedChainError> {
    let senders = chain.queue.lock().pool.senders();
    let head = chain.head();
    let view = chain.view(&head);
    let nonces = senders
        .into_iter()
        .map(|sender| Ok((sender, view.account(&sender)?.map_or(0, |account| account.nonce))))
        .collect::<Result<HashMap<_, _>, EmbeddedChainError>>()?;
    Ok(chain
        .queue
        .lock()
        .pool
        .select(&nonces, head.block.next_base_fee(), MAX_TRANSACTIONS))
}

/// Writes the block until it is durable. The same batch is written again after
/// a failure: nobody knows how much of it had arrived.
fn commit(chain: &Chain, batch: &WriteBatch) -> bool {
    let mut pause = FIRST_PAUSE;
    while let Err(error) = chain.store().commit(batch.clone()) {
        tracing::error!(%error, "cannot store a block, trying again");
        chain.queue.pause(pause);
        pause = (pause * 2).min(LONGEST_PAUSE);
        if chain.queue.is_closed() {
            return false;
        }
    }
    true
}

/// Starts the thread.
pub(super) fn start(chain: Arc<Chain>) -> Result<std::thread::JoinHandle<()>, EmbeddedChainError> {
    std::thread::Builder::new()
        .name("embedded-chain".to_owned())
        .spawn(move || run(&chain))
        .map_err(EmbeddedChainError::Thread)
}
