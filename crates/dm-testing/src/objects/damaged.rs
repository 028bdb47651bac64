use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use dm_core::{
    damage::DamageLog,
    envelope::{Chunk, ObjectId, SignedEnvelope},
    hash::{ChunkName, Locator},
    ports::{ObjectStore, ObjectWriter, Resumed, StoreError, StoreUsage},
};

use super::MemoryObjectStore;

/// A store in which some chunks cannot be read until their object is stored
/// anew, and some only as long as nobody looks at the medium; clones are the
/// same store.
#[derive(Clone)]
pub struct DamagedStore {
    sound: MemoryObjectStore,
    damaged: Arc<Mutex<BTreeSet<(ObjectId, u64)>>>,
    /// Damaged chunks that can still be read from memory.
    in_memory: Arc<Mutex<BTreeSet<(ObjectId, u64)>>>,
    /// Objects whose envelope cannot be read.
    records: Arc<Mutex<BTreeSet<ObjectId>>>,
    log: DamageLog,
}

impl DamagedStore {
    /// A store with what is in this one, all of it readable.
    pub fn new(sound: MemoryObjectStore) -> Self {
        Self {
            sound,
            damaged: Arc::default(),
            in_memory: Arc::default(),
            records: Arc::default(),
            log: DamageLog::new(),
        }
    }

    /// Makes a chunk unreadable.
    pub fn damage(&self, id: ObjectId, index: u64) {
        self.damaged.lock().unwrap().insert((id, index));
    }

    /// Makes a chunk unreadable on the medium; it is still in memory.
    pub fn damage_on_medium(&self, id: ObjectId, index: u64) {
        self.damage(id, index);
        self.in_memory.lock().unwrap().insert((id, index));
    }

    /// Makes the envelope of an object unreadable.
    pub fn damage_record(&self, id: ObjectId) {
        self.records.lock().unwrap().insert(id);
    }

    fn check_record(&self, id: &ObjectId) -> Result<(), StoreError> {
        if self.records.lock().unwrap().contains(id) {
            self.log.found(*id);
            return Err(StoreError::Corrupt("the record of an object".to_owned()));
        }
        Ok(())
    }

    /// What readers came across.
    pub fn log(&self) -> DamageLog {
        self.log.clone()
    }
}

struct Writer {
    inner: Box<dyn ObjectWriter>,
    store: DamagedStore,
}

impl Writer {
    fn mend(store: &DamagedStore, id: &ObjectId) {
        for chunks in [&store.damaged, &store.in_memory] {
            chunks.lock().unwrap().retain(|(damaged, _)| damaged != id);
        }
        store.records.lock().unwrap().remove(id);
        store.log.mended(id);
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
        self.check_record(id)?;
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
        if self.in_memory.lock().unwrap().contains(&(*id, index)) {
            return self.sound.chunk(id, index).await;
        }
        self.chunk_from_medium(id, index).await
    }

    async fn chunk_from_medium(&self, id: &ObjectId, index: u64) -> Result<Chunk, StoreError> {
        if self.damaged.lock().unwrap().contains(&(*id, index)) {
            self.log.found(*id);
            return Err(StoreError::Corrupt(format!("chunk {index} of an object")));
        }
        self.sound.chunk(id, index).await
    }

    fn is_damaged(&self, id: &ObjectId) -> bool {
        self.log.contains(id)
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
