//! Which epochs have a store that may still be writing bodies.
//!
//! Entries of the table of counters. Key: `writer/` and the epoch, 8 bytes, big-endian; value:
//! the time of the last sign of life, in milliseconds since the Unix epoch, 8 bytes, big-endian.
//! An embedded engine has one entry, that of its last opening. Bodies of an epoch without an
//! entry are never made again, since the commit of a body asks for that entry.

use std::{collections::BTreeSet, time::Duration};

use bytes::Bytes;
use dm_core::ports::StoreError;

use super::{bucket::Bucket, record::BodyId};
use crate::{
    commits::{changes::Changes, meta, transaction::Transaction},
    engine::{Engine, Reads, Table, scan_prefix},
};

/// Between two signs of life of a store whose tables are shared.
#[cfg(feature = "postgres")]
pub(crate) const SIGN_PAUSE: Duration = Duration::from_secs(10);
/// A store that has given no sign for so long may not commit bodies any more.
const SILENCE: Duration = Duration::from_secs(60);
/// Most entries: stores that have been opened and not closed.
const MAX_ENTRIES: usize = 100_000;

const PREFIX: &[u8] = b"writer/";

fn key(epoch: u64) -> Vec<u8> {
    [PREFIX, &epoch.to_be_bytes()].concat()
}

/// Epochs and times of their last sign.
fn entries(engine: &dyn Engine) -> Result<Vec<(u64, u64)>, StoreError> {
    let entries = scan_prefix(engine, Table::Meta, PREFIX, None, MAX_ENTRIES)?;
    let decoded = entries.into_iter().filter_map(|(key, at)| {
        let epoch = key.strip_prefix(PREFIX)?.try_into().ok()?;
        Some((u64::from_be_bytes(epoch), number(&at)?))
    });
    Ok(decoded.collect())
}

fn number(bytes: &[u8]) -> Option<u64> {
    Some(u64::from_be_bytes(bytes.try_into().ok()?))
}

/// Begins the epoch after `last`. The bucket is told before the engine: an epoch of which the
/// engine does not know is begun again.
pub(crate) fn begin(
    reads: &dyn Reads,
    changes: &mut Changes,
    bucket: Option<&dyn Bucket>,
    last: u64,
) -> Result<u64, StoreError> {
    let epoch = last + 1;
    if let Some(bucket) = bucket {
        bucket.begin_epoch(epoch)?;
    }
    meta::set_epoch(changes, epoch);
    let now = reads.now_ms()?.to_be_bytes();
    changes.set(Table::Meta, key(epoch).into(), Some(Bytes::copy_from_slice(&now)));
    Ok(epoch)
}

/// Takes the entries of all epochs away, of an engine that one store has at a time.
pub(crate) fn end_all(engine: &dyn Engine, changes: &mut Changes) -> Result<(), StoreError> {
    for (epoch, _) in entries(engine)? {
        changes.set(Table::Meta, key(epoch).into(), None);
    }
    Ok(())
}

/// Takes the entry of an epoch away whose store writes no more.
pub(crate) fn end(transaction: &mut Transaction<'_>, epoch: u64) {
    transaction.delete(Table::Meta, key(epoch));
}

/// Takes the entries of stores away that have been silent for too long.
pub(crate) fn end_silent(engine: &dyn Engine, transaction: &mut Transaction<'_>) -> Result<(), StoreError> {
    let heard_from = transaction.now_ms()?.saturating_sub(SILENCE.as_millis() as u64);
    for (epoch, at) in entries(engine)? {
        if at < heard_from {
            end(transaction, epoch);
        }
    }
    Ok(())
}

/// Gives a sign of life. Where the entry of the epoch is gone, another epoch begins, which
/// is returned.
#[cfg(feature = "postgres")]
pub(crate) fn give_sign(
    transaction: &mut Transaction<'_>,
    bucket: Option<&dyn Bucket>,
    epoch: u64,
) -> Result<Option<u64>, StoreError> {
    if transaction.get(Table::Meta, &key(epoch))?.is_some() {
        let now = transaction.now_ms()?.to_be_bytes();
        transaction.put(Table::Meta, key(epoch), now.to_vec());
        return Ok(None);
    }
    let (reads, changes) = transaction.parts();
    let last = meta::epoch(reads)?.unwrap_or_default();
    begin(reads, changes, bucket, last).map(Some)
}

/// # Errors
/// [`StoreError::Unavailable`] where the epoch of a body has ended, so that the body may be
/// collected at any moment.
pub(crate) fn check(transaction: &Transaction<'_>, body: BodyId) -> Result<(), StoreError> {
    match transaction.get(Table::Meta, &key(body.epoch))? {
        Some(_) => Ok(()),
        None => Err(StoreError::Unavailable(
            "this instance gave no sign of life for too long while the object was being written".to_owned(),
        )),
    }
}

/// The epochs whose bodies are not collected.
pub(crate) struct Living {
    epochs: BTreeSet<u64>,
    /// Epochs from this one on had not begun.
    next: u64,
}

impl Living {
    /// Those of this moment; `own` is the epoch of this store.
    pub(crate) fn now(engine: &dyn Engine, own: u64) -> Result<Self, StoreError> {
        let epochs = entries(engine)?.into_iter().map(|(epoch, _)| epoch).collect();
        Ok(Self { epochs, next: own })
    }

    /// Whether bodies of an epoch are never made again.
    pub(crate) fn has_ended(&self, epoch: u64) -> bool {
        epoch < self.next && !self.epochs.contains(&epoch)
    }
}
