//! An object store in memory that tells what happens to it.

use std::sync::Arc;

use async_trait::async_trait;
use dm_core::{
    envelope::{Chunk, ObjectId, SignedEnvelope},
    ports::{ObjectStore, ObjectStoreLayer, ObjectWriter, StoreError, UnfinishedObjects},
};
use dm_testing::objects::MemoryObjectStore;
use tokio::sync::watch;

/// Counts the writers that are open and the reads that are under way.
pub struct WatchedStore {
    inner: MemoryObjectStore,
    /// Writers that are neither finished nor dropped.
    pub writers: watch::Sender<usize>,
    /// Chunks that were read.
    pub chunks_read: watch::Sender<u64>,
    /// While this is set, reading a chunk does not come to its end.
    pub stuck: watch::Sender<bool>,
    /// Reads that are waiting because of `stuck`.
    pub waiting: watch::Sender<usize>,
}

impl Default for WatchedStore {
    fn default() -> Self {
        Self {
            inner: MemoryObjectStore::new(),
            writers: watch::Sender::new(0),
            chunks_read: watch::Sender::new(0),
            stuck: watch::Sender::new(false),
            waiting: watch::Sender::new(0),
        }
    }
}

/// Lowers a counter when it is dropped.
struct Counted(watch::Sender<usize>);

impl Counted {
    fn new(counter: &watch::Sender<usize>) -> Self {
        counter.send_modify(|count| *count += 1);
        Self(counter.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
    }
}

impl WatchedStore {
    /// Waits until a counter has a value that satisfies `condition`.
    pub async fn until<T>(counter: &watch::Sender<T>, condition: impl FnMut(&T) -> bool) {
        counter.subscribe().wait_for(condition).await.unwrap();
    }

    /// The objects of this store that come in parts.
    pub fn unfinished(&self) -> Arc<dyn UnfinishedObjects> {
        Arc::new(self.inner.clone())
    }

    async fn pass(&self) {
        if !*self.stuck.borrow() {
            return;
        }
        let _waiting = Counted::new(&self.waiting);
        Self::until(&self.stuck, |stuck| !stuck).await;
    }
}

struct WatchedWriter {
    inner: Box<dyn ObjectWriter>,
    _open: Counted,
}

#[async_trait]
impl ObjectWriter for WatchedWriter {
    async fn append(&mut self, chunk: Chunk) -> Result<(), StoreError> {
        self.inner.append(chunk).await
    }

    async fn finish(self: Box<Self>, envelope: &SignedEnvelope) -> Result<(), StoreError> {
        self.inner.finish(envelope).await
    }

    async fn restore(self: Box<Self>, envelope: &SignedEnvelope) -> Result<(), StoreError> {
        self.inner.restore(envelope).await
    }

    fn discard(self: Box<Self>) {
        self.inner.discard();
    }
}

#[async_trait]
impl ObjectStoreLayer for WatchedStore {
    fn inner(&self) -> &dyn ObjectStore {
        &self.inner
    }

    fn wrap_writer(&self, inner: Box<dyn ObjectWriter>) -> Box<dyn ObjectWriter> {
        let _open = Counted::new(&self.writers);
        Box::new(WatchedWriter { inner, _open })
    }

    async fn chunk(&self, id: &ObjectId, index: u64) -> Result<Chunk, StoreError> {
        self.pass().await;
        self.chunks_read.send_modify(|count| *count += 1);
        self.inner().chunk(id, index).await
    }
}
