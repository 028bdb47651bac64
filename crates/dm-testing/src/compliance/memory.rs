#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use alloy_primitives::{Address, B256};
use async_trait::async_trait;
use dm_core::{
    clock::now_ms,
    event::{Event, NewEvent},
    ports::{
        ComplianceError, ComplianceLog, EventFilter, HistoryEntry, HistoryPage, HistoryQuery, LogEntry,
        Recorded,
    },
    receipt::{Anchor, Checkpoint, Receipt, Verification},
    span,
};
use tokio::sync::oneshot;

use super::tree;
use crate::catalog::MemoryCatalog;

/// Chain id of every [`TestLedger`].
const CHAIN_ID: u64 = 31_337;

/// Stands for the chain: what several logs have anchored. Clones are the same
/// ledger.
#[derive(Debug, Clone, Default)]
pub struct TestLedger(Arc<Mutex<Anchored>>);

/// Roots and anchors by log and size.
type Anchored = BTreeMap<(Address, u64), (B256, Anchor)>;

impl TestLedger {
    /// A ledger without anchors.
    pub fn new() -> Self {
        Self::default()
    }

    fn put(&self, log: Address, checkpoint: Checkpoint) -> Anchor {
        let mut anchors = self.0.lock().unwrap();
        let block = anchors.len() as u64 + 1;
        let anchor = Anchor {
            chain_id: CHAIN_ID,
            contract: Address::repeat_byte(0xC0),
            tx_hash: tree::leaf_hash(&[log.as_slice(), &block.to_be_bytes()].concat()),
            block,
            timestamp: now_ms() / 1000,
        };
        anchors.insert((log, checkpoint.size), (checkpoint.root, anchor));
        anchor
    }

    fn proves(&self, receipt: &Receipt) -> bool {
        let anchors = self.0.lock().unwrap();
        anchors.get(&(receipt.event.log, receipt.checkpoint.size))
            == Some(&(receipt.checkpoint.root, receipt.anchor))
    }
}

/// A compliance log in memory. Every event is anchored at once, unless the
/// chain is switched away; receipts are real. Its work grows with the square of
/// its events: it is for tests with some hundred of them.
pub struct MemoryComplianceLog {
    account: Address,
    ledger: TestLedger,
    state: Mutex<State>,
    catalog: Option<Arc<MemoryCatalog>>,
}

/// What comes of an event.
type Answer = Result<Recorded, ComplianceError>;

#[derive(Debug, Default)]
struct State {
    events: Vec<Event>,
    leaves: Vec<B256>,
    /// By their sizes.
    checkpoints: BTreeMap<u64, (Checkpoint, Anchor)>,
    chain_is_away: bool,
    is_overloaded: bool,
    is_held: bool,
    waiting: Vec<(NewEvent, oneshot::Sender<Answer>)>,
    fault: Option<String>,
}

impl State {
    fn anchored(&self) -> u64 {
        self.checkpoints.last_key_value().map_or(0, |(size, _)| *size)
    }

    fn covering(&self, index: u64) -> Option<(Checkpoint, Anchor)> {
        self.checkpoints
            .range(index + 1..)
            .next()
            .map(|(_, found)| *found)
    }

    fn require(&self, index: u64) -> Result<(), ComplianceError> {
        let exists = index < self.events.len() as u64;
        exists.then_some(()).ok_or(ComplianceError::NoEvent(index))
    }

    /// Matching events before a position, newest first.
    fn matching(&self, filter: &EventFilter, before: Option<u64>) -> impl Iterator<Item = (u64, &Event)> {
        let before = before.unwrap_or(u64::MAX);
        let all = self
            .events
            .iter()
            .enumerate()
            .rev()
            .map(|(index, event)| (index as u64, event));
        all.filter(move |(index, event)| *index < before && matches(filter, event))
    }
}

fn matches(filter: &EventFilter, event: &Event) -> bool {
    (filter.kinds.is_empty() || filter.kinds.contains(&event.event_type))
        && filter.data_hash.is_none_or(|hash| event.data_hash == Some(hash))
        && filter
            .recipient
            .is_none_or(|recipient| event.recipient == Some(recipient))
}

impl MemoryComplianceLog {
    /// An empty log of `account`, anchored on `ledger`.
    pub fn new(account: Address, ledger: &TestLedger) -> Self {
        Self {
            account,
            ledger: ledger.clone(),
            state: Mutex::default(),
            catalog: None,
        }
    }

    /// The log with its events in a catalog as well, where shares look for them.
    pub fn kept_in(self, catalog: Arc<MemoryCatalog>) -> Self {
        Self {
            catalog: Some(catalog),
            ..self
        }
    }

    /// Switches the chain away, or back: then all that waited is anchored.
    pub fn set_chain_away(&self, away: bool) {
        let mut state = self.lock();
        state.chain_is_away = away;
        self.anchor_rest(&mut state);
    }

    /// Lets the log have too much to do, or time again.
    pub fn set_overloaded(&self, overloaded: bool) {
        self.lock().is_overloaded = overloaded;
    }

    /// Lets what is recorded from now on wait, or records what waits: also where nobody
    /// waits for it any more.
    pub fn set_held(&self, held: bool) {
        let mut state = self.lock();
        state.is_held = held;
        self.append_waiting(&mut state);
    }

    /// How many events wait.
    pub fn waiting(&self) -> usize {
        self.lock().waiting.len()
    }

    /// Breaks the log: from now on nothing is recorded.
    pub fn set_fault(&self, fault: &str) {
        self.lock().fault = Some(fault.to_owned());
    }

    /// Records an event at once, or lets it wait; what comes of it.
    fn take(&self, event: NewEvent) -> Result<oneshot::Receiver<Answer>, ComplianceError> {
        let mut state = self.lock();
        if let Some(fault) = &state.fault {
            return Err(ComplianceError::Forked(fault.clone()));
        }
        if state.is_overloaded {
            return Err(ComplianceError::Overloaded);
        }
        let (answer, answered) = oneshot::channel();
        state.waiting.push((event, answer));
        self.append_waiting(&mut state);
        Ok(answered)
    }

    /// Records what waits, unless it is held.
    fn append_waiting(&self, state: &mut State) {
        if state.is_held {
            return;
        }
        for (event, answer) in std::mem::take(&mut state.waiting) {
            // An error only says that the caller has gone away.
            let _ = answer.send(self.append(state, event));
        }
    }

    fn append(&self, state: &mut State, event: NewEvent) -> Result<Recorded, ComplianceError> {
        let event = event.into_event(self.account, now_ms());
        let index = state.events.len() as u64;
        let (stands, kept) = match &self.catalog {
            Some(catalog) => catalog.append_event(LogEntry {
                index,
                event: event.clone(),
                trace: span::recorded(),
            }),
            None => (true, Ok(())),
        };
        if stands {
            state.leaves.push(tree::leaf_hash(&event.canonical().unwrap()));
            state.events.push(event.clone());
            self.anchor_rest(state);
        }
        kept?;
        Ok(Recorded { index, event })
    }

    fn anchor_rest(&self, state: &mut State) {
        let size = state.leaves.len() as u64;
        if state.chain_is_away || size == state.anchored() {
            return;
        }
        let root = tree::root(&state.leaves);
        let checkpoint = Checkpoint { size, root };
        let anchor = self.ledger.put(self.account, checkpoint);
        state.checkpoints.insert(size, (checkpoint, anchor));
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}

#[async_trait]
impl ComplianceLog for MemoryComplianceLog {
    async fn record(&self, event: NewEvent) -> Result<Recorded, ComplianceError> {
        let answered = self.take(event)?;
        answered.await.unwrap_or(Err(ComplianceError::Stopped))
    }

    async fn wait_for_anchor(
        &self,
        index: u64,
        _patience: Duration,
    ) -> Result<Option<Anchor>, ComplianceError> {
        let state = self.lock();
        state.require(index)?;
        Ok(state.covering(index).map(|(_, anchor)| anchor))
    }

    async fn find(&self, filter: &EventFilter) -> Result<Option<Recorded>, ComplianceError> {
        let state = self.lock();
        let found = state.matching(filter, None).next();
        Ok(found.map(|(index, event)| Recorded {
            index,
            event: event.clone(),
        }))
    }

    async fn receipt(&self, index: u64) -> Result<Option<Receipt>, ComplianceError> {
        let state = self.lock();
        state.require(index)?;
        Ok(state.covering(index).map(|(checkpoint, anchor)| Receipt {
            version: 1,
            event: state.events[index as usize].clone(),
            leaf_index: index,
            inclusion_proof: tree::inclusion_proof(index as usize, &state.leaves[..checkpoint.size as usize]),
            checkpoint,
            anchor,
        }))
    }

    async fn verify(&self, receipt: &Receipt) -> Result<Verification, ComplianceError> {
        let Checkpoint { size, root } = receipt.checkpoint;
        let leaf = tree::leaf_hash(&receipt.event.canonical().unwrap());
        let computed = tree::root_from_proof(leaf, receipt.leaf_index, size, &receipt.inclusion_proof);
        if receipt.version != 1 || receipt.event.version != 1 || computed != Some(root) {
            return Ok(Verification::invalid("the receipt contradicts itself"));
        }
        if let Err(flaw) = receipt.event.evidence() {
            return Ok(Verification::invalid(flaw.to_string()));
        }
        if !self.ledger.proves(receipt) {
            return Ok(Verification::invalid(
                "the chain does not have this checkpoint of this log",
            ));
        }
        Ok(Verification::Valid)
    }

    async fn history(&self, query: &HistoryQuery) -> Result<HistoryPage, ComplianceError> {
        let state = self.lock();
        let mut matching = state.matching(&query.filter, query.before);
        let entries: Vec<_> = matching
            .by_ref()
            .take(query.limit)
            .map(|(index, event)| HistoryEntry {
                index,
                event: event.clone(),
                tx_hash: state.covering(index).map(|(_, anchor)| anchor.tx_hash),
            })
            .collect();
        let next = matching.next().and(entries.last()).map(|last| last.index);
        Ok(HistoryPage { entries, next })
    }

    async fn anchors_of(&self, indexes: &[u64]) -> Result<BTreeMap<u64, Anchor>, ComplianceError> {
        let state = self.lock();
        let anchor = |index: &u64| Some((*index, state.covering(*index)?.1));
        Ok(indexes.iter().filter_map(anchor).collect())
    }

    async fn anchored_size(&self) -> Result<u64, ComplianceError> {
        Ok(self.lock().anchored())
    }

    fn log_address(&self) -> Address {
        self.account
    }

    fn fault(&self) -> Option<String> {
        self.lock().fault.clone()
    }
}
