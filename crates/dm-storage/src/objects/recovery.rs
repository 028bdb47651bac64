//! What is done at opening: a new epoch, and files, bucket and engine brought together.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use bytes::Bytes;
use dm_core::{
    envelope::{ObjectId, SignedEnvelope},
    ports::{KeptLimits, StoreError, StoreUsage},
};

use super::{
    bucket::Bucket,
    bucket_index, changes, chunks,
    epochs::{self, Living},
    files::Files,
    record::{Body, BodyId, Record, record_key},
};
use crate::{
    commits::{
        changes::Changes,
        committer::{Committer, Need},
        meta,
        totals::Totals,
        transaction::Transaction,
    },
    engine::{Committed, Engine, Reads, Table, scan_prefix},
    error::StorageFault,
};

/// Pause behind each file that is looked at: files are many, and nobody waits for it.
const SWEEP_PAUSE: Duration = Duration::from_millis(1);
/// Records that are read at once when everything is counted anew.
const PAGE: usize = 256;

/// Refuses to open a store without the bucket that it has objects in.
pub(crate) fn refuse_other_bucket(
    dir: &Path,
    engine: &dyn Engine,
    bucket: Option<&dyn Bucket>,
) -> Result<(), StoreError> {
    match bucket {
        Some(bucket) if bucket.last_epoch() > 0 => Ok(()),
        _ if !bucket_index::has_bodies(engine)? => Ok(()),
        Some(bucket) => Err(StorageFault::OtherBucket {
            dir: dir.to_owned(),
            url: bucket.url(),
        }
        .into()),
        None => Err(StorageFault::BucketNotSet(dir.to_owned()).into()),
    }
}

/// Begins a new epoch, durably, and returns it. In an embedded engine that is new, where
/// there are files of large objects, these are taken back first: that engine
/// stands in for one that was lost. From a bucket is taken back what a later engine
/// than this one has stored there.
pub(crate) fn begin_epoch(
    engine: &dyn Engine,
    files: &Files,
    bucket: Option<&dyn Bucket>,
    limits: KeptLimits,
) -> Result<u64, StoreError> {
    loop {
        let known = match meta::epoch(&Committed(engine))? {
            Some(known) => known,
            None if engine.is_shared() => 0,
            None => take_back(engine, files)?,
        };
        // The bucket is looked through before others have to wait.
        let newer = match bucket {
            Some(bucket) if bucket.last_epoch() > known => Some(bucket.bodies_after(known)?),
            _ => None,
        };
        let mut begun = None;
        engine.transact(&mut |reads| {
            let mut changes = Changes::default();
            if meta::epoch(reads)?.is_some_and(|epoch| epoch != known) {
                // Another store has begun meanwhile.
                begun = None;
                return Ok(Vec::new());
            }
            let mut last = known;
            if let (Some(bucket), Some(newer)) = (bucket, &newer) {
                take_back_from_bucket(reads, newer, limits, &mut changes)?;
                last = bucket.last_epoch();
            }
            if !engine.is_shared() {
                epochs::end_all(engine, &mut changes)?;
            }
            begun = Some(epochs::begin(reads, &mut changes, bucket, last)?);
            Ok(changes.into_list())
        })?;
        if let Some(epoch) = begun {
            return Ok(epoch);
        }
    }
}

/// The counters of an engine. What is kept for whom is counted anew where that was
/// never done, or done for another account.
pub(crate) fn totals(engine: &dyn Engine, limits: KeptLimits, epoch: u64) -> Result<Totals, StoreError> {
    let (mut totals, is_counted) = Totals::load(&Committed(engine), limits, epoch)?;
    if !is_counted {
        engine.transact(&mut |reads| {
            let is_counted;
            (totals, is_counted) = Totals::load(reads, limits, epoch)?;
            let mut changes = Changes::default();
            if !is_counted {
                count_all(engine, &mut totals)?;
                totals.write(&mut changes);
            }
            Ok(changes.into_list())
        })?;
    }
    Ok(totals)
}

/// Counts what is kept for whom. Nobody writes meanwhile.
fn count_all(engine: &dyn Engine, totals: &mut Totals) -> Result<(), StoreError> {
    let mut after: Option<Bytes> = None;
    loop {
        let page = scan_prefix(engine, Table::Records, &[], after.as_deref(), PAGE)?;
        let Some((last, _)) = page.last() else {
            return Ok(());
        };
        after = Some(last.clone());
        for (_, record) in &page {
            // A damaged record costs only itself; readers say which it is.
            if let Ok(Record { envelope, .. }) = Record::decode(record) {
                totals.add_kept(&envelope);
            }
        }
    }
}

/// Adds records for all whole files, and returns the highest epoch among them.
/// Where an object has several, the newest envelope counts.
fn take_back(engine: &dyn Engine, files: &Files) -> Result<u64, StoreError> {
    let mut changes = Changes::default();
    let mut newest = BTreeMap::new();
    let mut highest_epoch = 0;
    for listed in files.list().map_err(StoreError::from_io)? {
        let (id, body) = listed.map_err(StoreError::from_io)?;
        highest_epoch = highest_epoch.max(body.epoch);
        let Some(envelope) = files.stored_envelope(&id, body).map_err(StoreError::from_io)? else {
            tracing::warn!(object = %id.locator, "a file in the object store is not whole and is left out");
            continue;
        };
        let record = Record {
            body: Body::File(body),
            envelope,
        };
        let present = newest.entry(id).or_insert_with(|| record.clone());
        if record.envelope.sequence > present.envelope.sequence {
            *present = record;
        }
    }
    let mut usage = StoreUsage::default();
    for (id, record) in &newest {
        usage.objects += 1;
        usage.bytes += record.envelope.sealed_size();
        let key = Bytes::copy_from_slice(&record_key(id));
        changes.set(Table::Records, key, Some(record.encode()));
    }
    if usage.objects > 0 {
        meta::set_usage(&mut changes, usage);
        tracing::warn!(
            objects = usage.objects,
            "the engine is new: took objects back from their files"
        );
    }
    engine.transact(&mut |_| Ok(changes.list()))?;
    Ok(highest_epoch)
}

/// Adds records for bodies in a bucket that were stored later than what the engine knows, where
/// they are newer than what is known of their objects.
fn take_back_from_bucket(
    reads: &dyn Reads,
    bodies: &[(BodyId, SignedEnvelope)],
    limits: KeptLimits,
    changes: &mut Changes,
) -> Result<(), StoreError> {
    let (mut totals, is_counted) = Totals::load(reads, limits, 0)?;
    let mut newest: BTreeMap<ObjectId, Record> = BTreeMap::new();
    for (body, envelope) in bodies {
        let id = envelope.id;
        let stored = match newest.get(&id) {
            Some(record) => Some(record.envelope.sequence),
            None => match changes::stored(|key| reads.get(Table::Records, key), &id) {
                Err(StoreError::Corrupt(_)) => None,
                stored => stored?.map(|record| record.envelope.sequence),
            },
        };
        if stored.is_none_or(|stored| envelope.sequence > stored) {
            let (body, envelope) = (Body::Bucket(*body), envelope.clone());
            newest.insert(id, Record { body, envelope });
        }
    }
    if newest.is_empty() {
        return Ok(());
    }
    for (id, record) in &newest {
        let key = record_key(id);
        if let Ok(Some(replaced)) = changes::stored(|key| reads.get(Table::Records, key), id) {
            totals.subtract(&replaced.envelope);
            take_out(&replaced, changes);
        }
        totals.add(&record.envelope);
        if let Body::Bucket(body) = record.body {
            let entry = bucket_index::body_entry(id);
            changes.set(Table::Meta, bucket_index::body_key(body).into(), Some(entry));
        }
        changes.set(
            Table::Records,
            Bytes::copy_from_slice(&key),
            Some(record.encode()),
        );
    }
    if is_counted {
        totals.write(changes);
    } else {
        meta::set_usage(changes, totals.usage);
    }
    tracing::warn!(
        objects = newest.len(),
        "the engine is older than the bucket: took objects back"
    );
    Ok(())
}

/// Deletes what the engine has of a body that is replaced; a file is found by the sweep.
fn take_out(replaced: &Record, changes: &mut Changes) {
    match replaced.body {
        Body::Inline(body) => {
            for key in chunks::keys(body, replaced.envelope.chunk_count()) {
                changes.set(Table::Chunks, key, None);
            }
        }
        Body::Bucket(body) => changes.set(Table::Meta, bucket_index::body_key(body).into(), None),
        Body::File(_) => {}
    }
}

/// What is looked through after opening, and from time to time where others write as well.
pub(crate) struct Sweep {
    pub(crate) engine: Arc<dyn Engine>,
    pub(crate) files: Files,
    pub(crate) bucket: Option<Arc<dyn Bucket>>,
    pub(crate) committer: Arc<Committer>,
}

impl Sweep {
    /// Deletes what epochs that have ended have left: see [`Sweep::files`] and [`Bucket::collect`].
    pub(crate) fn run(&self, own: u64, stop: &AtomicBool) {
        let living = match self.living(own) {
            Ok(living) => living,
            Err(error) => {
                tracing::warn!(%error, "could not look which instances write to the object store");
                return;
            }
        };
        if let Err(error) = self.files(&living, stop) {
            tracing::warn!(%error, "could not look through the files of the object store");
        }
        if let Some(bucket) = &self.bucket
            && let Err(error) = bucket.collect(&*self.engine, &self.committer, &living, stop)
        {
            tracing::warn!(%error, "could not look through the bucket; the next start does");
        }
    }

    /// Who writes, and may go on with that.
    fn living(&self, own: u64) -> Result<Living, StoreError> {
        if self.engine.is_shared() {
            let engine = self.engine.clone();
            let end = move |transaction: &mut Transaction<'_>| epochs::end_silent(&*engine, transaction);
            self.committer.run_blocking(Need::Nothing, end)?;
        }
        Living::now(&*self.engine, own)
    }

    /// Deletes the files of ended epochs that no record points to: of objects
    /// whose commit never happened, and of those whose file outlived its record.
    /// Safe beside readers and writers, because bodies of such epochs are never made again.
    fn files(&self, living: &Living, stop: &AtomicBool) -> Result<(), StoreError> {
        for listed in self.files.list().map_err(StoreError::from_io)? {
            if stop.load(Ordering::Relaxed) {
                return Ok(());
            }
            thread::sleep(SWEEP_PAUSE);
            let (id, body) = listed.map_err(StoreError::from_io)?;
            let record = match changes::stored(|key| self.engine.get(Table::Records, key), &id) {
                // Its file may be all that is left of it.
                Err(StoreError::Corrupt(_)) => continue,
                record => record?,
            };
            let needed = record.is_some_and(|record| record.body == Body::File(body));
            if living.has_ended(body.epoch) && !needed {
                self.files.delete(&id, body).map_err(StoreError::from_io)?;
                tracing::debug!(object = %id.locator, "deleted the file of an object that is not stored");
            }
        }
        Ok(())
    }
}
