//! [`MemoryKeyValueStore`] and the suite for key-value stores.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::{
    collections::BTreeMap,
    ops::Bound,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use bytes::Bytes;
use dm_core::ports::{KeyValueStore, StoreError, WriteBatch};

/// Keeps entries in memory; clones share them.
#[derive(Clone, Default)]
pub struct MemoryKeyValueStore {
    entries: Arc<Mutex<BTreeMap<Bytes, Bytes>>>,
}

impl MemoryKeyValueStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }
}

#[async_trait]
impl KeyValueStore for MemoryKeyValueStore {
    async fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        Ok(self.entries.lock().unwrap().get(key).cloned())
    }

    async fn scan(
        &self,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<(Bytes, Bytes)>, StoreError> {
        let start = match after {
            Some(after) if after >= prefix => Bound::Excluded(after),
            _ => Bound::Included(prefix),
        };
        let entries = self.entries.lock().unwrap();
        Ok(entries
            .range::<[u8], _>((start, Bound::Unbounded))
            .take_while(|(key, _)| key.starts_with(prefix))
            .take(limit)
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect())
    }

    async fn commit(&self, batch: WriteBatch) -> Result<(), StoreError> {
        if batch.changes.iter().any(|(key, _)| key.len() > 1024) {
            return Err(StoreError::Failed("a key has at most 1024 bytes".into()));
        }
        let mut entries = self.entries.lock().unwrap();
        let has = |(key, value): &(Bytes, Option<Bytes>)| entries.get(key) == value.as_ref();
        if !batch.expected.iter().all(has) {
            return Err(StoreError::Conflict);
        }
        for (key, value) in batch.changes {
            match value {
                Some(value) => entries.insert(key, value),
                None => entries.remove(&key),
            };
        }
        Ok(())
    }
}

/// Makes one test for every promise of [`KeyValueStore`]. Takes the name of an
/// async function that opens an empty store and returns
/// `(Arc<dyn KeyValueStore>, guard)`; the guard lives until the test ends.
#[macro_export]
macro_rules! key_value_conformance {
    ($open:path) => {
        $crate::key_value_conformance!($open:
            a_committed_entry_is_read_back,
            the_last_change_to_a_key_wins,
            a_scan_pages_through_a_prefix_in_order,
            a_refused_batch_changes_nothing,
            concurrent_commits_are_all_kept,
            a_batch_that_expects_something_else_changes_nothing,
            of_batches_that_expect_the_same_one_is_made,
        );
    };
    ($open:path: $($promise:ident),* $(,)?) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $promise() {
                let (store, _guard) = $open().await;
                $crate::key_value::$promise(&*store).await;
            }
        )*
    };
}

/// Values of any length, the empty one too, are read back until they are deleted.
pub async fn a_committed_entry_is_read_back(store: &dyn KeyValueStore) {
    for len in [0, 1, 1000, 300_000] {
        let value = Bytes::from(vec![7; len]);
        let mut batch = WriteBatch::new();
        batch.put(&b"key"[..], value.clone());
        store.commit(batch).await.unwrap();
        assert_eq!(store.get(b"key").await.unwrap(), Some(value));
    }
    let mut batch = WriteBatch::new();
    batch.delete(&b"key"[..]).delete(&b"unknown"[..]);
    store.commit(batch).await.unwrap();
    assert_eq!(store.get(b"key").await.unwrap(), None);
    store.commit(WriteBatch::new()).await.unwrap();
}

/// Changes of a batch apply in their order.
pub async fn the_last_change_to_a_key_wins(store: &dyn KeyValueStore) {
    let mut batch = WriteBatch::new();
    batch
        .put(&b"a"[..], &b"1"[..])
        .delete(&b"a"[..])
        .put(&b"a"[..], &b"2"[..]);
    batch.put(&b"b"[..], &b"1"[..]).delete(&b"b"[..]);
    store.commit(batch).await.unwrap();
    assert_eq!(store.get(b"a").await.unwrap().as_deref(), Some(&b"2"[..]));
    assert_eq!(store.get(b"b").await.unwrap(), None);
}

/// Scans stay within their prefix, also at its edges.
pub async fn a_scan_pages_through_a_prefix_in_order(store: &dyn KeyValueStore) {
    let keys: [&[u8]; 7] = [b"", b"a", b"b", b"ba", b"b\xff", b"b\xff\xff", b"c"];
    let mut batch = WriteBatch::new();
    for key in keys {
        batch.put(Bytes::from_static(key), Bytes::from_static(key));
    }
    store.commit(batch).await.unwrap();
    assert_eq!(scan(store, b"", None, 100).await, keys);
    assert_eq!(scan(store, b"b", None, 100).await, keys[2..6]);
    assert_eq!(scan(store, b"b", None, 2).await, keys[2..4]);
    assert_eq!(scan(store, b"b", Some(b"ba"), 100).await, keys[4..6]);
    assert_eq!(scan(store, b"b", Some(b"a"), 100).await, keys[2..6]);
    assert_eq!(scan(store, b"b\xff", None, 100).await, keys[4..6]);
    assert!(scan(store, b"b", Some(b"c"), 100).await.is_empty());
    assert!(scan(store, b"x", None, 100).await.is_empty());
    assert!(scan(store, b"b", None, 0).await.is_empty());
}

async fn scan(store: &dyn KeyValueStore, prefix: &[u8], after: Option<&[u8]>, limit: usize) -> Vec<Bytes> {
    let entries = store.scan(prefix, after, limit).await.unwrap();
    assert!(entries.iter().all(|(key, value)| key == value));
    entries.into_iter().map(|(key, _)| key).collect()
}

/// A key that is too long fails its whole batch.
pub async fn a_refused_batch_changes_nothing(store: &dyn KeyValueStore) {
    let mut batch = WriteBatch::new();
    batch.put(&b"a"[..], &b"1"[..]).put(vec![0; 1025], &b"2"[..]);
    assert!(store.commit(batch).await.is_err());
    assert_eq!(store.get(b"a").await.unwrap(), None);
    let mut batch = WriteBatch::new();
    batch.put(vec![0; 1024], &b"3"[..]);
    store.commit(batch).await.unwrap();
    assert_eq!(store.get(&[0; 1024]).await.unwrap().as_deref(), Some(&b"3"[..]));
}

/// Commits at the same time do not disturb each other.
pub async fn concurrent_commits_are_all_kept(store: &dyn KeyValueStore) {
    let commits = (0..100_u32).map(|n| {
        let mut batch = WriteBatch::new();
        batch.put(n.to_be_bytes().to_vec(), vec![n as u8]);
        store.commit(batch)
    });
    for committed in futures::future::join_all(commits).await {
        committed.unwrap();
    }
    assert_eq!(store.scan(b"", None, 1000).await.unwrap().len(), 100);
}

/// What a batch expects is compared before any of its changes, the absence of an entry too.
pub async fn a_batch_that_expects_something_else_changes_nothing(store: &dyn KeyValueStore) {
    let (first, second) = (Bytes::from_static(b"1"), Bytes::from_static(b"2"));
    let expecting = |value: Option<&Bytes>, put: &Bytes| {
        let mut batch = WriteBatch::new();
        batch.put(&b"a"[..], put.clone()).put(&b"b"[..], put.clone());
        batch.expect(&b"a"[..], value.cloned());
        batch
    };
    for refused in [
        expecting(Some(&first), &second),
        expecting(Some(&Bytes::new()), &second),
    ] {
        assert!(matches!(store.commit(refused).await, Err(StoreError::Conflict)));
    }
    assert_eq!(store.get(b"b").await.unwrap(), None);
    store.commit(expecting(None, &first)).await.unwrap();
    for refused in [expecting(None, &second), expecting(Some(&second), &second)] {
        assert!(matches!(store.commit(refused).await, Err(StoreError::Conflict)));
    }
    assert_eq!(store.get(b"b").await.unwrap(), Some(first.clone()));
    store.commit(expecting(Some(&first), &second)).await.unwrap();
    assert_eq!(store.get(b"b").await.unwrap(), Some(second));
}

/// Who changes what it expects takes it away from all others, however many ask at once.
pub async fn of_batches_that_expect_the_same_one_is_made(store: &dyn KeyValueStore) {
    let commits = (0..20_u8).map(|n| {
        let mut batch = WriteBatch::new();
        batch.expect(&b"turn"[..], None).put(&b"turn"[..], vec![n]);
        batch.put(vec![b'n', n], vec![n]);
        store.commit(batch)
    });
    let outcomes = futures::future::join_all(commits).await;
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1);
    for outcome in outcomes {
        assert!(
            matches!(outcome, Ok(()) | Err(StoreError::Conflict)),
            "{outcome:?}"
        );
    }
    let turn = store.get(b"turn").await.unwrap().unwrap();
    let made = store.scan(b"n", None, 100).await.unwrap();
    assert_eq!(made, [(Bytes::from(vec![b'n', turn[0]]), turn)]);
}

#[cfg(test)]
mod tests {
    async fn open() -> (std::sync::Arc<dyn dm_core::ports::KeyValueStore>, ()) {
        (std::sync::Arc::new(super::MemoryKeyValueStore::new()), ())
    }

    crate::key_value_conformance!(open);
}
