//! The changes that objects go through, as transactions over the tables. The
//! counters of what is stored change with them.

use bytes::Bytes;
use dm_core::{
    envelope::{Chunk, ObjectId, SignedEnvelope},
    ports::{StoreError, storage_cost},
};

use super::{
    bucket_index, chunks, epochs, feed,
    record::{Body, Record, record_key},
};
use crate::{commits::transaction::Transaction, engine::Table};

/// The record that a change took out of the store.
pub(crate) type Replaced = Record;

/// The record of an object, by whatever reads the table of records.
pub(crate) fn stored(
    get: impl FnOnce(&[u8]) -> Result<Option<Bytes>, StoreError>,
    id: &ObjectId,
) -> Result<Option<Record>, StoreError> {
    get(&record_key(id))?
        .map(|bytes| Record::decode(&bytes))
        .transpose()
}

/// Puts a new object, whose chunks are `inline` or else in their file already.
///
/// # Errors
/// [`StoreError::Stale`] where the stored envelope has the sequence number
/// `refused` or a higher one, [`StoreError::Full`] where a limit is reached, and
/// [`StoreError::Unavailable`] where the body may have been collected.
pub(crate) fn put(
    transaction: &mut Transaction<'_>,
    record: &Record,
    inline: &[Chunk],
    refused: u64,
) -> Result<Option<Replaced>, StoreError> {
    let id = record.envelope.id;
    let replaced = readable(stored(|key| transaction.get(Table::Records, key), &id), &id)?;
    if let Some(replaced) = &replaced {
        if replaced.envelope.sequence >= refused {
            return Err(StoreError::Stale {
                stored: replaced.envelope.sequence,
            });
        }
        take_out(transaction, replaced);
    }
    match record.body {
        Body::Inline(body) => chunks::put_all(transaction, body, inline),
        Body::Bucket(body) => {
            epochs::check(transaction, body)?;
            bucket_index::put_body(transaction, body, &id);
        }
        Body::File(_) => {}
    }
    transaction.put(Table::Records, record_key(&id).to_vec(), record.encode());
    feed::note(transaction, &id, Some(record.envelope.sequence));
    transaction.count_object(&record.envelope);
    let takes_less = replaced
        .as_ref()
        .is_some_and(|replaced| storage_cost(&record.envelope) <= storage_cost(&replaced.envelope));
    if !takes_less {
        transaction.check_limits(&record.envelope)?;
    }
    Ok(replaced)
}

/// A record that may be replaced: of one that is damaged nothing can be said.
fn readable(stored: Result<Option<Record>, StoreError>, id: &ObjectId) -> Result<Option<Record>, StoreError> {
    match stored {
        Err(StoreError::Corrupt(reason)) => {
            tracing::warn!(object = %id.locator, reason, "a damaged record is replaced");
            Ok(None)
        }
        other => other,
    }
}

/// Puts a newer envelope over the same chunks; whether it is newer.
///
/// # Errors
/// [`StoreError::Missing`] and [`StoreError::Mismatch`], as the port says.
pub(crate) fn replace_envelope(
    transaction: &mut Transaction<'_>,
    envelope: &SignedEnvelope,
) -> Result<bool, StoreError> {
    let present =
        stored(|key| transaction.get(Table::Records, key), &envelope.id)?.ok_or(StoreError::Missing)?;
    if present.envelope.chunk_list != envelope.chunk_list || present.envelope.size != envelope.size {
        return Err(StoreError::Mismatch("the new envelope is over other chunks"));
    }
    let newer = envelope.sequence > present.envelope.sequence;
    if newer {
        let record = Record {
            body: present.body,
            envelope: envelope.clone(),
        };
        transaction.put(Table::Records, record_key(&envelope.id).to_vec(), record.encode());
        feed::note(transaction, &envelope.id, Some(envelope.sequence));
        transaction.uncount_object(&present.envelope);
        transaction.count_object(envelope);
        if storage_cost(envelope) > storage_cost(&present.envelope) {
            transaction.check_limits(envelope)?;
        }
    }
    Ok(newer)
}

/// An object that was deleted.
pub(crate) struct Removed {
    /// Whether there was one.
    pub(crate) existed: bool,
    /// Its record, where that could be read.
    pub(crate) record: Option<Replaced>,
}

/// Deletes an object, also one whose record is damaged.
pub(crate) fn remove(transaction: &mut Transaction<'_>, id: &ObjectId) -> Result<Removed, StoreError> {
    let key = record_key(id);
    let existed = transaction.get(Table::Records, &key)?.is_some();
    let record = readable(stored(|key| transaction.get(Table::Records, key), id), id)?;
    if let Some(record) = &record {
        take_out(transaction, record);
    }
    if existed {
        transaction.delete(Table::Records, key.to_vec());
        feed::note(transaction, id, None);
    }
    Ok(Removed { existed, record })
}

/// Deletes what the engine has of a body, and takes it out of the count.
fn take_out(transaction: &mut Transaction<'_>, record: &Record) {
    match record.body {
        Body::Inline(body) => chunks::delete_all(transaction, body, record.envelope.chunk_count()),
        Body::Bucket(body) => bucket_index::delete_body(transaction, body),
        Body::File(_) => {}
    }
    transaction.uncount_object(&record.envelope);
}
