//! The object store: envelopes and small bodies in the engine, large bodies in files or in
//! the bucket of an S3 store.

mod bodies;
pub(crate) mod bucket;
mod bucket_index;
pub(crate) mod cache;
mod changes;
mod chunks;
pub(crate) mod epochs;
mod feed;
mod file_writer;
pub(crate) mod files;
#[cfg(feature = "postgres")]
pub(crate) mod following;
mod health;
pub(crate) mod layout;
mod meter;
mod partial;
pub(crate) mod record;
pub(crate) mod recovery;
#[cfg(feature = "s3")]
mod s3;
mod tally;
mod trailer;
mod unfinished;
mod unfinished_file;
mod writer;

pub use meter::StorageMeter;

use std::{fs::File, ops::Range, sync::Arc, time::Instant};

use async_trait::async_trait;
use dm_core::{
    damage::DamageLog,
    envelope::{Chunk, ObjectId, SignedEnvelope},
    hash::{ChunkName, Locator},
    meter::Histogram,
    ports::{
        Kept, KeptLimits, MAX_OWNERS_LISTED, ObjectStore, ObjectWriter, Resumed, StorageQuota, StoreError,
        StoreUsage,
    },
};
use futures::{FutureExt, future::BoxFuture};
use tokio::sync::Notify;

use self::{
    bodies::{Bodies, ReadError, Reading},
    bucket::Bucket,
    cache::{MAX_CACHED_CHUNK, ReadCache},
    changes::{Removed, Replaced},
    files::Files,
    record::{Body, BodyIds, Record, entry_key, object_id, record_key},
    writer::LocalWriter,
};
use crate::{
    blocking::{blocking, joined},
    commits::{
        committer::{Committer, Need},
        transaction::Transaction,
    },
    disk::{space::Space, write_state::WriteState},
    engine::{Engine, Table, scan_prefix},
};

/// What reads and writes of objects share.
pub(crate) struct Objects {
    pub(crate) engine: Arc<dyn Engine>,
    pub(crate) committer: Arc<Committer>,
    pub(crate) files: Files,
    /// Where new large bodies go instead of files.
    pub(crate) bucket: Option<Arc<dyn Bucket>>,
    pub(crate) space: Space,
    pub(crate) cache: ReadCache,
    pub(crate) ids: BodyIds,
    /// Rings when objects have changed.
    pub(crate) changed: Notify,
    /// What could not be read.
    pub(crate) damage: DamageLog,
    /// How the last commits of the engine went.
    pub(crate) state: WriteState,
    /// How the last writes of large objects' files went.
    pub(crate) file_state: WriteState,
    /// How long it took to read records and chunks that were not in memory.
    pub(crate) reads: Histogram,
    /// Bytes of chunks up to which a body goes to the engine.
    pub(crate) inline_bytes: u64,
    /// Keeps other processes out for as long as anything uses the store.
    pub(crate) _lock: File,
}

/// The object store of one folder; clones are the same store.
#[derive(Clone)]
pub(crate) struct LocalObjects(pub(crate) Arc<Objects>);

impl Objects {
    /// The record of an object, from memory where it is there. Where others write as well,
    /// they do not say so, and no record is kept in memory.
    ///
    /// A reader takes its place in the cache before it reads the engine, and a
    /// writer clears that place after its commit: a record that was read before
    /// a commit therefore never gets into the cache after it.
    async fn record(&self, id: &ObjectId) -> Result<Option<Arc<Record>>, StoreError> {
        if self.engine.is_shared() {
            return self.read_record(*id).await;
        }
        let place = match self.cache.records.get_value_or_guard_async(id).await {
            Ok(record) => return Ok(Some(record)),
            Err(place) => place,
        };
        let Some(record) = self.read_record(*id).await? else {
            return Ok(None);
        };
        // Refused where a writer has cleared the place: then nothing is cached.
        drop(place.insert(record.clone()));
        Ok(Some(record))
    }

    async fn read_record(&self, id: ObjectId) -> Result<Option<Arc<Record>>, StoreError> {
        let engine = self.engine.clone();
        let started = Instant::now();
        let found = blocking(move || read_object(&*engine, &id)).await?;
        self.reads.took(started.elapsed());
        let Some((record, chunk)) = found else {
            return Ok(None);
        };
        if let (Body::Inline(body), Some(chunk)) = (record.body, chunk) {
            self.cache.keep_chunk(body, 0, &chunk);
        }
        Ok(Some(Arc::new(record)))
    }

    /// Reads something of an object's body. Where the body is gone because the
    /// object was replaced or removed in between, the new one is read.
    async fn read_body<T, Read>(self: &Arc<Self>, id: &ObjectId, read: Read) -> Result<T, StoreError>
    where
        Read: Fn(Arc<Self>, Arc<Record>) -> BoxFuture<'static, Result<T, ReadError>>,
    {
        let mut record = self.record(id).await?.ok_or(StoreError::Missing)?;
        let started = Instant::now();
        loop {
            match read(self.clone(), record.clone()).await {
                Ok(value) => {
                    self.reads.took(started.elapsed());
                    return Ok(value);
                }
                Err(ReadError::Store(error)) => return Err(error),
                Err(ReadError::Gone) => {
                    let newest = self.record(id).await?.ok_or(StoreError::Missing)?;
                    if newest.body == record.body {
                        return Err(StoreError::Corrupt("the chunks of an object are gone".into()));
                    }
                    record = newest;
                }
            }
        }
    }

    /// Where large bodies go that are written from now on.
    fn place_for_new(&self) -> &dyn Bodies {
        match &self.bucket {
            Some(bucket) => &**bucket,
            None => &self.files,
        }
    }

    /// The place of bodies in the bucket, which is there where there are any: the store is
    /// not opened else.
    fn in_bucket(&self) -> Result<&dyn Bodies, StoreError> {
        match &self.bucket {
            Some(bucket) => Ok(&**bucket),
            None => Err(StoreError::Unavailable("no bucket is configured".to_owned())),
        }
    }

    /// After a commit that changed an object: takes what it has replaced out of
    /// memory and off its medium.
    pub(crate) async fn clean_up(&self, id: ObjectId, replaced: Option<Replaced>) {
        self.changed.notify_one();
        self.cache.forget_object(&id, replaced.as_ref());
        let removed = match replaced.map(|record| record.body) {
            None | Some(Body::Inline(_)) => Ok(()),
            Some(Body::File(body)) => self.files.remove(&id, body).await,
            Some(Body::Bucket(body)) => match self.in_bucket() {
                Ok(bucket) => bucket.remove(&id, body).await,
                Err(error) => Err(error),
            },
        };
        if let Err(error) = removed {
            tracing::warn!(%error, "the body of a removed object stays until the next start");
        }
    }

    /// Two chunks in a row of a file; one of what is in another place by now.
    async fn read_pair(self: Arc<Self>, record: Arc<Record>, first: u64) -> Result<Vec<Chunk>, ReadError> {
        match record.body {
            Body::File(body) => self.files.pair(&record.envelope, body, first).await,
            _ => Ok(vec![self.read_chunk(record, first, Reading::Usual).await?]),
        }
    }

    async fn read_chunk(
        self: Arc<Self>,
        record: Arc<Record>,
        index: u64,
        reading: Reading,
    ) -> Result<Chunk, ReadError> {
        if index >= record.envelope.chunk_count() {
            return Err(ReadError::Store(StoreError::Missing));
        }
        let body = match record.body {
            Body::File(body) => return self.files.chunk(&record.envelope, body, index, reading).await,
            Body::Bucket(body) => {
                let bucket = self.in_bucket()?;
                return bucket.chunk(&record.envelope, body, index, reading).await;
            }
            Body::Inline(body) => body,
        };
        let chunk = blocking(move || {
            let chunk = chunks::get(&*self.engine, body, index)?;
            if let Some(chunk) = &chunk {
                self.cache.keep_chunk(body, index, chunk);
            }
            Ok(chunk)
        });
        chunk.await?.ok_or(ReadError::Gone)
    }

    /// Writes down that something of an object could not be read.
    pub(crate) fn note_damage<T>(&self, id: &ObjectId, read: Result<T, StoreError>) -> Result<T, StoreError> {
        if matches!(read, Err(StoreError::Corrupt(_))) {
            self.damage.found(*id);
        }
        read
    }

    /// Writes down that the file of a large object could not be written. What was
    /// written of it is deleted.
    pub(crate) fn note_file_fault(&self, error: StoreError) -> StoreError {
        match error {
            // Refused before the disk was asked, or by a disk that is nearly full: the free space says it.
            StoreError::Full => StoreError::Full,
            // The bucket, which says it itself.
            StoreError::Unavailable(reason) => StoreError::Unavailable(reason),
            error => {
                self.file_state.failed(&error);
                StoreError::Unavailable(error.to_string())
            }
        }
    }

    async fn read_names(
        self: Arc<Self>,
        record: Arc<Record>,
        indexes: Range<u64>,
    ) -> Result<Vec<ChunkName>, ReadError> {
        let body = match record.body {
            Body::File(body) => return self.files.names(&record.envelope, body, indexes).await,
            Body::Bucket(body) => return self.in_bucket()?.names(&record.envelope, body, indexes).await,
            Body::Inline(body) => body,
        };
        let names = blocking(move || {
            let names = indexes.map(|index| chunks::name(&*self.engine, body, index));
            names.collect::<Result<Option<Vec<_>>, _>>()
        });
        names.await?.ok_or(ReadError::Gone)
    }
}

/// A record, and the chunk where it has but a small one: whoever wants the
/// envelope wants the chunk next.
fn read_object(engine: &dyn Engine, id: &ObjectId) -> Result<Option<(Record, Option<Chunk>)>, StoreError> {
    let Some(record) = changes::stored(|key| engine.get(Table::Records, key), id)? else {
        return Ok(None);
    };
    let chunk = match record.body {
        Body::Inline(body) if record.envelope.sealed_size() <= MAX_CACHED_CHUNK => {
            // An error shows when the chunk itself is asked for.
            chunks::get(engine, body, 0).unwrap_or_default()
        }
        _ => None,
    };
    Ok(Some((record, chunk)))
}

#[async_trait]
impl ObjectStore for LocalObjects {
    async fn create(&self) -> Result<Box<dyn ObjectWriter>, StoreError> {
        Ok(Box::new(LocalWriter::new(self.0.clone())))
    }

    async fn resume(&self, envelope: &SignedEnvelope) -> Result<Resumed, StoreError> {
        LocalWriter::resume(self.0.clone(), envelope).await
    }

    async fn replace_envelope(&self, envelope: &SignedEnvelope) -> Result<bool, StoreError> {
        let (objects, envelope) = (self.0.clone(), envelope.clone());
        // A task of its own, so that the cache is cleared even if the caller goes away.
        joined(tokio::spawn(async move {
            let (id, need) = (envelope.id, Need::of(&envelope));
            let change =
                move |transaction: &mut Transaction<'_>| changes::replace_envelope(transaction, &envelope);
            let newer = objects.committer.run_on(need, entry_key(&id), change).await?;
            objects.clean_up(id, None).await;
            Ok(newer)
        }))
        .await
    }

    async fn envelope(&self, id: &ObjectId) -> Result<Option<SignedEnvelope>, StoreError> {
        let record = self.0.note_damage(id, self.0.record(id).await)?;
        Ok(record.map(|record| record.envelope.clone()))
    }

    async fn envelopes(&self, locator: &Locator) -> Result<Vec<SignedEnvelope>, StoreError> {
        let (objects, locator) = (self.0.clone(), *locator);
        blocking(move || {
            let prefix = locator.as_bytes();
            let records = scan_prefix(&*objects.engine, Table::Records, prefix, None, MAX_OWNERS_LISTED)?;
            let mut envelopes = Vec::with_capacity(records.len());
            for (key, record) in records {
                let id = object_id(&key)?;
                match objects.note_damage(&id, Record::decode(&record)) {
                    Ok(record) => envelopes.push(record.envelope),
                    // One damaged record hides no other.
                    Err(StoreError::Corrupt(_)) => {}
                    Err(error) => return Err(error),
                }
            }
            Ok(envelopes)
        })
        .await
    }

    async fn chunk_names(
        &self,
        id: &ObjectId,
        first: u64,
        count: usize,
    ) -> Result<Vec<ChunkName>, StoreError> {
        let read = move |objects: Arc<Objects>, record: Arc<Record>| {
            let end = first
                .saturating_add(count as u64)
                .min(record.envelope.chunk_count());
            objects.read_names(record, first.min(end)..end).boxed()
        };
        self.0.note_damage(id, self.0.read_body(id, read).await)
    }

    async fn chunk(&self, id: &ObjectId, index: u64) -> Result<Chunk, StoreError> {
        let record = self.0.record(id).await?.ok_or(StoreError::Missing)?;
        if let Body::Inline(body) = record.body
            && let Some(cached) = self.0.cache.chunk(body, index)
        {
            return Chunk::checked(cached.name(), cached.bytes().clone())
                .ok_or_else(|| StoreError::Corrupt(format!("chunk {index} of an object, in memory")));
        }
        let read =
            move |objects: Arc<Objects>, record| objects.read_chunk(record, index, Reading::Usual).boxed();
        self.0.note_damage(id, self.0.read_body(id, read).await)
    }

    async fn chunks(&self, id: &ObjectId, first: u64, count: u64) -> Result<Vec<Chunk>, StoreError> {
        let record = self.0.record(id).await?.ok_or(StoreError::Missing)?;
        let has_pair = count > 1 && first.saturating_add(1) < record.envelope.chunk_count();
        if !has_pair || !matches!(record.body, Body::File(_)) {
            return Ok(vec![self.chunk(id, first).await?]);
        }
        let read = move |objects: Arc<Objects>, record: Arc<Record>| objects.read_pair(record, first).boxed();
        self.0.note_damage(id, self.0.read_body(id, read).await)
    }

    async fn chunk_from_medium(&self, id: &ObjectId, index: u64) -> Result<Chunk, StoreError> {
        let read = move |objects: Arc<Objects>, record| {
            objects.read_chunk(record, index, Reading::FromMedium).boxed()
        };
        self.0.note_damage(id, self.0.read_body(id, read).await)
    }

    fn is_damaged(&self, id: &ObjectId) -> bool {
        self.0.damage.contains(id)
    }

    async fn remove(&self, id: &ObjectId) -> Result<bool, StoreError> {
        let (objects, id) = (self.0.clone(), *id);
        joined(tokio::spawn(async move {
            let change = move |transaction: &mut Transaction<'_>| changes::remove(transaction, &id);
            let Removed { existed, record } = objects
                .committer
                .run_on(Need::Nothing, entry_key(&id), change)
                .await?;
            objects.clean_up(id, record).await;
            objects.damage.mended(&id);
            let partials = objects.files.partials.clone();
            blocking(move || partials.forget(&id).map_err(StoreError::from_io)).await?;
            Ok(existed)
        }))
        .await
    }

    async fn list(&self, after: Option<&ObjectId>, limit: usize) -> Result<Vec<ObjectId>, StoreError> {
        let engine = self.0.engine.clone();
        let after = after.map(record_key);
        blocking(move || {
            let after = after.as_ref().map(|key| &key[..]);
            let records = scan_prefix(&*engine, Table::Records, &[], after, limit)?;
            // A key that is none would end every walk; what stands under it cannot be asked for.
            Ok(records
                .iter()
                .filter_map(|(key, _)| object_id(key).ok())
                .collect())
        })
        .await
    }

    async fn usage(&self) -> Result<StoreUsage, StoreError> {
        Ok(self.0.committer.totals().usage)
    }
}

impl StorageQuota for LocalObjects {
    fn kept(&self) -> Kept {
        self.0.committer.totals().kept
    }

    fn limits(&self) -> KeptLimits {
        self.0.committer.totals().limits
    }
}
