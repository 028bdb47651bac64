//! What the mining thread and the readers share.

use std::{
    collections::VecDeque,
    sync::{Arc, PoisonError, RwLock},
    time::{SystemTime, UNIX_EPOCH},
};

use alloy::primitives::{B256, Bytes, keccak256};
use dm_core::ports::WriteBatch;
use revm::{bytecode::Bytecode, state::AccountInfo};

use super::{
    EmbeddedChainError, Genesis,
    block::Block,
    builder::{self, Draft},
    queue::MiningQueue,
    state::{BlockState, Layer, PresentState, StateView},
    storage::ChainStore,
};

/// Newest blocks whose state can be read.
const READABLE_STATES: usize = 64;

/// A block whose state can be read.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) block: Block,
    /// Tip per gas and gas used of each of its transactions; `None` for the
    /// block with which the chain was opened.
    pub(super) tips: Option<Vec<(u128, u64)>>,
    layer: Arc<Layer>,
}

/// The chain: its state, its newest blocks, and what waits to be mined.
pub(super) struct Chain {
    pub(super) chain_id: u64,
    pub(super) queue: MiningQueue,
    state: Arc<PresentState>,
    heads: RwLock<Heads>,
}

/// The blocks whose state can be read.
struct Heads {
    newest: Arc<Head>,
    /// Those before the newest, in their order.
    older: VecDeque<Arc<Head>>,
}

impl Heads {
    fn push(&mut self, head: Head) {
        let before = std::mem::replace(&mut self.newest, Arc::new(head));
        self.older.push_back(before);
        if self.older.len() >= READABLE_STATES {
            self.older.pop_front();
        }
    }

    fn get(&self, number: u64) -> Option<Arc<Head>> {
        let depth = usize::try_from(self.newest.block.header.number.checked_sub(number)?).ok()?;
        match depth {
            0 => Some(Arc::clone(&self.newest)),
            _ => self.older.get(self.older.len().checked_sub(depth)?).cloned(),
        }
    }
}

impl Chain {
    /// Continues the chain in the store, or begins one there. Takes the same
    /// time at any height.
    pub(super) fn open(store: ChainStore, genesis: &Genesis) -> Result<Self, EmbeddedChainError> {
        let state = Arc::new(PresentState::new(store));
        let block = match state.store().head()? {
            Some((found, _)) if found != genesis.chain_id => {
                return Err(EmbeddedChainError::WrongChain {
                    expected: genesis.chain_id,
                    found,
                });
            }
            Some((_, number)) => state
                .store()
                .block(number)?
                .ok_or(EmbeddedChainError::Damaged("the newest block is missing"))?,
            None => begin(&state, genesis)?,
        };
        let newest = Arc::new(Head {
            block,
            tips: None,
            layer: Arc::default(),
        });
        Ok(Self {
            chain_id: genesis.chain_id,
            queue: MiningQueue::default(),
            state,
            heads: RwLock::new(Heads {
                newest,
                older: VecDeque::new(),
            }),
        })
    }

    /// The newest block.
    pub(super) fn head(&self) -> Arc<Head> {
        Arc::clone(&self.heads.read().unwrap_or_else(PoisonError::into_inner).newest)
    }

    /// One of the newest blocks, while its state can still be read.
    pub(super) fn recent(&self, number: u64) -> Option<Arc<Head>> {
        self.heads
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(number)
    }

    /// The state after a block.
    pub(super) fn view(&self, head: &Head) -> StateView {
        StateView::new(Arc::clone(&self.state), Arc::clone(&head.layer))
    }

    pub(super) fn store(&self) -> &ChainStore {
        self.state.store()
    }

    /// Makes a block part of the chain: on the disk first, then for all
    /// readers. `commit` returns whether the block is durable.
    pub(super) fn append(
        &self,
        draft: Draft,
        commit: impl FnOnce(&WriteBatch) -> bool,
    ) -> Result<bool, EmbeddedChainError> {
        let Draft {
            block,
            transactions,
            changes,
            replaced,
            ..
        } = draft;
        let batch = ChainStore::batch(self.chain_id, &block, &transactions, &changes)?;
        let layer = self.head().layer.link(replaced);
        if !commit(&batch) {
            return Ok(false);
        }
        self.state.apply(changes);
        let base_fee = block.base_fee();
        let tips = transactions
            .iter()
            .map(|mined| (mined.tip(base_fee), mined.gas_used))
            .collect();
        self.heads
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .push(Head {
                block,
                tips: Some(tips),
                layer,
            });
        Ok(true)
    }
}

/// Writes block 0.
fn begin(state: &Arc<PresentState>, genesis: &Genesis) -> Result<Block, EmbeddedChainError> {
    let mut accounts = BlockState::new(StateView::new(Arc::clone(state), Arc::default()));
    for (address, balance) in genesis.balances() {
        accounts.put(address, AccountInfo::from_balance(balance));
    }
    for (address, nonce) in genesis.nonces() {
        accounts.put(address, AccountInfo::default().with_nonce(nonce));
    }
    for (address, code) in genesis.contracts() {
        let hash = keccak256(&code);
        let code = Bytecode::new_legacy(code);
        accounts.put(address, AccountInfo::default().with_code_and_hash(code, hash));
    }
    let (timestamp, mark) = match genesis.timestamp {
        Some(timestamp) => (timestamp, Bytes::new()),
        None => (now(), Bytes::from(B256::random())),
    };
    let draft = builder::genesis(accounts, timestamp, mark)?;
    state.store().commit(ChainStore::batch(
        genesis.chain_id,
        &draft.block,
        &[],
        &draft.changes,
    )?)?;
    state.apply(draft.changes);
    Ok(draft.block)
}

/// Seconds since the Unix epoch.
pub(super) fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs()
}
