//! What is done at opening: a new epoch, and files and engine brought together.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use bytes::Bytes;
use dm_core::ports::{KeptLimits, StoreError, StoreUsage};

use super::{
    changes,
    files::Files,
    record::{Body, Record, record_key},
};
use crate::{
    commits::{changes::Changes, meta, totals::Totals},
    engine::{Engine, Table, scan_prefix},
};

/// Pause behind each file that is looked at: files are many, and nobody waits for it.
const SWEEP_PAUSE: Duration = Duration::from_millis(1);
/// Records that are read at once when everything is counted anew.
const PAGE: usize = 256;

/// Begins a new epoch, durably, and returns it. In an engine that is new, where
/// there are files of large objects, these are taken back first: that engine
/// stands in for one that was lost.
pub(crate) fn begin_epoch(engine: &dyn Engine, files: &Files) -> Result<u64, StoreError> {
    let mut changes = Changes::default();
    let last = match meta::epoch(engine)? {
        Some(last) => last,
        None => take_back(files, &mut changes)?,
    };
    let epoch = last + 1;
    meta::set_epoch(&mut changes, epoch);
    engine.commit(changes.into_list())?;
    Ok(epoch)
}

/// The counters of an engine. What is kept for whom is counted anew where that was
/// never done, or done for another account.
pub(crate) fn totals(engine: &dyn Engine, limits: KeptLimits, epoch: u64) -> Result<Totals, StoreError> {
    let (mut totals, is_counted) = Totals::load(engine, limits, epoch)?;
    if !is_counted {
        count_all(engine, &mut totals)?;
    }
    Ok(totals)
}

fn count_all(engine: &dyn Engine, totals: &mut Totals) -> Result<(), StoreError> {
    let mut after: Option<Bytes> = None;
    loop {
        let page = scan_prefix(engine, Table::Records, &[], after.as_deref(), PAGE)?;
        let Some((last, _)) = page.last() else {
            break;
        };
        after = Some(last.clone());
        for (_, record) in &page {
            // A damaged record costs only itself; readers say which it is.
            if let Ok(Record { envelope, .. }) = Record::decode(record) {
                totals.add_kept(&envelope);
            }
        }
    }
    let mut changes = Changes::default();
    totals.write(&mut changes);
    engine.commit(changes.into_list())
}

/// Adds records for all whole files, and returns the highest epoch among them.
/// Where an object has several, the newest envelope counts.
fn take_back(files: &Files, changes: &mut Changes) -> Result<u64, StoreError> {
    let mut newest = std::collections::BTreeMap::new();
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
        meta::set_usage(changes, usage);
        tracing::warn!(
            objects = usage.objects,
            "the engine is new: took objects back from their files"
        );
    }
    Ok(highest_epoch)
}

/// Deletes the files of earlier epochs that no record points to: of objects
/// whose commit never happened, and of those whose file outlived its record.
/// Safe beside readers and writers, because bodies of earlier epochs are never made again.
pub(crate) fn sweep(engine: &Arc<dyn Engine>, files: &Files, epoch: u64, stop: &AtomicBool) {
    let swept = || -> Result<(), StoreError> {
        for listed in files.list().map_err(StoreError::from_io)? {
            if stop.load(Ordering::Relaxed) {
                return Ok(());
            }
            thread::sleep(SWEEP_PAUSE);
            let (id, body) = listed.map_err(StoreError::from_io)?;
            let record = match changes::stored(|key| engine.get(Table::Records, key), &id) {
                // Its file may be all that is left of it.
                Err(StoreError::Corrupt(_)) => continue,
                record => record?,
            };
            let needed = record.is_some_and(|record| record.body == Body::File(body));
            if body.epoch < epoch && !needed {
                files.remove(&id, body).map_err(StoreError::from_io)?;
                tracing::debug!(object = %id.locator, "deleted the file of an object that is not stored");
            }
        }
        Ok(())
    };
    if let Err(error) = swept() {
        tracing::warn!(%error, "could not look through the files of the object store");
    }
}
