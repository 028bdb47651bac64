//! The event log in memory, with a look inside, a switch for a full disk, and
//! copies as of a database file.

use std::{
    collections::BTreeMap,
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
};

use async_trait::async_trait;
use dm_core::{
    B256,
    ports::{
        AnchoredCheckpoint, CatalogError, EventFilter, EventLog, LogEntry, LogPage, TracedEvent, TreeNode,
    },
};
use dm_testing::catalog::MemoryCatalog;

/// Clones are the same log.
#[derive(Clone, Default)]
pub struct MemoryEvents(Arc<Inner>);

#[derive(Default)]
struct Inner {
    catalog: MemoryCatalog,
    appends: AtomicUsize,
    is_full: AtomicBool,
    lookups: AtomicUsize,
}

impl MemoryEvents {
    /// A log of its own with the same events and nodes, like a restored backup.
    pub async fn copy(&self) -> Self {
        let copy = Self::default();
        let size = self.event_count().await.unwrap();
        let mut entries = self
            .events(&EventFilter::default(), None, usize::MAX)
            .await
            .unwrap()
            .entries;
        entries.reverse();
        let is_full = |position: &u64| position + 1 + (1 << position.trailing_ones()) <= 2 * size;
        let positions: Vec<_> = (0..2 * size).filter(is_full).collect();
        let hashes = self.tree_nodes(&positions).await.unwrap();
        let nodes = positions
            .into_iter()
            .zip(hashes)
            .map(|(position, hash)| TreeNode { position, hash });
        copy.append(&entries, &nodes.collect::<Vec<_>>()).await.unwrap();
        for checkpoint in self.checkpoints().await {
            copy.put_checkpoint(&checkpoint).await.unwrap();
        }
        copy
    }

    /// How often was appended.
    pub fn appends(&self) -> usize {
        self.0.appends.load(SeqCst)
    }

    /// How often checkpoints were looked up by the events that they cover.
    pub fn lookups(&self) -> usize {
        self.0.lookups.load(SeqCst)
    }

    /// Sizes of all checkpoints.
    pub async fn checkpoint_sizes(&self) -> Vec<u64> {
        self.checkpoints()
            .await
            .iter()
            .map(|known| known.checkpoint.size)
            .collect()
    }

    /// Lets every append find the disk full, or not any more.
    pub fn set_full(&self, is_full: bool) {
        self.0.is_full.store(is_full, SeqCst);
    }

    async fn checkpoints(&self) -> Vec<AnchoredCheckpoint> {
        let mut found = Vec::new();
        let mut index = 0;
        while let Some(checkpoint) = self.checkpoint_covering(index).await.unwrap() {
            index = checkpoint.checkpoint.size;
            found.push(checkpoint);
        }
        found
    }
}

#[async_trait]
impl EventLog for MemoryEvents {
    async fn append(&self, entries: &[LogEntry], nodes: &[TreeNode]) -> Result<(), CatalogError> {
        if self.0.is_full.load(SeqCst) {
            return Err(CatalogError::Full);
        }
        self.0.appends.fetch_add(1, SeqCst);
        self.0.catalog.append(entries, nodes).await
    }

    async fn event_count(&self) -> Result<u64, CatalogError> {
        self.0.catalog.event_count().await
    }

    async fn event(&self, index: u64) -> Result<Option<LogEntry>, CatalogError> {
        self.0.catalog.event(index).await
    }

    async fn events(
        &self,
        filter: &EventFilter,
        before: Option<u64>,
        limit: usize,
    ) -> Result<LogPage, CatalogError> {
        self.0.catalog.events(filter, before, limit).await
    }

    async fn traced_events(
        &self,
        positions: Range<u64>,
        limit: usize,
    ) -> Result<Vec<TracedEvent>, CatalogError> {
        self.0.catalog.traced_events(positions, limit).await
    }

    async fn tree_nodes(&self, positions: &[u64]) -> Result<Vec<B256>, CatalogError> {
        self.0.catalog.tree_nodes(positions).await
    }

    async fn put_checkpoint(&self, checkpoint: &AnchoredCheckpoint) -> Result<(), CatalogError> {
        self.0.catalog.put_checkpoint(checkpoint).await
    }

    async fn remove_checkpoint(&self, size: u64) -> Result<(), CatalogError> {
        self.0.catalog.remove_checkpoint(size).await
    }

    async fn checkpoint_covering(&self, index: u64) -> Result<Option<AnchoredCheckpoint>, CatalogError> {
        self.0.lookups.fetch_add(1, SeqCst);
        self.0.catalog.checkpoint_covering(index).await
    }

    async fn checkpoints_covering(
        &self,
        indexes: &[u64],
    ) -> Result<BTreeMap<u64, AnchoredCheckpoint>, CatalogError> {
        self.0.lookups.fetch_add(1, SeqCst);
        self.0.catalog.checkpoints_covering(indexes).await
    }

    async fn last_checkpoint(&self) -> Result<Option<AnchoredCheckpoint>, CatalogError> {
        self.0.catalog.last_checkpoint().await
    }

    async fn open_checkpoints(&self) -> Result<Vec<AnchoredCheckpoint>, CatalogError> {
        self.0.catalog.open_checkpoints().await
    }
}
