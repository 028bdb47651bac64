//! An object store in memory that tells what happens to it.

use async_trait::async_trait;
use dm_core::{
    envelope::{Chunk, ObjectId, SignedEnvelope},
    hash::{ChunkName, Locator},
    ports::{ObjectStore, ObjectWriter, Resumed, StoreError, StoreUsage},
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
impl ObjectStore for WatchedStore {
    async fn create(&self) -> Result<Box<dyn ObjectWriter>, StoreError> {
        Ok(Box::new(WatchedWriter {
            inner: self.inner.create().await?,
            _open: Counted::new(&self.writers),
        }))
    }

    async fn resume(&self, envelope: &SignedEnvelope) -> Result<Resumed, StoreError> {
        let Resumed { kept, writer } = self.inner.resume(envelope).await?;
        Ok(Resumed {
            kept,
            writer: Box::new(WatchedWriter {
                inner: writer,
                _open: Counted::new(&self.writers),
            }),
        })
    }

    async fn replace_envelope(&self, envelope: &SignedEnvelope) -> Result<bool, StoreError> {
        self.inner.replace_envelope(envelope).await
    }

    async fn envelope(&self, id: &ObjectId) -> Result<Option<SignedEnvelope>, StoreError> {
        self.inner.envelope(id).await
    }

    async fn envelopes(&self, locator: &Locator) -> Result<Vec<SignedEnvelope>, StoreError> {
        self.inner.envelopes(locator).await
    }

    async fn chunk_names(
        &self,
        id: &ObjectId,
        first: u64,
        count: usize,
    ) -> Result<Vec<ChunkName>, StoreError> {
        self.inner.chunk_names(id, first, count).await
    }

    async fn chunk(&self, id: &ObjectId, index: u64) -> Result<Chunk, StoreError> {
        self.pass().await;
        self.chunks_read.send_modify(|count| *count += 1);
        self.inner.chunk(id, index).await
    }

    async fn chunk_from_medium(&self, id: &ObjectId, index: u64) -> Result<Chunk, StoreError> {
        self.inner.chunk_from_medium(id, index).await
    }

    fn is_damaged(&self, id: &ObjectId) -> bool {
        self.inner.is_damaged(id)
    }

    async fn remove(&self, id: &ObjectId) -> Result<bool, StoreError> {
        self.inner.remove(id).await
    }

    async fn list(&self, after: Option<&ObjectId>, limit: usize) -> Result<Vec<ObjectId>, StoreError> {
        self.inner.list(after, limit).await
    }

    async fn usage(&self) -> Result<StoreUsage, StoreError> {
        self.inner.usage().await
    }
}
