//! Key-value namespaces in the engine.

mod copy;

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use dm_core::ports::{KeyValueStore, StoreError, WriteBatch};

use crate::{
    blocking::blocking,
    commits::committer::Need,
    engine::{Entry, Table, scan_prefix},
    error::StorageFault,
    objects::Objects,
};

/// Bytes of the longest key.
const MAX_KEY: usize = 1024;

/// Refuses a batch with a key that is too long.
///
/// # Errors
/// [`StorageFault::KeyTooLong`].
pub(crate) fn check_keys(batch: &WriteBatch) -> Result<(), StorageFault> {
    let mut keys = batch.changes.iter().map(|(key, _)| key);
    match keys.find(|key| key.len() > MAX_KEY) {
        Some(key) => Err(StorageFault::KeyTooLong {
            len: key.len(),
            limit: MAX_KEY,
        }),
        None => Ok(()),
    }
}

/// A key-value store of its own in the engine: its keys begin with its name
/// and the name's length, so that no namespace is the beginning of another.
pub(crate) struct Namespace {
    objects: Arc<Objects>,
    prefix: Bytes,
}

impl Namespace {
    pub(crate) fn new(objects: Arc<Objects>, name: &str) -> Self {
        Self {
            objects,
            prefix: key_prefix(name).into(),
        }
    }

    fn full_key(&self, key: &[u8]) -> Bytes {
        [&self.prefix, key].concat().into()
    }
}

/// What the keys of a namespace begin with.
pub(crate) fn key_prefix(name: &str) -> Vec<u8> {
    let mut prefix = (name.len() as u32).to_be_bytes().to_vec();
    prefix.extend_from_slice(name.as_bytes());
    prefix
}

#[async_trait]
impl KeyValueStore for Namespace {
    async fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        let engine = self.objects.engine.clone();
        let key = self.full_key(key);
        blocking(move || engine.get(Table::Namespaces, &key)).await
    }

    async fn scan(
        &self,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Entry>, StoreError> {
        let engine = self.objects.engine.clone();
        let own = self.prefix.len();
        let prefix = self.full_key(prefix);
        let after = after.map(|after| self.full_key(after));
        blocking(move || {
            let entries = scan_prefix(&*engine, Table::Namespaces, &prefix, after.as_deref(), limit)?;
            Ok(entries
                .into_iter()
                .map(|(key, value)| (key.slice(own..), value))
                .collect())
        })
        .await
    }

    async fn commit(&self, batch: WriteBatch) -> Result<(), StoreError> {
        check_keys(&batch)?;
        let full = |(key, value): (Bytes, Option<Bytes>)| (self.full_key(&key), value);
        let changes: Vec<_> = batch.changes.into_iter().map(full).collect();
        let expected: Vec<_> = batch.expected.into_iter().map(full).collect();
        let need = if changes.iter().all(|(_, value)| value.is_none()) {
            Need::Nothing
        } else {
            Need::Space
        };
        self.objects
            .committer
            .run(need, move |transaction| {
                for (key, value) in &expected {
                    if transaction.get(Table::Namespaces, key)? != *value {
                        return Err(StoreError::Conflict);
                    }
                }
                for (key, value) in &changes {
                    match value.clone() {
                        Some(value) => transaction.put(Table::Namespaces, key.clone(), value),
                        None => transaction.delete(Table::Namespaces, key.clone()),
                    }
                }
                Ok(())
            })
            .await
    }
}
