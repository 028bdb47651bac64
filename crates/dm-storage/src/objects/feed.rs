//! Notes which objects have changed, in the transaction that changes them.
//!
//! Entries of the table of counters. Key: `changed/` and the position of the
//! change, 16 bytes, big-endian; value: the object's key, and the sequence
//! number of the stored envelope, 8 bytes, big-endian, or nothing where the
//! object was removed.

use async_trait::async_trait;
use dm_core::{
    envelope::ObjectId,
    ports::{ObjectChange, ObjectChanges, StoreError},
};

use super::{
    LocalObjects,
    record::{KEY_LEN, object_id, record_key},
};
use crate::{
    blocking::blocking,
    commits::{committer::Need, transaction::Transaction},
    engine::{Entry, Table, scan_prefix},
};

const PREFIX: &[u8] = b"changed/";

/// Notes what an object becomes by this transaction.
pub(super) fn note(transaction: &mut Transaction<'_>, id: &ObjectId, sequence: Option<u64>) {
    let mut value = record_key(id).to_vec();
    value.extend(sequence.into_iter().flat_map(u64::to_be_bytes));
    let key = key(transaction.next_position());
    transaction.put(Table::Meta, key, value);
}

fn key(position: u128) -> Vec<u8> {
    [PREFIX, &position.to_be_bytes()].concat()
}

fn decode((key, value): &Entry) -> Option<ObjectChange> {
    let position = key.strip_prefix(PREFIX)?.try_into().ok()?;
    let (id, sequence) = value.split_at_checked(KEY_LEN)?;
    Some(ObjectChange {
        position: u128::from_be_bytes(position),
        object: object_id(id).ok()?,
        sequence: match sequence {
            [] => None,
            bytes => Some(u64::from_be_bytes(bytes.try_into().ok()?)),
        },
    })
}

#[async_trait]
impl ObjectChanges for LocalObjects {
    async fn unsettled(&self, after: Option<u128>, limit: usize) -> Result<Vec<ObjectChange>, StoreError> {
        let engine = self.0.engine.clone();
        let after = after.map(key);
        blocking(move || {
            let notes = scan_prefix(&*engine, Table::Meta, PREFIX, after.as_deref(), limit)?;
            let changes = notes.iter().map(decode);
            changes
                .collect::<Option<_>>()
                .ok_or_else(|| StoreError::Corrupt("a note of a changed object".to_owned()))
        })
        .await
    }

    async fn settle(&self, changes: &[ObjectChange]) -> Result<(), StoreError> {
        let keys: Vec<Vec<u8>> = changes.iter().map(|change| key(change.position)).collect();
        let settle = move |transaction: &mut Transaction<'_>| {
            for key in &keys {
                transaction.delete(Table::Meta, key.clone());
            }
            Ok(())
        };
        self.0.committer.run(Need::Nothing, settle).await
    }

    async fn wait(&self) {
        self.0.changed.notified().await;
    }
}
