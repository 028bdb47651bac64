use std::sync::Arc;

use async_trait::async_trait;
use dm_core::{
    envelope::{Chunk, ObjectId, SignedEnvelope},
    hash::{ChunkName, Locator},
    ports::{ObjectStore, ObjectWriter, Resumed, StoreError, StoreUsage},
};

/// A store whose chunks have a wrong byte each: who serves from it lies.
pub struct LyingStore {
    honest: Arc<dyn ObjectStore>,
    first_lie: u64,
}

impl LyingStore {
    /// Lies about what is in this store.
    pub fn new(honest: Arc<dyn ObjectStore>) -> Self {
        Self::from_chunk(honest, 0)
    }

    /// Wins trust first: the chunks before this one are right.
    pub fn from_chunk(honest: Arc<dyn ObjectStore>, first_lie: u64) -> Self {
        Self { honest, first_lie }
    }
}

#[async_trait]
impl ObjectStore for LyingStore {
    async fn create(&self) -> Result<Box<dyn ObjectWriter>, StoreError> {
        self.honest.create().await
    }

    async fn resume(&self, envelope: &SignedEnvelope) -> Result<Resumed, StoreError> {
        self.honest.resume(envelope).await
    }

    async fn replace_envelope(&self, envelope: &SignedEnvelope) -> Result<bool, StoreError> {
        self.honest.replace_envelope(envelope).await
    }

    async fn envelope(&self, id: &ObjectId) -> Result<Option<SignedEnvelope>, StoreError> {
        self.honest.envelope(id).await
    }

    async fn envelopes(&self, locator: &Locator) -> Result<Vec<SignedEnvelope>, StoreError> {
        self.honest.envelopes(locator).await
    }

    async fn chunk_names(
        &self,
        id: &ObjectId,
        first: u64,
        count: usize,
    ) -> Result<Vec<ChunkName>, StoreError> {
        self.honest.chunk_names(id, first, count).await
    }

    async fn chunk(&self, id: &ObjectId, index: u64) -> Result<Chunk, StoreError> {
        let chunk = self.honest.chunk(id, index).await?;
        if index < self.first_lie {
            return Ok(chunk);
        }
        let mut bytes = chunk.bytes().to_vec();
        bytes[0] ^= 1;
        Ok(Chunk::new(bytes.into()))
    }

    async fn chunk_from_medium(&self, id: &ObjectId, index: u64) -> Result<Chunk, StoreError> {
        self.chunk(id, index).await
    }

    fn is_damaged(&self, id: &ObjectId) -> bool {
        self.honest.is_damaged(id)
    }

    async fn remove(&self, id: &ObjectId) -> Result<bool, StoreError> {
        self.honest.remove(id).await
    }

    async fn list(&self, after: Option<&ObjectId>, limit: usize) -> Result<Vec<ObjectId>, StoreError> {
        self.honest.list(after, limit).await
    }

    async fn usage(&self) -> Result<StoreUsage, StoreError> {
        self.honest.usage().await
    }
}
