//! The store's own counters in the engine: what is stored, and how often the
//! store has been opened.

use bytes::Bytes;
use dm_core::{
    Address,
    ports::{Kept, StoreError, StoreUsage},
};

use super::changes::Changes;
use crate::engine::{Reads, Table};

/// The account whose objects are the own ones (20 bytes), bytes of own and of
/// foreign objects, 8 bytes each, big-endian.
const KEPT: &[u8] = b"kept";
/// Number of objects and bytes of their chunks, 8 bytes each, big-endian.
const USAGE: &[u8] = b"usage";
/// Position of the last noted change of an object, 16 bytes, big-endian.
const NOTED: &[u8] = b"noted";
/// The epoch of the last opening, 8 bytes, big-endian.
const EPOCH: &[u8] = b"epoch";

/// The keys of the counters that change with every object.
pub(crate) fn counters() -> [(Table, Bytes); 3] {
    [USAGE, KEPT, NOTED].map(|key| (Table::Meta, Bytes::from_static(key)))
}

/// Sets the counters of what is stored.
pub(crate) fn set_usage(changes: &mut Changes, usage: StoreUsage) {
    let mut value = Vec::with_capacity(16);
    value.extend_from_slice(&usage.objects.to_be_bytes());
    value.extend_from_slice(&usage.bytes.to_be_bytes());
    changes.set(Table::Meta, Bytes::from_static(USAGE), Some(value.into()));
}

/// What is stored; nothing in a new engine.
pub(crate) fn usage(reads: &dyn Reads) -> Result<StoreUsage, StoreError> {
    let Some(value) = reads.get(Table::Meta, USAGE)? else {
        return Ok(StoreUsage::default());
    };
    match value.split_at_checked(8) {
        Some((objects, bytes)) => Ok(StoreUsage {
            objects: number(objects, "usage")?,
            bytes: number(bytes, "usage")?,
        }),
        None => Err(damaged("usage")),
    }
}

/// Sets how much is kept for this account and for others.
pub(crate) fn set_kept(changes: &mut Changes, account: Address, kept: Kept) {
    let mut value = Vec::with_capacity(36);
    value.extend_from_slice(account.as_slice());
    value.extend_from_slice(&kept.own.to_be_bytes());
    value.extend_from_slice(&kept.foreign.to_be_bytes());
    changes.set(Table::Meta, Bytes::from_static(KEPT), Some(value.into()));
}

/// For which account the objects were told apart, and how much is kept for it
/// and for others; `None` where that was never done.
pub(crate) fn kept(reads: &dyn Reads) -> Result<Option<(Address, Kept)>, StoreError> {
    let Some(value) = reads.get(Table::Meta, KEPT)? else {
        return Ok(None);
    };
    let (account, counters) = value.split_at_checked(20).ok_or_else(|| damaged("kept"))?;
    let (own, foreign) = counters.split_at_checked(8).ok_or_else(|| damaged("kept"))?;
    let kept = Kept {
        own: number(own, "kept")?,
        foreign: number(foreign, "kept")?,
    };
    Ok(Some((Address::from_slice(account), kept)))
}

/// Sets the position of the last noted change.
pub(crate) fn set_noted(changes: &mut Changes, position: u128) {
    let value = Bytes::copy_from_slice(&position.to_be_bytes());
    changes.set(Table::Meta, Bytes::from_static(NOTED), Some(value));
}

/// The position of the last noted change; 0 where it was never set.
pub(crate) fn noted(reads: &dyn Reads) -> Result<u128, StoreError> {
    let Some(value) = reads.get(Table::Meta, NOTED)? else {
        return Ok(0);
    };
    let bytes = <[u8; 16]>::try_from(&value[..]).map_err(|_| damaged("noted"))?;
    Ok(u128::from_be_bytes(bytes))
}

/// Sets the epoch that body ids of this opening carry.
pub(crate) fn set_epoch(changes: &mut Changes, epoch: u64) {
    let value = Bytes::copy_from_slice(&epoch.to_be_bytes());
    changes.set(Table::Meta, Bytes::from_static(EPOCH), Some(value));
}

/// The epoch of the last opening; `None` in a new engine.
pub(crate) fn epoch(reads: &dyn Reads) -> Result<Option<u64>, StoreError> {
    let value = reads.get(Table::Meta, EPOCH)?;
    value.map(|value| number(&value, "epoch")).transpose()
}

fn number(bytes: &[u8], counter: &str) -> Result<u64, StoreError> {
    let bytes = bytes.try_into().map_err(|_| damaged(counter))?;
    Ok(u64::from_be_bytes(bytes))
}

fn damaged(counter: &str) -> StoreError {
    StoreError::Corrupt(format!("the counter `{counter}` of the object store"))
}
