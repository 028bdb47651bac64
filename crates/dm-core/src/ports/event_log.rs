use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
};

use alloy_primitives::{Address, B256};
use async_trait::async_trait;

use super::CatalogError;
use crate::{
    event::{Event, EventKind},
    hash::DataHash,
    receipt::{Anchor, Checkpoint},
    span::TraceContext,
};

/// An event at its position in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogEntry {
    /// Position, from 0, without gaps.
    pub index: u64,
    /// The fact.
    pub event: Event,
    /// The trace of the request that it comes of, where that is recorded. It is no part of the log.
    pub trace: Option<TraceContext>,
}

/// An event that a trace waits for: where in the trace, and since when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TracedEvent {
    /// The trace of the request that it comes of.
    pub trace: TraceContext,
    /// When it was recorded, in milliseconds since the Unix epoch.
    pub recorded_at: u64,
}

/// A node of the Merkle tree over a full subtree, which never changes again.
/// Positions follow the in-order numbering of RFC 9420, appendix C: leaf `i`
/// is node `2 i`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TreeNode {
    /// In-order number.
    pub position: u64,
    /// RFC 6962 hash.
    pub hash: B256,
}

/// A checkpoint and its anchor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AnchoredCheckpoint {
    /// What was anchored.
    pub checkpoint: Checkpoint,
    /// Where.
    pub anchor: Anchor,
    /// Whether it has the confirmations after which a reorganisation is no
    /// longer expected.
    pub is_final: bool,
}

/// Which events are wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EventFilter {
    /// Only these kinds; empty for all.
    pub kinds: BTreeSet<EventKind>,
    /// Only events about this data.
    pub data_hash: Option<DataHash>,
    /// Only events with this recipient.
    pub recipient: Option<Address>,
}

/// Events, newest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogPage {
    /// The events.
    pub entries: Vec<LogEntry>,
    /// Where to go on: pass it as `before`.
    pub next: Option<u64>,
}

/// Keeps the events of the compliance log, the nodes of its tree, and its
/// anchored checkpoints.
#[async_trait]
pub trait EventLog: Send + Sync {
    /// Appends events and the tree nodes that they complete, all or nothing;
    /// durable when it returns.
    ///
    /// # Errors
    /// [`CatalogError::Conflict`] where the first index is not the log's length.
    async fn append(&self, entries: &[LogEntry], nodes: &[TreeNode]) -> Result<(), CatalogError>;

    /// Number of events.
    async fn event_count(&self) -> Result<u64, CatalogError>;

    /// The event at a position.
    async fn event(&self, index: u64) -> Result<Option<LogEntry>, CatalogError>;

    /// At most `limit` events that match and stand before position `before`
    /// (or the end), newest first.
    async fn events(
        &self,
        filter: &EventFilter,
        before: Option<u64>,
        limit: usize,
    ) -> Result<LogPage, CatalogError>;

    /// Of the events at these positions those that belong to a trace that is recorded, in their
    /// order, and at most `limit`.
    async fn traced_events(
        &self,
        positions: Range<u64>,
        limit: usize,
    ) -> Result<Vec<TracedEvent>, CatalogError>;

    /// The hashes of tree nodes, in the order asked; all must exist.
    ///
    /// # Errors
    /// [`CatalogError::Corrupt`] where one does not.
    async fn tree_nodes(&self, positions: &[u64]) -> Result<Vec<B256>, CatalogError>;

    /// Keeps a checkpoint with its anchor; one of the same size is replaced.
    async fn put_checkpoint(&self, checkpoint: &AnchoredCheckpoint) -> Result<(), CatalogError>;

    /// Forgets the checkpoint of this size: its anchor left the chain.
    async fn remove_checkpoint(&self, size: u64) -> Result<(), CatalogError>;

    /// The smallest anchored checkpoint with more than `index` events: the one
    /// that first covered the event at `index`.
    async fn checkpoint_covering(&self, index: u64) -> Result<Option<AnchoredCheckpoint>, CatalogError>;

    /// The same for many events at once, in one look-up; those that none covers are left out.
    async fn checkpoints_covering(
        &self,
        indexes: &[u64],
    ) -> Result<BTreeMap<u64, AnchoredCheckpoint>, CatalogError>;

    /// The largest anchored checkpoint.
    async fn last_checkpoint(&self) -> Result<Option<AnchoredCheckpoint>, CatalogError>;

    /// Checkpoints that are not final yet, smallest first.
    async fn open_checkpoints(&self) -> Result<Vec<AnchoredCheckpoint>, CatalogError>;
}
