use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;

use super::MemoryObjectStore;
use crate::{
    envelope::{Chunk, ObjectId, SignedEnvelope},
    hash::{ChunkName, Locator},
    ports::{ObjectStore, ObjectWriter, Resumed, StoreError, StoreUsage},
};

/// A store in which some chunks cannot be read until their object is stored
/// anew; clones are the same store.
#[derive(Clone)]
pub struct DamagedStore {
    sound: MemoryObjectStore,
    damaged: Arc<Mutex<BTreeSet<(ObjectId, u64)>>>,
}

impl DamagedStore {
    /// A store with what is in this one, all of it readable.
    pub fn new(sound: MemoryObjectStore) -> Self {
        Self {
            sound,
            damaged: Arc::default(),
        }
    }

    /// Makes a chunk unreadable.
    pub fn damage(&self, id: ObjectId, index: u64) {
        self.damaged.lock().unwrap().insert((id, index));
    }

    fn is_damaged(&self, id: &ObjectId, index: u64) -> bool {
        self.damaged.lock().unwrap().contains(&(*id, index))
    }
}

struct Writer {
    inner: Box<dyn ObjectWriter>,
    store: DamagedStore,
}

impl Writer {
    fn mend(store: &DamagedStore, id: &ObjectId) {
        store.damaged.lock().unwrap().retain(|(damaged, _)| damaged != id);
    }
}

#[async_trait]
impl ObjectWriter for Writer {
    async fn append(&mut self, chunk: Chunk) -> Result<(), StoreError> {
        self.inner.append(chunk).await
    }

    async fn finish(self: Box<Self>, envelope: &SignedEnvelope) -> Result<(), StoreError> {
        self.inner.finish(envelope).await?;
        Self::mend(&self.store, &envelope.id);
        Ok(())
    }

    async fn restore(self: Box<Self>, envelope: &SignedEnvelope) -> Result<(), StoreError> {
        self.inner.restore(envelope).await?;
        Self::mend(&self.store, &envelope.id);
        Ok(())
    }

    fn discard(self: Box<Self>) {
        self.inner.discard();
    }
}

#[async_trait]
impl ObjectStore for DamagedStore {
    async fn create(&self) -> Result<Box<dyn ObjectWriter>, StoreError> {
        Ok(Box::new(Writer {
            inner: self.sound.create().await?,
            store: self.clone(),
        }))
    }

    async fn resume(&self, envelope: &SignedEnvelope) -> Result<Resumed, StoreError> {
        let Resumed { kept, writer } = self.sound.resume(envelope).await?;
        Ok(Resumed {
            kept,
            writer: Box::new(Writer {
                inner: writer,
                store: self.clone(),
            }),
        })
    }

    async fn replace_envelope(&self, envelope: &SignedEnvelope) -> Result<bool, StoreError> {
        self.sound.replace_envelope(envelope).await
    }

    async fn envelope(&self, id: &ObjectId) -> Result<Option<SignedEnvelope>, StoreError> {
        self.sound.envelope(id).await
    }

    async fn envelopes(&self, locator: &Locator) -> Result<Vec<SignedEnvelope>, StoreError> {
        self.sound.envelopes(locator).await
    }

    async fn chunk_names(
        &self,
        id: &ObjectId,
        first: u64,
        count: usize,
    ) -> Result<Vec<ChunkName>, StoreError> {
        self.sound.chunk_names(id, first, count).await
    }

    async fn chunk(&self, id: &ObjectId, index: u64) -> Result<Chunk, StoreError> {
        if self.is_damaged(id, index) {
            return Err(StoreError::Corrupt(format!("chunk {index} of an object")));
        }
        self.sound.chunk(id, index).await
    }

    async fn remove(&self, id: &ObjectId) -> Result<bool, StoreError> {
        self.sound.remove(id).await
    }

    async fn list(&self, after: Option<&ObjectId>, limit: usize) -> Result<Vec<ObjectId>, StoreError> {
        self.sound.list(after, limit).await
    }

    async fn usage(&self) -> Result<StoreUsage, StoreError> {
        self.sound.usage().await
    }
}
