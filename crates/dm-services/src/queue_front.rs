//! The front of a queue that is kept in a [`KeyValueStore`].

use bytes::Bytes;
use dm_core::ports::{KeyValueStore, StoreError};

/// Longer than every key of a queue.
const LONGEST_KEY: usize = 128;

/// Finds the least entries under a tag, and remembers before which key there are none: that
/// spares the walk over what was deleted.
pub(crate) struct QueueFront {
    tag: u8,
    /// What of a key stands before all keys that begin with it.
    head: fn(&[u8]) -> &[u8],
    /// Every entry stands behind this.
    front: Option<Vec<u8>>,
}

impl QueueFront {
    /// The front of the entries whose keys begin with `tag`.
    pub(crate) fn new(tag: u8, head: fn(&[u8]) -> &[u8]) -> Self {
        Self {
            tag,
            head,
            front: None,
        }
    }

    /// The least entries, at most so many.
    pub(crate) async fn first(
        &mut self,
        store: &dyn KeyValueStore,
        limit: usize,
    ) -> Result<Vec<(Bytes, Bytes)>, StoreError> {
        let entries = store.scan(&[self.tag], self.front.as_deref(), limit).await?;
        self.front = Some(match entries.first() {
            Some((first, _)) => (self.head)(first).to_vec(),
            None => [&[self.tag][..], &[u8::MAX; LONGEST_KEY]].concat(),
        });
        Ok(entries)
    }

    /// An entry was added, which may stand before those that were there.
    pub(crate) fn added(&mut self, key: &[u8]) {
        if let Some(front) = &mut self.front
            && key <= front.as_slice()
        {
            *front = (self.head)(key).to_vec();
        }
    }
}

#[cfg(test)]
mod tests {
    use dm_core::ports::WriteBatch;
    use dm_testing::key_value::MemoryKeyValueStore;

    use super::*;

    /// The tag and the first byte after it.
    fn head(key: &[u8]) -> &[u8] {
        &key[..2]
    }

    async fn put(store: &MemoryKeyValueStore, front: &mut QueueFront, key: &'static [u8]) {
        let mut batch = WriteBatch::new();
        batch.put(key, Bytes::new());
        store.commit(batch).await.unwrap();
        front.added(key);
    }

    #[tokio::test]
    async fn what_comes_before_the_front_is_found_and_other_tags_are_not() {
        let (store, mut front) = (MemoryKeyValueStore::new(), QueueFront::new(b'd', head));
        assert!(front.first(&store, 9).await.unwrap().is_empty());
        for key in [&b"d5x"[..], b"d3z", b"d3a", b"c1a", b"e1a"] {
            put(&store, &mut front, key).await;
        }
        for _ in 0..2 {
            let first = front.first(&store, 2).await.unwrap();
            let keys: Vec<&[u8]> = first.iter().map(|(key, _)| key.as_ref()).collect();
            assert_eq!(keys, [&b"d3a"[..], b"d3z"]);
        }
        put(&store, &mut front, b"d1q").await;
        assert_eq!(front.first(&store, 1).await.unwrap()[0].0.as_ref(), b"d1q");
    }
}
