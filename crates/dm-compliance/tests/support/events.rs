//! An event log in memory, of which copies can be made as of a database.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard},
};

use async_trait::async_trait;
use dm_core::{
    B256,
    event::Event,
    ports::{AnchoredCheckpoint, CatalogError, EventFilter, EventLog, LogEntry, LogPage, TreeNode},
};

/// Clones are the same log.
#[derive(Clone, Default)]
pub struct MemoryEvents(Arc<Mutex<State>>);

#[derive(Clone, Default)]
struct State {
    events: Vec<Event>,
    nodes: HashMap<u64, B256>,
    checkpoints: BTreeMap<u64, AnchoredCheckpoint>,
    appends: usize,
    is_failing: bool,
}

impl MemoryEvents {
    /// A log of its own with the same content, like a restored backup.
    pub fn copy(&self) -> Self {
        Self(Arc::new(Mutex::new(self.lock().clone())))
    }

    /// How often was appended.
    pub fn appends(&self) -> usize {
        self.lock().appends
    }

    /// Sizes of all checkpoints.
    pub fn checkpoint_sizes(&self) -> Vec<u64> {
        self.lock().checkpoints.keys().copied().collect()
    }

    /// Lets every append fail, or not any more.
    pub fn set_failing(&self, is_failing: bool) {
        self.lock().is_failing = is_failing;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }
}

fn matches(filter: &EventFilter, event: &Event) -> bool {
    (filter.kinds.is_empty() || filter.kinds.contains(&event.event_type))
        && filter.data_hash.is_none_or(|hash| event.data_hash == Some(hash))
        && filter.recipient.is_none_or(|recipient| event.recipient == Some(recipient))
}

#[async_trait]
impl EventLog for MemoryEvents {
    async fn append(&self, entries: &[LogEntry], nodes: &[TreeNode]) -> Result<(), CatalogError> {
        let mut state = self.lock();
        if state.is_failing {
            return Err(CatalogError::Full);
        }
        if entries.first().is_none_or(|first| first.index != state.events.len() as u64) {
            return Err(CatalogError::Conflict("not the next position".to_owned()));
        }
        state.events.extend(entries.iter().map(|entry| entry.event.clone()));
        state.nodes.extend(nodes.iter().map(|node| (node.position, node.hash)));
        state.appends += 1;
        Ok(())
    }

    async fn event_count(&self) -> Result<u64, CatalogError> {
        Ok(self.lock().events.len() as u64)
    }

    async fn event(&self, index: u64) -> Result<Option<LogEntry>, CatalogError> {
        let event = self.lock().events.get(index as usize).cloned();
        Ok(event.map(|event| LogEntry { index, event }))
    }

    async fn events(&self, filter: &EventFilter, before: Option<u64>, limit: usize) -> Result<LogPage, CatalogError> {
        let state = self.lock();
        let end = before.map_or(state.events.len(), |before| state.events.len().min(before as usize));
        let mut matching = (0..end).rev().filter(|&index| matches(filter, &state.events[index]));
        let entries: Vec<_> = matching
            .by_ref()
            .take(limit)
            .map(|index| LogEntry {
                index: index as u64,
                event: state.events[index].clone(),
            })
            .collect();
        let next = matching.next().and(entries.last()).map(|last| last.index);
        Ok(LogPage { entries, next })
    }

    async fn tree_nodes(&self, positions: &[u64]) -> Result<Vec<B256>, CatalogError> {
        let state = self.lock();
        let node = |position| state.nodes.get(position).copied();
        let hashes: Option<Vec<_>> = positions.iter().map(node).collect();
        hashes.ok_or_else(|| CatalogError::Corrupt("a node is missing".to_owned()))
    }

    async fn put_checkpoint(&self, checkpoint: &AnchoredCheckpoint) -> Result<(), CatalogError> {
        self.lock().checkpoints.insert(checkpoint.checkpoint.size, *checkpoint);
        Ok(())
    }

    async fn remove_checkpoint(&self, size: u64) -> Result<(), CatalogError> {
        self.lock().checkpoints.remove(&size);
        Ok(())
    }

    async fn checkpoint_covering(&self, index: u64) -> Result<Option<AnchoredCheckpoint>, CatalogError> {
        let state = self.lock();
        Ok(state.checkpoints.range(index + 1..).next().map(|(_, checkpoint)| *checkpoint))
    }

    async fn last_checkpoint(&self) -> Result<Option<AnchoredCheckpoint>, CatalogError> {
        Ok(self.lock().checkpoints.values().next_back().copied())
    }

    async fn open_checkpoints(&self) -> Result<Vec<AnchoredCheckpoint>, CatalogError> {
        let state = self.lock();
        Ok(state.checkpoints.values().filter(|checkpoint| !checkpoint.is_final).copied().collect())
    }
}
