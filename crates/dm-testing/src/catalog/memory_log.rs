//! The compliance log of a [`MemoryCatalog`].

use std::{collections::BTreeMap, ops::Range};

use async_trait::async_trait;
use dm_core::{
    Address, B256,
    event::{Event, EventKind},
    hash::DataHash,
    news::News,
    operation::OperationId,
    ports::{
        AnchoredCheckpoint, CatalogError, EventFilter, EventLog, LogEntry, LogPage, TracedEvent, TreeNode,
    },
    receipt::Anchor,
    share::ShareRecord,
    span::TraceContext,
};

use super::{MemoryCatalog, memory::State};

#[derive(Default)]
pub(super) struct MemoryLog {
    events: Vec<Event>,
    /// One for each event.
    traces: Vec<Option<TraceContext>>,
    nodes: BTreeMap<u64, B256>,
    checkpoints: BTreeMap<u64, AnchoredCheckpoint>,
}

impl MemoryLog {
    /// The first position at which a share is recorded, after the data was last
    /// erased and the recipient's access last withdrawn.
    pub(super) fn recorded_at(&self, share: &ShareRecord) -> Option<u64> {
        let data = Some(share.data_hash);
        let ends_shares = |event: &Event| match event.event_type {
            EventKind::DataDelete => event.data_hash == data,
            EventKind::Revoke => (event.data_hash, event.recipient) == (data, Some(share.recipient)),
            _ => false,
        };
        let records = |event: &Event| {
            matches!(event.event_type, EventKind::DataShare | EventKind::Grant)
                && (event.data_hash, event.recipient) == (data, Some(share.recipient))
        };
        let begin = self.events.iter().rposition(ends_shares).unwrap_or_default();
        let position = self.events.get(begin..)?.iter().position(records)?;
        Some((begin + position) as u64)
    }

    /// Whether such a share was ever recorded, whatever became of it.
    pub(super) fn was_shared(&self, data_hash: &DataHash, recipient: Address) -> bool {
        self.events.iter().any(|event| {
            matches!(event.event_type, EventKind::DataShare | EventKind::Grant)
                && (event.data_hash, event.recipient) == (Some(*data_hash), Some(recipient))
        })
    }

    /// The first position at which an order is recorded.
    pub(super) fn order_recorded_at(&self, id: OperationId) -> Option<u64> {
        let operation = id.to_string();
        self.first(|event| {
            event.event_type == EventKind::Transfer && event.details.get("operation") == Some(&operation)
        })
    }

    fn first(&self, matches: impl Fn(&Event) -> bool) -> Option<u64> {
        self.events
            .iter()
            .position(matches)
            .map(|position| position as u64)
    }

    /// The positions of the events that a checkpoint of this size covers first.
    pub(super) fn covered_first(&self, size: u64) -> std::ops::Range<u64> {
        let smaller = self.checkpoints.range(..size).next_back();
        smaller.map_or(0, |(size, _)| *size)..size
    }

    fn length(&self) -> u64 {
        self.events.len() as u64
    }

    fn append(&mut self, entries: &[LogEntry], nodes: &[TreeNode]) -> Result<(), CatalogError> {
        if !entries
            .iter()
            .map(|entry| entry.index)
            .eq((self.length()..).take(entries.len()))
        {
            return Err(CatalogError::Conflict(format!(
                "the log has {} events",
                self.length()
            )));
        }
        if let Some(node) = nodes.iter().find(|node| self.nodes.contains_key(&node.position)) {
            return Err(CatalogError::Conflict(format!(
                "there is a tree node {} already",
                node.position
            )));
        }
        self.events
            .extend(entries.iter().map(|entry| entry.event.clone()));
        self.traces.extend(entries.iter().map(|entry| entry.trace));
        self.nodes
            .extend(nodes.iter().map(|node| (node.position, node.hash)));
        Ok(())
    }

    pub(super) fn entry(&self, index: u64) -> Option<LogEntry> {
        let place = usize::try_from(index).ok()?;
        Some(LogEntry {
            index,
            event: self.events.get(place)?.clone(),
            trace: self.traces.get(place).copied().flatten(),
        })
    }

    fn page(&self, filter: &EventFilter, before: Option<u64>, limit: usize) -> LogPage {
        let end = before.unwrap_or(u64::MAX).min(self.length());
        let mut matching = (0..end)
            .rev()
            .filter_map(|index| self.entry(index))
            .filter(|entry| matches(filter, &entry.event));
        let entries: Vec<LogEntry> = matching.by_ref().take(limit).collect();
        let next = entries
            .last()
            .map(|entry| entry.index)
            .filter(|_| matching.next().is_some());
        LogPage { entries, next }
    }
}

fn matches(filter: &EventFilter, event: &Event) -> bool {
    (filter.kinds.is_empty() || filter.kinds.contains(&event.event_type))
        && (filter.data_hash.is_none() || filter.data_hash == event.data_hash)
        && (filter.recipient.is_none() || filter.recipient == event.recipient)
}

impl State {
    fn append_events(&mut self, entries: &[LogEntry], nodes: &[TreeNode]) -> Result<(), CatalogError> {
        self.log.append(entries, nodes)?;
        for entry in entries {
            self.journal.append_traced(&News::of_event(entry), entry.trace);
        }
        self.journal
            .append_all(entries.iter().filter_map(News::of_evidence));
        entries.iter().for_each(|entry| self.mark_delivered(entry));
        Ok(())
    }
}

impl MemoryCatalog {
    /// Appends one event at the end of the log, and says whether it stands there: it
    /// may although the write has failed.
    pub(crate) fn append_event(&self, entry: LogEntry) -> (bool, Result<(), CatalogError>) {
        let before = self.state().log.length();
        let appended = self.write(|state| state.append_events(&[entry], &[]));
        (self.state().log.length() > before, appended)
    }
}

#[async_trait]
impl EventLog for MemoryCatalog {
    async fn append(&self, entries: &[LogEntry], nodes: &[TreeNode]) -> Result<(), CatalogError> {
        self.write(|state| state.append_events(entries, nodes))
    }

    async fn event_count(&self) -> Result<u64, CatalogError> {
        Ok(self.read()?.log.length())
    }

    async fn event(&self, index: u64) -> Result<Option<LogEntry>, CatalogError> {
        Ok(self.read()?.log.entry(index))
    }

    async fn events(
        &self,
        filter: &EventFilter,
        before: Option<u64>,
        limit: usize,
    ) -> Result<LogPage, CatalogError> {
        Ok(self.read()?.log.page(filter, before, limit))
    }

    async fn traced_events(
        &self,
        positions: Range<u64>,
        limit: usize,
    ) -> Result<Vec<TracedEvent>, CatalogError> {
        let state = self.read()?;
        let entries = positions.filter_map(|index| state.log.entry(index));
        let traced = entries.filter_map(|entry| {
            Some(TracedEvent {
                trace: entry.trace?,
                recorded_at: entry.event.timestamp,
            })
        });
        Ok(traced.take(limit).collect())
    }

    async fn tree_nodes(&self, positions: &[u64]) -> Result<Vec<B256>, CatalogError> {
        let state = self.read()?;
        let hash = |position: &u64| {
            let missing = || CatalogError::Corrupt(format!("the log's tree has no node {position}"));
            state.log.nodes.get(position).copied().ok_or_else(missing)
        };
        positions.iter().map(hash).collect()
    }

    async fn put_checkpoint(&self, checkpoint: &AnchoredCheckpoint) -> Result<(), CatalogError> {
        self.write(|state| {
            let size = checkpoint.checkpoint.size;
            let before = state.log.checkpoints.insert(size, *checkpoint);
            if before.is_none_or(|before| before.anchor != checkpoint.anchor) {
                let covered = state.log.covered_first(size);
                let events = covered.filter_map(|index| state.log.entry(index));
                let news = events.filter_map(|entry| {
                    Some((News::of_anchor(&entry.event, &checkpoint.anchor)?, entry.trace))
                });
                let news: Vec<_> = news.collect();
                for (news, trace) in news {
                    state.journal.append_traced(&news, trace);
                }
            }
            let place = |anchor: &Anchor| (anchor.block, anchor.timestamp);
            if before.is_some_and(|before| place(&before.anchor) != place(&checkpoint.anchor)) {
                state.spread_receipts_again(size);
            }
            Ok(())
        })
    }

    async fn remove_checkpoint(&self, size: u64) -> Result<(), CatalogError> {
        self.write(|state| {
            if state.log.checkpoints.remove(&size).is_some() {
                state.spread_receipts_again(size);
            }
            Ok(())
        })
    }

    async fn checkpoint_covering(&self, index: u64) -> Result<Option<AnchoredCheckpoint>, CatalogError> {
        let state = self.read()?;
        let mut larger = state
            .log
            .checkpoints
            .values()
            .filter(|kept| kept.checkpoint.size > index);
        Ok(larger.next().copied())
    }

    async fn checkpoints_covering(
        &self,
        indexes: &[u64],
    ) -> Result<BTreeMap<u64, AnchoredCheckpoint>, CatalogError> {
        let state = self.state();
        let first_above = |index: &u64| {
            let mut larger = state
                .log
                .checkpoints
                .values()
                .filter(|kept| kept.checkpoint.size > *index);
            larger.next().map(|found| (*index, *found))
        };
        Ok(indexes.iter().filter_map(first_above).collect())
    }

    async fn last_checkpoint(&self) -> Result<Option<AnchoredCheckpoint>, CatalogError> {
        Ok(self.read()?.log.checkpoints.values().next_back().copied())
    }

    async fn open_checkpoints(&self) -> Result<Vec<AnchoredCheckpoint>, CatalogError> {
        let state = self.read()?;
        Ok(state
            .log
            .checkpoints
            .values()
            .filter(|kept| !kept.is_final)
            .copied()
            .collect())
    }
}
