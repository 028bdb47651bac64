//! A chain with the anchor contract, simulated as far as the log can see it.

use std::sync::{Arc, Mutex, MutexGuard};

use async_trait::async_trait;
use ct_merkle::{ConsistencyProof, RootHash};
use dm_compliance::verify_offline;
use dm_core::{
    Address, B256,
    ports::{AnchorHead, AnchorRequest, Anchors, ChainError},
    receipt::{Anchor, Checkpoint, Receipt},
};
use sha2::Sha256;
use tokio::sync::watch;

/// The operator account in all tests.
pub const ACCOUNT: Address = Address::repeat_byte(0xAC);
/// The chain's id.
pub const CHAIN_ID: u64 = 31_337;
const CONTRACT: Address = Address::repeat_byte(0xC0);

/// Clones are the same chain.
#[derive(Clone)]
pub struct SimulatedChain {
    state: Arc<Mutex<State>>,
    /// Counts everything that happens, so that it can be awaited.
    changes: watch::Sender<u64>,
}

#[derive(Default)]
struct State {
    height: u64,
    /// Accepted anchors, oldest first.
    accepted: Vec<(Checkpoint, Anchor)>,
    refused: Vec<B256>,
    mempool: Vec<(B256, AnchorRequest)>,
    submitted: u64,
    is_away: bool,
    holds_back: bool,
    /// Blocks by which the endpoints are behind.
    lag: u64,
}

impl State {
    /// The accepted anchors that a lagging endpoint knows.
    fn seen(&self) -> impl DoubleEndedIterator<Item = &(Checkpoint, Anchor)> {
        let height = self.height.saturating_sub(self.lag);
        self.accepted
            .iter()
            .filter(move |(_, anchor)| anchor.block <= height)
    }

    fn head(&self) -> Option<Checkpoint> {
        self.accepted.last().map(|(checkpoint, _)| *checkpoint)
    }

    /// What the contract demands.
    fn check(&self, request: &AnchorRequest) -> Result<(), ChainError> {
        let root =
            |checkpoint: Checkpoint| RootHash::<Sha256>::new(checkpoint.root.0.into(), checkpoint.size);
        let refused = |reason: &str| Err(ChainError::Reverted(reason.to_owned()));
        if request.previous != self.head() {
            return refused("not the newest checkpoint");
        }
        let Some(previous) = request.previous else {
            return Ok(());
        };
        let proof = ConsistencyProof::try_from_bytes(request.consistency_proof.concat()).unwrap();
        if request.next.size <= previous.size
            || root(request.next)
                .verify_consistency(&root(previous), &proof)
                .is_err()
        {
            return refused("inconsistent");
        }
        Ok(())
    }

    fn mine(&mut self) {
        self.height += 1;
        for (tx_hash, request) in std::mem::take(&mut self.mempool) {
            match self.check(&request) {
                Ok(()) => self.accepted.push((request.next, self.anchor(tx_hash))),
                Err(_) => self.refused.push(tx_hash),
            }
        }
    }

    fn anchor(&self, tx_hash: B256) -> Anchor {
        Anchor {
            chain_id: CHAIN_ID,
            contract: CONTRACT,
            tx_hash,
            block: self.height,
            timestamp: 1_800_000_000 + self.height,
        }
    }
}

impl SimulatedChain {
    pub fn new() -> Self {
        Self {
            state: Arc::default(),
            changes: watch::Sender::new(0),
        }
    }

    /// An operator's way to the chain.
    pub fn endpoint(&self) -> Endpoint {
        Endpoint {
            chain: self.clone(),
            is_frozen: watch::Sender::new(false),
        }
    }

    pub fn set_away(&self, is_away: bool) {
        self.change(|state| state.is_away = is_away);
    }

    /// Transactions wait from now on until [`Self::mine`].
    pub fn hold_back(&self) {
        self.change(|state| state.holds_back = true);
    }

    /// Mines what waits, and from now on at once.
    pub fn mine(&self) {
        self.change(|state| {
            state.holds_back = false;
            state.mine();
        });
    }

    /// Refuses what waits, and from now on mines at once.
    pub fn refuse_waiting(&self) {
        self.change(|state| {
            state.holds_back = false;
            let waiting = std::mem::take(&mut state.mempool);
            state
                .refused
                .extend(waiting.into_iter().map(|(tx_hash, _)| tx_hash));
        });
    }

    /// Lets every endpoint be this many blocks behind in what it answers.
    pub fn set_lag(&self, lag: u64) {
        self.change(|state| state.lag = lag);
    }

    /// Mines empty blocks.
    pub fn grow(&self, blocks: u64) {
        self.change(|state| state.height += blocks);
    }

    /// Takes the last anchors off the chain.
    pub fn reorganise(&self, anchors: usize) {
        self.change(|state| {
            let left = state.accepted.len() - anchors;
            state.accepted.truncate(left);
            state.height += 1;
        });
    }

    /// Moves the last anchor to another block.
    pub fn move_last_anchor(&self) {
        self.change(|state| {
            state.height += 1;
            let (checkpoint, anchor) = state.accepted.pop().unwrap();
            let moved = state.anchor(anchor.tx_hash);
            state.accepted.push((checkpoint, moved));
        });
    }

    /// Begins anew.
    pub fn wipe(&self) {
        self.change(|state| {
            state.accepted.clear();
            state.height = 0;
        });
    }

    /// Lets somebody else with the same account anchor another history.
    pub fn anchor_foreign(&self) {
        self.change(|state| {
            let size = state.head().map_or(0, |head| head.size) + 1;
            let foreign = Checkpoint {
                size,
                root: B256::repeat_byte(0xFF),
            };
            state.height += 1;
            let anchor = state.anchor(B256::repeat_byte(0xFE));
            state.accepted.push((foreign, anchor));
        });
    }

    /// Accepted anchors, oldest first.
    pub fn accepted(&self) -> Vec<(Checkpoint, Anchor)> {
        self.lock().accepted.clone()
    }

    /// How many transactions were ever sent.
    pub fn submitted(&self) -> u64 {
        self.lock().submitted
    }

    /// Waits until this many transactions were sent.
    pub async fn until_submitted(&self, count: u64) {
        let mut changes = self.changes.subscribe();
        while self.submitted() < count {
            changes.changed().await.unwrap();
        }
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let changed = change(&mut self.lock());
        self.changes.send_modify(|changes| *changes += 1);
        changed
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}

/// Reaches the chain until it is frozen, like a process until it is killed.
#[derive(Clone)]
pub struct Endpoint {
    chain: SimulatedChain,
    is_frozen: watch::Sender<bool>,
}

impl Endpoint {
    /// Answers nothing any more.
    pub fn freeze(&self) {
        self.is_frozen.send_replace(true);
    }

    async fn ask<T>(
        &self,
        question: impl FnOnce(&mut State) -> Result<T, ChainError>,
    ) -> Result<T, ChainError> {
        self.unless_frozen().await;
        self.chain.change(|state| match state.is_away {
            true => Err(ChainError::Unavailable("switched away".to_owned())),
            false => question(state),
        })
    }

    async fn unless_frozen(&self) {
        if *self.is_frozen.borrow() {
            std::future::pending::<()>().await;
        }
    }
}

#[async_trait]
impl Anchors for Endpoint {
    async fn anchor_head(&self, _log: Address) -> Result<Option<AnchorHead>, ChainError> {
        self.ask(|state| {
            Ok(state.seen().next_back().map(|(checkpoint, anchor)| AnchorHead {
                size: checkpoint.size,
                block: anchor.block,
                timestamp: anchor.timestamp,
            }))
        })
        .await
    }

    async fn is_anchored(
        &self,
        _log: Address,
        checkpoint: &Checkpoint,
        head: &AnchorHead,
    ) -> Result<bool, ChainError> {
        self.ask(|state| {
            Ok(state.seen().any(|(accepted, anchor)| {
                accepted == checkpoint && (anchor.block, anchor.timestamp) == (head.block, head.timestamp)
            }))
        })
        .await
    }

    async fn submit_anchor(&self, request: &AnchorRequest) -> Result<B256, ChainError> {
        self.ask(|state| {
            state.check(request)?;
            state.submitted += 1;
            let mut tx_hash = B256::repeat_byte(0x10);
            tx_hash[..8].copy_from_slice(&state.submitted.to_be_bytes());
            state.mempool.push((tx_hash, request.clone()));
            if !state.holds_back {
                state.mine();
            }
            Ok(tx_hash)
        })
        .await
    }

    async fn wait_for_anchor(&self, tx_hash: B256) -> Result<Anchor, ChainError> {
        let mut changes = self.chain.changes.subscribe();
        loop {
            self.unless_frozen().await;
            let found = {
                let state = self.chain.lock();
                if state.is_away {
                    return Err(ChainError::Unavailable("switched away".to_owned()));
                }
                if state.refused.contains(&tx_hash) {
                    return Err(ChainError::Reverted("refused".to_owned()));
                }
                if !state.holds_back && !state.accepted.iter().any(|(_, anchor)| anchor.tx_hash == tx_hash) {
                    return Err(ChainError::NotMined(tx_hash));
                }
                state
                    .accepted
                    .iter()
                    .find(|(_, anchor)| anchor.tx_hash == tx_hash)
                    .copied()
            };
            if let Some((_, anchor)) = found {
                return Ok(anchor);
            }
            changes.changed().await.unwrap();
        }
    }

    async fn anchor(&self, tx_hash: B256) -> Result<Option<(Anchor, u64)>, ChainError> {
        self.ask(|state| {
            let found = state.seen().find(|(_, anchor)| anchor.tx_hash == tx_hash);
            Ok(found.map(|(_, anchor)| (*anchor, state.height - state.lag - anchor.block)))
        })
        .await
    }

    async fn has_lost(&self, anchor: &Anchor) -> Result<bool, ChainError> {
        self.ask(|state| {
            let is_there = state
                .accepted
                .iter()
                .any(|(_, accepted)| accepted.tx_hash == anchor.tx_hash);
            // Its place is known to be another one's as soon as it is seen.
            Ok(!is_there && state.lag == 0)
        })
        .await
    }

    async fn anchor_of_head(&self, _log: Address, head: &AnchorHead) -> Result<Option<Anchor>, ChainError> {
        self.ask(|state| {
            let found = state
                .seen()
                .find(|(checkpoint, anchor)| (checkpoint.size, anchor.block) == (head.size, head.block));
            Ok(found.map(|(_, anchor)| *anchor))
        })
        .await
    }

    async fn proves(&self, receipt: &Receipt, leaf_hash: B256) -> Result<bool, ChainError> {
        self.ask(|state| {
            if receipt.anchor.chain_id != CHAIN_ID {
                return Err(ChainError::WrongChain {
                    expected: CHAIN_ID,
                    found: receipt.anchor.chain_id,
                });
            }
            let stands = state.accepted.iter().any(|(checkpoint, anchor)| {
                *checkpoint == receipt.checkpoint
                    && (anchor.contract, anchor.block, anchor.timestamp)
                        == (
                            receipt.anchor.contract,
                            receipt.anchor.block,
                            receipt.anchor.timestamp,
                        )
            });
            Ok(stands && receipt.event.log == ACCOUNT && verify_offline(receipt) == Ok(leaf_hash))
        })
        .await
    }
}
