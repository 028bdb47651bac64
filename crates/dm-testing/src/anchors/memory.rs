//! The anchor contract in memory.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use alloy_primitives::{Address, B256, keccak256};
use async_trait::async_trait;
use dm_core::{
    ports::{AnchorHead, AnchorRequest, Anchors, ChainError},
    receipt::{Anchor, Checkpoint, Receipt},
};
use tokio::sync::watch;

use super::reference::{is_consistent, is_included};
use crate::chain::MemoryChain;

/// An account's view of an anchor contract on a [`MemoryChain`].
#[derive(Clone)]
pub struct MemoryAnchors {
    chain: Arc<MemoryChain>,
    account: Address,
    contract: Arc<Contract>,
}

/// What all accounts share.
struct Contract {
    state: Mutex<State>,
    /// Counts changes, for those who wait.
    changes: watch::Sender<u64>,
}

#[derive(Default)]
struct State {
    logs: HashMap<Address, Vec<SentCheckpoint>>,
    holding: bool,
    refusal: Option<String>,
    sent: u64,
}

/// A checkpoint that was sent and not refused.
#[derive(Clone, Copy)]
struct SentCheckpoint {
    checkpoint: Checkpoint,
    tx_hash: B256,
    /// `None` while the transaction waits.
    mined: Option<AnchorHead>,
}

impl MemoryAnchors {
    /// The view of an account on a new contract.
    pub fn new(chain: Arc<MemoryChain>, account: Address) -> Self {
        let contract = Contract {
            state: Mutex::default(),
            changes: watch::Sender::new(0),
        };
        Self {
            chain,
            account,
            contract: Arc::new(contract),
        }
    }

    /// The view of another account on the same contract.
    pub fn for_account(&self, account: Address) -> Self {
        Self {
            account,
            ..self.clone()
        }
    }

    /// From now on transactions wait for [`Self::mine`], or no longer do.
    pub fn set_holding(&self, holding: bool) {
        self.lock().holding = holding;
    }

    /// From now on every anchor is refused for this reason, or none is.
    pub fn set_refusing(&self, reason: Option<&str>) {
        self.lock().refusal = reason.map(str::to_owned);
    }

    /// How many anchor transactions were sent.
    pub fn sent(&self) -> u64 {
        self.lock().sent
    }

    /// Adds a block with all transactions that wait.
    pub fn mine(&self) {
        mine(&self.chain, &mut self.lock());
        self.changed();
    }

    /// A reorganisation: the transaction and all later ones of this account's
    /// log are gone. Whether there was such a transaction.
    pub fn reorganise(&self, tx_hash: B256) -> bool {
        let mut state = self.lock();
        let log = state.logs.entry(self.account).or_default();
        let position = log.iter().position(|entry| entry.tx_hash == tx_hash);
        if let Some(position) = position {
            log.truncate(position);
        }
        drop(state);
        self.changed();
        position.is_some()
    }

    fn changed(&self) {
        self.contract.changes.send_modify(|count| *count += 1);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.contract.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn address(&self) -> Address {
        Address::repeat_byte(0xac)
    }

    fn entry(&self, tx_hash: B256) -> Option<SentCheckpoint> {
        let state = self.lock();
        state
            .logs
            .values()
            .flatten()
            .find(|entry| entry.tx_hash == tx_hash)
            .copied()
    }

    fn anchor_of(&self, entry: &SentCheckpoint) -> Option<Anchor> {
        entry.mined.map(|head| Anchor {
            chain_id: self.chain.id(),
            contract: self.address(),
            tx_hash: entry.tx_hash,
            block: head.block,
            timestamp: head.timestamp,
        })
    }
}

fn mine(chain: &MemoryChain, state: &mut State) {
    let block = chain.mine();
    for entry in state
        .logs
        .values_mut()
        .flatten()
        .filter(|entry| entry.mined.is_none())
    {
        entry.mined = Some(AnchorHead {
            size: entry.checkpoint.size,
            block: block.number,
            timestamp: block.timestamp,
        });
    }
}

/// The rules of the contract.
fn check(newest: Option<&SentCheckpoint>, request: &AnchorRequest) -> Result<(), String> {
    let next = &request.next;
    let Some(newest) = newest.map(|entry| entry.checkpoint) else {
        return match request.previous {
            None if request.consistency_proof.is_empty() && next.size > 0 => Ok(()),
            None => Err("a new log begins with a checkpoint of at least one entry, without proof".to_owned()),
            Some(_) => Err("the log has no checkpoint yet".to_owned()),
        };
    };
    if next.size <= newest.size {
        return Err(format!("size {} is anchored already", newest.size));
    }
    if request.previous.map(|previous| previous.root) != Some(newest.root) {
        return Err("the newest checkpoint has another root".to_owned());
    }
    if !is_consistent(&newest, next, &request.consistency_proof) {
        return Err("the log was rewritten".to_owned());
    }
    Ok(())
}

#[async_trait]
impl Anchors for MemoryAnchors {
    async fn anchor_head(&self, log: Address) -> Result<Option<AnchorHead>, ChainError> {
        self.chain.reach()?;
        let state = self.lock();
        let entries = state.logs.get(&log).into_iter().flatten();
        Ok(entries.filter_map(|entry| entry.mined).next_back())
    }

    async fn is_anchored(
        &self,
        log: Address,
        checkpoint: &Checkpoint,
        head: &AnchorHead,
    ) -> Result<bool, ChainError> {
        self.chain.reach()?;
        let expected = AnchorHead {
            size: checkpoint.size,
            ..*head
        };
        let state = self.lock();
        let mut entries = state.logs.get(&log).into_iter().flatten();
        Ok(entries.any(|entry| entry.checkpoint == *checkpoint && entry.mined == Some(expected)))
    }

    async fn submit_anchor(&self, request: &AnchorRequest) -> Result<B256, ChainError> {
        self.chain.reach()?;
        let mut state = self.lock();
        if let Some(reason) = &state.refusal {
            return Err(ChainError::Reverted(reason.clone()));
        }
        let log = state.logs.entry(self.account).or_default();
        check(log.last(), request).map_err(ChainError::Reverted)?;
        let tx_hash = keccak256(rand::random::<[u8; 32]>());
        log.push(SentCheckpoint {
            checkpoint: request.next,
            tx_hash,
            mined: None,
        });
        state.sent += 1;
        if !state.holding {
            mine(&self.chain, &mut state);
        }
        drop(state);
        self.changed();
        Ok(tx_hash)
    }

    async fn wait_for_anchor(&self, tx_hash: B256) -> Result<Anchor, ChainError> {
        let mut changes = self.contract.changes.subscribe();
        loop {
            self.chain.reach()?;
            let entry = self.entry(tx_hash).ok_or(ChainError::NotMined(tx_hash))?;
            if let Some(anchor) = self.anchor_of(&entry) {
                return Ok(anchor);
            }
            changes
                .changed()
                .await
                .map_err(|_| ChainError::NotMined(tx_hash))?;
        }
    }

    async fn anchor(&self, tx_hash: B256) -> Result<Option<(Anchor, u64)>, ChainError> {
        let head = self.chain.reach()?;
        let anchor = self.entry(tx_hash).and_then(|entry| self.anchor_of(&entry));
        Ok(anchor.map(|anchor| (anchor, head.number - anchor.block)))
    }

    async fn has_lost(&self, anchor: &Anchor) -> Result<bool, ChainError> {
        Ok(self.anchor(anchor.tx_hash).await?.is_none())
    }

    async fn anchor_of_head(&self, log: Address, head: &AnchorHead) -> Result<Option<Anchor>, ChainError> {
        self.chain.reach()?;
        let entries = self.lock().logs.get(&log).cloned().unwrap_or_default();
        let made_it = entries.iter().find(|entry| entry.mined == Some(*head));
        Ok(made_it.and_then(|entry| self.anchor_of(entry)))
    }

    async fn proves(&self, receipt: &Receipt, leaf_hash: B256) -> Result<bool, ChainError> {
        self.chain.reach()?;
        if receipt.anchor.chain_id != self.chain.id() {
            return Err(ChainError::WrongChain {
                expected: receipt.anchor.chain_id,
                found: self.chain.id(),
            });
        }
        let head = AnchorHead {
            size: receipt.checkpoint.size,
            block: receipt.anchor.block,
            timestamp: receipt.anchor.timestamp,
        };
        let is_anchored = self
            .is_anchored(receipt.event.log, &receipt.checkpoint, &head)
            .await?;
        let proof = &receipt.inclusion_proof;
        Ok(is_anchored && is_included(&receipt.checkpoint, leaf_hash, receipt.leaf_index, proof))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::anchors::{AnchorsFixture, ReferenceLog};

    async fn make() -> Option<AnchorsFixture> {
        let chain = Arc::new(MemoryChain::new(7));
        let account = Address::repeat_byte(1);
        let other_account = Address::repeat_byte(2);
        let anchors = MemoryAnchors::new(chain.clone(), account);
        let other = anchors.for_account(other_account);
        Some(AnchorsFixture {
            anchors: Arc::new(anchors),
            account,
            other: Arc::new(other),
            other_account,
            chain_id: 7,
            mine: Arc::new(move || {
                chain.mine();
                Box::pin(async {})
            }),
            guard: Box::new(()),
        })
    }

    crate::anchors_conformance!(make);

    fn first_of(log: &ReferenceLog, size: u64) -> AnchorRequest {
        AnchorRequest {
            previous: None,
            next: log.checkpoint(size),
            consistency_proof: Vec::new(),
        }
    }

    #[tokio::test]
    async fn a_held_transaction_is_anchored_when_a_block_comes() {
        let anchors = MemoryAnchors::new(Arc::new(MemoryChain::new(7)), Address::ZERO);
        anchors.set_holding(true);
        let tx_hash = anchors
            .submit_anchor(&first_of(&ReferenceLog::numbered(3, 1), 3))
            .await
            .unwrap();
        assert_eq!(anchors.anchor(tx_hash).await, Ok(None));
        let waiting = tokio::spawn({
            let anchors = anchors.clone();
            async move { anchors.wait_for_anchor(tx_hash).await }
        });
        anchors.mine();
        assert_eq!(waiting.await.unwrap().unwrap().block, 1);
    }

    #[tokio::test]
    async fn a_reorganised_anchor_is_gone_and_can_be_sent_again() {
        let anchors = MemoryAnchors::new(Arc::new(MemoryChain::new(7)), Address::ZERO);
        let request = first_of(&ReferenceLog::numbered(3, 1), 3);
        let tx_hash = anchors.submit_anchor(&request).await.unwrap();
        assert!(anchors.reorganise(tx_hash));
        assert_eq!(anchors.anchor(tx_hash).await, Ok(None));
        assert_eq!(anchors.anchor_head(Address::ZERO).await, Ok(None));
        assert!(anchors.submit_anchor(&request).await.is_ok());
        assert_eq!(anchors.sent(), 2);
    }
}
