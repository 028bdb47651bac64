//! The part of a store that one plugin has for itself.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use dm_core::ports::{KeyValueStore, StoreError, WriteBatch};
use tokio::sync::Mutex;

/// Longest key of a plugin's own, in bytes.
const MAX_KEY: usize = 512;
/// Entries that are looked at in one step when the space is counted.
const PAGE: usize = 1000;

/// A limited part of a store, under a prefix of its own.
pub(super) struct OwnStore {
    store: Arc<dyn KeyValueStore>,
    prefix: Vec<u8>,
    limit: u64,
    /// Bytes of keys and values; held while something is changed.
    used: Mutex<u64>,
}

impl OwnStore {
    /// The part of the plugin `name`, at most `limit` bytes.
    pub(super) async fn open(
        store: Arc<dyn KeyValueStore>,
        name: &str,
        limit: u64,
    ) -> Result<Self, StoreError> {
        let prefix = format!("data/{name}/").into_bytes();
        let mut used = 0;
        let mut after: Option<Bytes> = None;
        loop {
            let page = store.scan(&prefix, after.as_deref(), PAGE).await?;
            used += page
                .iter()
                .map(|(key, value)| entry_size(key.len() - prefix.len(), value.len()))
                .sum::<u64>();
            match page.last() {
                Some((key, _)) if page.len() == PAGE => after = Some(key.clone()),
                _ => break,
            }
        }
        Ok(Self {
            store,
            prefix,
            limit,
            used: Mutex::new(used),
        })
    }

    fn key(&self, key: &[u8]) -> Vec<u8> {
        [self.prefix.as_slice(), key].concat()
    }

    /// The space in use after the changes.
    async fn used_after(&self, batch: &WriteBatch, used: u64) -> Result<u64, StoreError> {
        let mut used = used;
        let mut seen = std::collections::BTreeMap::new();
        for (key, value) in &batch.changes {
            let before = match seen.get(key) {
                Some(size) => *size,
                None => self.size_of(key).await?,
            };
            let after = value
                .as_ref()
                .map_or(0, |value| entry_size(key.len(), value.len()));
            used = used.saturating_sub(before) + after;
            seen.insert(key.clone(), after);
        }
        Ok(used)
    }

    async fn size_of(&self, key: &[u8]) -> Result<u64, StoreError> {
        let value = self.store.get(&self.key(key)).await?;
        Ok(value.map_or(0, |value| entry_size(key.len(), value.len())))
    }
}

fn entry_size(key: usize, value: usize) -> u64 {
    (key + value) as u64
}

#[async_trait]
impl KeyValueStore for OwnStore {
    async fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        self.store.get(&self.key(key)).await
    }

    async fn scan(
        &self,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<(Bytes, Bytes)>, StoreError> {
        let after = after.map(|after| self.key(after));
        let found = self
            .store
            .scan(&self.key(prefix), after.as_deref(), limit)
            .await?;
        Ok(found
            .into_iter()
            .map(|(key, value)| (key.slice(self.prefix.len()..), value))
            .collect())
    }

    async fn commit(&self, batch: WriteBatch) -> Result<(), StoreError> {
        if batch.changes.iter().any(|(key, _)| key.len() > MAX_KEY) {
            return Err(StoreError::Failed(
                format!("a key has at most {MAX_KEY} bytes").into(),
            ));
        }
        let mut used = self.used.lock().await;
        let after = self.used_after(&batch, *used).await?;
        // What makes the data smaller is never refused.
        if after > self.limit && after > *used {
            return Err(StoreError::Full);
        }
        let mut own = WriteBatch::new();
        for (key, value) in batch.changes {
            own.changes.push((self.key(&key).into(), value));
        }
        self.store.commit(own).await?;
        *used = after;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

    use dm_testing::key_value::MemoryKeyValueStore;

    use super::*;

    fn put(key: &str, len: usize) -> WriteBatch {
        let mut batch = WriteBatch::new();
        batch.put(key.to_owned().into_bytes(), vec![1; len]);
        batch
    }

    #[tokio::test]
    async fn a_plugin_sees_its_own_entries_alone_also_where_names_begin_alike() {
        let shared: Arc<dyn KeyValueStore> = Arc::new(MemoryKeyValueStore::new());
        let own = OwnStore::open(shared.clone(), "a", 100).await.unwrap();
        let other = OwnStore::open(shared, "a-b", 100).await.unwrap();
        other.commit(put("key", 3)).await.unwrap();
        assert_eq!(own.get(b"key").await.unwrap(), None);
        assert!(own.scan(b"", None, 10).await.unwrap().is_empty());
        own.commit(put("mine", 2)).await.unwrap();
        let found = own.scan(b"m", Some(b"k"), 10).await.unwrap();
        assert_eq!(
            found,
            [(Bytes::from_static(b"mine"), Bytes::from_static(&[1, 1]))]
        );
    }

    #[tokio::test]
    async fn a_change_beyond_the_limit_is_refused_also_after_a_restart() {
        let shared: Arc<dyn KeyValueStore> = Arc::new(MemoryKeyValueStore::new());
        let own = OwnStore::open(shared.clone(), "a", 100).await.unwrap();
        own.commit(put("k", 99)).await.unwrap();
        own.commit(put("k", 99)).await.unwrap();
        assert!(matches!(own.commit(put("l", 0)).await, Err(StoreError::Full)));
        let own = OwnStore::open(shared.clone(), "a", 100).await.unwrap();
        assert!(matches!(own.commit(put("l", 0)).await, Err(StoreError::Full)));
        own.commit(put("k", 9)).await.unwrap();
        own.commit(put("l", 89)).await.unwrap();
        // A plugin whose limit was lowered can still make room.
        let own = OwnStore::open(shared, "a", 10).await.unwrap();
        own.commit(put("l", 20)).await.unwrap();
        assert!(matches!(own.commit(put("l", 21)).await, Err(StoreError::Full)));
    }

    #[tokio::test]
    async fn a_key_is_short() {
        let shared: Arc<dyn KeyValueStore> = Arc::new(MemoryKeyValueStore::new());
        let own = OwnStore::open(shared, "a", 10_000).await.unwrap();
        own.commit(put(&"k".repeat(512), 1)).await.unwrap();
        assert!(own.commit(put(&"k".repeat(513), 1)).await.is_err());
    }
}
