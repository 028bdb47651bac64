use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use dm_core::{
    damage::DamageLog,
    envelope::{Chunk, ObjectId, SignedEnvelope},
    ports::{ObjectStore, ObjectStoreLayer, ObjectWriter, StoreError},
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
impl ObjectStoreLayer for DamagedStore {
    fn inner(&self) -> &dyn ObjectStore {
        &self.sound
    }

    fn wrap_writer(&self, inner: Box<dyn ObjectWriter>) -> Box<dyn ObjectWriter> {
        let store = self.clone();
        Box::new(Writer { inner, store })
    }

    async fn envelope(&self, id: &ObjectId) -> Result<Option<SignedEnvelope>, StoreError> {
        self.check_record(id)?;
        self.inner().envelope(id).await
    }

    async fn chunk(&self, id: &ObjectId, index: u64) -> Result<Chunk, StoreError> {
        if self.in_memory.lock().unwrap().contains(&(*id, index)) {
            return self.inner().chunk(id, index).await;
        }
        ObjectStoreLayer::chunk_from_medium(self, id, index).await
    }

    async fn chunk_from_medium(&self, id: &ObjectId, index: u64) -> Result<Chunk, StoreError> {
        if self.damaged.lock().unwrap().contains(&(*id, index)) {
            self.log.found(*id);
            return Err(StoreError::Corrupt(format!("chunk {index} of an object")));
        }
        self.inner().chunk(id, index).await
    }

    fn is_damaged(&self, id: &ObjectId) -> bool {
        self.log.contains(id)
    }
}
