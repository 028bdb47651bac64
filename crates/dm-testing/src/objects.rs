//! [`MemoryObjectStore`], sample objects, and the suite for object stores.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod changes;
mod conformance;
mod damaged;
mod noted;
mod parts;
mod resuming;
mod sample;
mod unfinished;

use std::{
    collections::BTreeMap,
    ops::Bound,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering},
    },
};

use async_trait::async_trait;
use futures::{StreamExt, stream};

pub use self::{
    changes::*, conformance::*, damaged::DamagedStore, resuming::*, sample::SampleObject, unfinished::*,
};
use dm_core::{
    Address,
    envelope::{CHUNK_SIZE, Chunk, ChunkListHasher, Envelope, ObjectId, SignedEnvelope, sealed_len},
    hash::{ChunkName, Locator},
    ports::{
        Kept, KeptLimits, MAX_OWNERS_LISTED, ObjectStore, ObjectWriter, Resumed, StorageQuota, StoreError,
        StoreUsage, storage_cost,
    },
    upload::UploadId,
};

use self::noted::Noted;
use crate::faults::Faults;

/// Keeps objects in memory; clones share them.
#[derive(Clone, Default)]
pub struct MemoryObjectStore {
    objects: Arc<Mutex<Objects>>,
    noted: Arc<Noted>,
    /// What interrupted writers have left.
    unfinished: Arc<Mutex<BTreeMap<Unfinished, Vec<Chunk>>>>,
    /// What has come of objects in parts.
    parts: Arc<Mutex<BTreeMap<UploadId, Vec<Chunk>>>>,
    is_full: Arc<AtomicBool>,
    /// Most bytes that its objects may take, by [`storage_cost`].
    quota: Arc<Mutex<Option<u64>>>,
    faults: Faults,
}

type Objects = BTreeMap<ObjectId, StoredObject>;

/// Object and chunk list.
type Unfinished = (ObjectId, [u8; 32]);

#[derive(Clone)]
struct StoredObject {
    envelope: SignedEnvelope,
    chunks: Arc<[Chunk]>,
}

impl MemoryObjectStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty store whose writes fail when these say so.
    pub fn with_faults(faults: &Faults) -> Self {
        Self {
            faults: faults.clone(),
            ..Self::default()
        }
    }

    /// Says which writes fail.
    pub fn faults(&self) -> &Faults {
        &self.faults
    }

    /// Lets the disk be full, or have room again. As in a store on a disk, that
    /// shows when an object is to be made durable, and not when it is begun.
    pub fn set_full(&self, full: bool) {
        self.is_full.store(full, Ordering::Relaxed);
    }

    /// Limits what the objects may take in all, by [`storage_cost`].
    pub fn set_quota(&self, quota: Option<u64>) {
        *self.quota.lock().unwrap() = quota;
    }

    /// What is kept, for one who reads.
    fn read(&self) -> Result<MutexGuard<'_, Objects>, StoreError> {
        self.faults.read(failed)?;
        Ok(self.objects())
    }

    /// Makes one write that needs room where `envelope` takes more than what is
    /// stored under its id.
    fn write<T>(
        &self,
        envelope: Option<&SignedEnvelope>,
        change: impl FnOnce(&mut Objects) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.faults.write(failed, || {
            let mut objects = self.objects();
            if let Some(envelope) = envelope {
                self.ensure_room(&objects, envelope)?;
            }
            change(&mut objects)
        })
    }

    fn ensure_room(&self, objects: &Objects, envelope: &SignedEnvelope) -> Result<(), StoreError> {
        if self.is_full.load(Ordering::Relaxed) {
            return Err(StoreError::Full);
        }
        let Some(quota) = *self.quota.lock().unwrap() else {
            return Ok(());
        };
        let others = objects
            .values()
            .filter(|stored| stored.envelope.id != envelope.id);
        let taken: u64 = others.map(|stored| storage_cost(&stored.envelope)).sum();
        if taken.saturating_add(storage_cost(envelope)) > quota {
            return Err(StoreError::Full);
        }
        Ok(())
    }

    fn objects(&self) -> MutexGuard<'_, Objects> {
        self.objects.lock().unwrap()
    }

    fn unfinished(&self) -> MutexGuard<'_, BTreeMap<Unfinished, Vec<Chunk>>> {
        self.unfinished.lock().unwrap()
    }

    fn stored(&self, id: &ObjectId) -> Result<StoredObject, StoreError> {
        self.read()?.get(id).cloned().ok_or(StoreError::Missing)
    }
}

#[async_trait]
impl ObjectStore for MemoryObjectStore {
    async fn create(&self) -> Result<Box<dyn ObjectWriter>, StoreError> {
        self.faults.read(failed)?;
        Ok(Box::new(MemoryWriter {
            store: self.clone(),
            chunks: Vec::new(),
            resumes: None,
        }))
    }

    async fn resume(&self, envelope: &SignedEnvelope) -> Result<Resumed, StoreError> {
        self.faults.read(failed)?;
        let resumes = (envelope.id, envelope.chunk_list);
        let kept = self.unfinished().get(&resumes).cloned().unwrap_or_default();
        Ok(Resumed {
            kept: stream::iter(kept).boxed(),
            writer: Box::new(MemoryWriter {
                store: self.clone(),
                chunks: Vec::new(),
                resumes: Some(resumes),
            }),
        })
    }

    async fn replace_envelope(&self, envelope: &SignedEnvelope) -> Result<bool, StoreError> {
        self.write(Some(envelope), |objects| {
            let stored = objects.get_mut(&envelope.id).ok_or(StoreError::Missing)?;
            if stored.envelope.chunk_list != envelope.chunk_list || stored.envelope.size != envelope.size {
                return Err(StoreError::Mismatch("the new envelope is over other chunks"));
            }
            let newer = envelope.sequence > stored.envelope.sequence;
            if newer {
                stored.envelope = envelope.clone();
                self.noted.note(envelope.id, Some(envelope.sequence));
            }
            Ok(newer)
        })
    }

    async fn envelope(&self, id: &ObjectId) -> Result<Option<SignedEnvelope>, StoreError> {
        Ok(self.read()?.get(id).map(|stored| stored.envelope.clone()))
    }

    async fn envelopes(&self, locator: &Locator) -> Result<Vec<SignedEnvelope>, StoreError> {
        let objects = self.read()?;
        let first = ObjectId {
            locator: *locator,
            owner: Address::ZERO,
        };
        let under_locator = objects
            .range(first..)
            .take_while(|(id, _)| id.locator == *locator);
        Ok(under_locator
            .take(MAX_OWNERS_LISTED)
            .map(|(_, stored)| stored.envelope.clone())
            .collect())
    }

    async fn chunk_names(
        &self,
        id: &ObjectId,
        first: u64,
        count: usize,
    ) -> Result<Vec<ChunkName>, StoreError> {
        let stored = self.stored(id)?;
        let first = usize::try_from(first).unwrap_or(usize::MAX);
        Ok(stored
            .chunks
            .iter()
            .skip(first)
            .take(count)
            .map(Chunk::name)
            .collect())
    }

    async fn chunk(&self, id: &ObjectId, index: u64) -> Result<Chunk, StoreError> {
        let stored = self.stored(id)?;
        let index = usize::try_from(index).unwrap_or(usize::MAX);
        stored.chunks.get(index).cloned().ok_or(StoreError::Missing)
    }

    async fn chunk_from_medium(&self, id: &ObjectId, index: u64) -> Result<Chunk, StoreError> {
        self.chunk(id, index).await
    }

    fn is_damaged(&self, _: &ObjectId) -> bool {
        false
    }

    async fn remove(&self, id: &ObjectId) -> Result<bool, StoreError> {
        self.write(None, |objects| {
            let existed = objects.remove(id).is_some();
            if existed {
                self.noted.note(*id, None);
            }
            Ok(existed)
        })
    }

    async fn list(&self, after: Option<&ObjectId>, limit: usize) -> Result<Vec<ObjectId>, StoreError> {
        let start = after.map_or(Bound::Unbounded, |id| Bound::Excluded(*id));
        let objects = self.read()?;
        Ok(objects
            .range((start, Bound::Unbounded))
            .map(|(id, _)| *id)
            .take(limit)
            .collect())
    }

    async fn usage(&self) -> Result<StoreUsage, StoreError> {
        let objects = self.objects();
        Ok(StoreUsage {
            objects: objects.len() as u64,
            bytes: objects.values().map(|stored| stored.envelope.sealed_size()).sum(),
        })
    }
}

/// Without limits; everything counts as foreign.
impl StorageQuota for MemoryObjectStore {
    fn kept(&self) -> Kept {
        let foreign = self
            .objects()
            .values()
            .map(|stored| storage_cost(&stored.envelope))
            .sum();
        Kept { own: 0, foreign }
    }

    fn limits(&self) -> KeptLimits {
        KeptLimits::NONE
    }
}

struct MemoryWriter {
    store: MemoryObjectStore,
    chunks: Vec<Chunk>,
    resumes: Option<Unfinished>,
}

impl Drop for MemoryWriter {
    fn drop(&mut self) {
        let Some(resumes) = self.resumes else { return };
        let mut unfinished = self.store.unfinished();
        let kept = unfinished.entry(resumes).or_default();
        if kept.len() < self.chunks.len() {
            *kept = std::mem::take(&mut self.chunks);
        }
    }
}

#[async_trait]
impl ObjectWriter for MemoryWriter {
    async fn append(&mut self, chunk: Chunk) -> Result<(), StoreError> {
        if self
            .chunks
            .last()
            .is_some_and(|last| last.bytes().len() as u64 != sealed_len(CHUNK_SIZE))
        {
            return Err(StoreError::Mismatch("only the last chunk may be short"));
        }
        self.chunks.push(chunk);
        Ok(())
    }

    async fn finish(self: Box<Self>, envelope: &SignedEnvelope) -> Result<(), StoreError> {
        self.store(envelope, envelope.sequence)
    }

    async fn restore(self: Box<Self>, envelope: &SignedEnvelope) -> Result<(), StoreError> {
        self.store(envelope, envelope.sequence.saturating_add(1))
    }

    fn discard(mut self: Box<Self>) {
        self.forget();
    }
}

impl MemoryWriter {
    /// Stores the object unless the stored one has this sequence number or a
    /// higher one.
    fn store(mut self, envelope: &SignedEnvelope, refused: u64) -> Result<(), StoreError> {
        self.forget();
        check_chunks(&self.chunks, envelope)?;
        let chunks = std::mem::take(&mut self.chunks).into();
        self.store.write(Some(envelope), |objects| {
            if let Some(stored) = objects.get(&envelope.id)
                && stored.envelope.sequence >= refused
            {
                return Err(StoreError::Stale {
                    stored: stored.envelope.sequence,
                });
            }
            let envelope = envelope.clone();
            self.store.noted.note(envelope.id, Some(envelope.sequence));
            objects.insert(envelope.id, StoredObject { envelope, chunks });
            Ok(())
        })
    }

    /// Leaves nothing for a later writer.
    fn forget(&mut self) {
        if let Some(resumes) = self.resumes.take() {
            self.store.unfinished().remove(&resumes);
        }
    }
}

fn failed(reason: &'static str) -> StoreError {
    StoreError::Failed(reason.into())
}

fn check_chunks(chunks: &[Chunk], envelope: &Envelope) -> Result<(), StoreError> {
    if chunks.len() as u64 != envelope.chunk_count() {
        return Err(StoreError::Mismatch("their number differs"));
    }
    let mut names = ChunkListHasher::default();
    chunks.iter().for_each(|chunk| names.push(&chunk.name()));
    if names.finish() != envelope.chunk_list {
        return Err(StoreError::Mismatch("their names differ"));
    }
    let lengths_fit = (0..)
        .zip(chunks)
        .all(|(index, chunk)| chunk.bytes().len() as u64 == envelope.chunk_len(index));
    if !lengths_fit {
        return Err(StoreError::Mismatch("their lengths differ"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    async fn open() -> (std::sync::Arc<dyn dm_core::ports::ObjectStore>, ()) {
        (std::sync::Arc::new(super::MemoryObjectStore::new()), ())
    }

    crate::object_store_conformance!(open);

    /// A layer keeps what the store below it promises.
    mod layer {
        use std::sync::Arc;

        use dm_core::ports::ObjectStore;

        use crate::objects::{DamagedStore, MemoryObjectStore};

        async fn open() -> (Arc<dyn ObjectStore>, ()) {
            (Arc::new(DamagedStore::new(MemoryObjectStore::new())), ())
        }

        crate::object_store_conformance!(open);
    }

    mod changes {
        use std::sync::Arc;

        use dm_core::ports::{ObjectChanges, ObjectStore};

        use crate::objects::MemoryObjectStore;

        async fn open() -> (Arc<dyn ObjectStore>, Arc<dyn ObjectChanges>, ()) {
            let store = MemoryObjectStore::new();
            (Arc::new(store.clone()), Arc::new(store), ())
        }

        crate::object_changes_conformance!(open);
    }
}
