//! The front of a queue that is kept in a [`KeyValueStore`].

use std::collections::BTreeMap;

use bytes::Bytes;
use dm_core::ports::{KeyValueStore, StoreError, WriteBatch};

/// Longer than every key of a queue.
const LONGEST_KEY: usize = 128;
/// Entries that are read at once, and about as many as stay in memory.
const WINDOW: usize = 256;

/// The least entries under a tag. They stay in memory, so that the store is asked once for many
/// of them: it walks over all that was deleted before them each time.
pub(crate) struct QueueFront {
    tag: u8,
    /// All entries up to `read_to`.
    window: BTreeMap<Bytes, Bytes>,
    /// What stands behind this is in the store alone. `None`: everything is.
    read_to: Option<Bytes>,
}

impl QueueFront {
    /// The front of the entries whose keys begin with `tag`.
    pub(crate) fn new(tag: u8) -> Self {
        Self {
            tag,
            window: BTreeMap::new(),
            read_to: None,
        }
    }

    /// The least entries, at most so many.
    pub(crate) async fn first(
        &mut self,
        store: &dyn KeyValueStore,
        limit: usize,
    ) -> Result<Vec<(Bytes, Bytes)>, StoreError> {
        while self.window.len() < limit && !self.is_whole() {
            self.read_on(store, limit.max(WINDOW)).await?;
        }
        let first = self.window.iter().take(limit);
        Ok(first.map(|(key, value)| (key.clone(), value.clone())).collect())
    }

    /// Commits changes, among which may be some of this queue.
    pub(crate) async fn commit(
        &mut self,
        store: &dyn KeyValueStore,
        batch: WriteBatch,
    ) -> Result<(), StoreError> {
        let committed = store.commit(batch.clone()).await;
        match &committed {
            Ok(()) => self.changed(&batch),
            Err(_) => self.forget(),
        }
        committed
    }

    /// These changes have been committed.
    pub(crate) fn changed(&mut self, batch: &WriteBatch) {
        for (key, value) in &batch.changes {
            match value {
                Some(value) if self.has_read(key) => self.window.insert(key.clone(), value.clone()),
                _ => self.window.remove(key),
            };
        }
        self.shrink();
    }

    /// Reads everything again: what became of a commit is not known.
    pub(crate) fn forget(&mut self) {
        *self = Self::new(self.tag);
    }

    async fn read_on(&mut self, store: &dyn KeyValueStore, limit: usize) -> Result<(), StoreError> {
        let page = store.scan(&[self.tag], self.read_to.as_deref(), limit).await?;
        self.read_to = match page.last() {
            Some((last, _)) if page.len() == limit => Some(last.clone()),
            _ => Some(end(self.tag)),
        };
        self.window.extend(page);
        Ok(())
    }

    fn has_read(&self, key: &[u8]) -> bool {
        let read_to = self.read_to.as_deref();
        key.first() == Some(&self.tag) && read_to.is_some_and(|read_to| key <= read_to)
    }

    fn is_whole(&self) -> bool {
        self.read_to
            .as_ref()
            .is_some_and(|read_to| *read_to == end(self.tag))
    }

    /// Leaves the last ones to the store where there are too many.
    fn shrink(&mut self) {
        if self.window.len() < 4 * WINDOW {
            return;
        }
        while self.window.len() > WINDOW {
            self.window.pop_last();
        }
        self.read_to = self.window.last_key_value().map(|(last, _)| last.clone());
    }
}

/// Behind every key of a queue.
fn end(tag: u8) -> Bytes {
    [&[tag][..], &[u8::MAX; LONGEST_KEY]].concat().into()
}

#[cfg(test)]
mod tests {
    use dm_testing::key_value::MemoryKeyValueStore;
    use proptest::prelude::*;

    use super::*;

    /// Commits entries with these numbers, and deletes others.
    async fn change(store: &MemoryKeyValueStore, front: &mut QueueFront, put: &[u16], delete: &[u16]) {
        let mut batch = WriteBatch::new();
        for number in put {
            batch.put(key(*number), Bytes::new());
        }
        for number in delete {
            batch.delete(key(*number));
        }
        store.commit(batch.clone()).await.unwrap();
        front.changed(&batch);
    }

    fn key(number: u16) -> Vec<u8> {
        [&b"d"[..], &number.to_be_bytes()].concat()
    }

    async fn first(store: &MemoryKeyValueStore, front: &mut QueueFront, limit: usize) -> Vec<Bytes> {
        let entries = front.first(store, limit).await.unwrap();
        entries.into_iter().map(|(key, _)| key).collect()
    }

    #[tokio::test]
    async fn other_tags_are_not_found() {
        let (store, mut front) = (MemoryKeyValueStore::new(), QueueFront::new(b'd'));
        assert!(first(&store, &mut front, 9).await.is_empty());
        let mut batch = WriteBatch::new();
        for key in [&b"c1"[..], b"d2", b"e1"] {
            batch.put(key, Bytes::new());
        }
        store.commit(batch.clone()).await.unwrap();
        front.changed(&batch);
        assert_eq!(first(&store, &mut front, 9).await, [&b"d2"[..]]);
    }

    proptest! {
        #[test]
        fn the_front_is_what_the_store_has_first(
            changes in prop::collection::vec(
                (prop::collection::vec(0..3000_u16, 0..400), prop::collection::vec(0..3000_u16, 0..400), 1..300_usize),
                1..30,
            ),
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            runtime.block_on(async {
                let (store, mut front) = (MemoryKeyValueStore::new(), QueueFront::new(b'd'));
                for (put, delete, limit) in changes {
                    change(&store, &mut front, &put, &delete).await;
                    let found = first(&store, &mut front, limit).await;
                    let kept = store.scan(b"d", None, limit).await.unwrap();
                    let kept: Vec<Bytes> = kept.into_iter().map(|(key, _)| key).collect();
                    prop_assert_eq!(found, kept);
                }
                Ok(())
            })?;
        }
    }
}
