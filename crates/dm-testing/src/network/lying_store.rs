use std::sync::Arc;

use async_trait::async_trait;
use dm_core::{
    envelope::{Chunk, ObjectId},
    ports::{ObjectStore, ObjectStoreLayer, StoreError},
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
impl ObjectStoreLayer for LyingStore {
    fn inner(&self) -> &dyn ObjectStore {
        &*self.honest
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
        ObjectStoreLayer::chunk(self, id, index).await
    }
}
