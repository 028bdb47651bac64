//! Sending transactions, and finding them again.

use alloy::{
    primitives::{B256, Bytes},
    rpc::types::{self, TransactionReceipt},
};
use tokio::sync::oneshot;

use super::{Params, RpcError, blocks, convert};
use crate::embedded::{
    EmbeddedChainError,
    admission::{AdmissionError, admit},
    block::{Block, MinedTransaction},
    chain::Chain,
};

/// A transaction that waits for its block.
pub(super) struct Submitted {
    pub(super) hash: B256,
    /// Hears when it is mined; `None` where earlier transactions of its sender are missing.
    pub(super) mined: Option<oneshot::Receiver<()>>,
}

pub(super) fn send_raw(chain: &Chain, params: &Params<'_>) -> Result<Submitted, RpcError> {
    let raw: Bytes = params.required(0)?;
    let candidate = admit(chain, &raw)?;
    let (hash, sender, nonce) = {
        use alloy::consensus::Transaction;
        (
            candidate.hash(),
            candidate.transaction.signer(),
            candidate.transaction.nonce(),
        )
    };
    // Mined already, but admitted against the block before.
    if chain.store().transaction_place(&hash)?.is_some() {
        return Err(RpcError::refused("already known"));
    }
    let next = chain
        .view(&chain.head())
        .account(&sender)?
        .unwrap_or_default()
        .nonce;
    if chain.queue.is_closed() {
        return Err(AdmissionError::Closed.into());
    }
    let (mined, is_ready) = chain.queue.change(|waiting| {
        let mined = waiting.pool.insert(candidate)?;
        Ok::<_, AdmissionError>((mined, waiting.pool.next_nonce(&sender, next) > nonce))
    })?;
    Ok(Submitted {
        hash,
        mined: is_ready.then_some(mined),
    })
}

pub(super) fn by_hash(chain: &Chain, params: &Params<'_>) -> Result<Option<types::Transaction>, RpcError> {
    let hash: B256 = params.required(0)?;
    if let Some((mined, block, index)) = find(chain, &hash)? {
        return Ok(Some(convert::transaction(mined, &block, index)));
    }
    let waiting = chain.queue.lock().pool.get(&hash);
    Ok(waiting.map(|candidate| {
        types::Transaction::from_transaction(candidate.transaction.clone(), Default::default())
    }))
}

pub(super) fn receipt(chain: &Chain, hash: &B256) -> Result<Option<TransactionReceipt>, RpcError> {
    let found = find(chain, hash)?;
    Ok(found.map(|(mined, block, index)| convert::receipt(&mined, &block, index)))
}

fn find(chain: &Chain, hash: &B256) -> Result<Option<(MinedTransaction, Block, u32)>, EmbeddedChainError> {
    let Some((number, index)) = chain.store().transaction_place(hash)? else {
        return Ok(None);
    };
    let Some(block) = blocks::visible(chain, number)? else {
        return Ok(None);
    };
    let mined = chain.store().transaction(number, index)?;
    Ok(mined.map(|mined| (mined, block, index)))
}
