//! Which items are to be fetched, and when. It outlives the process.

use std::sync::Arc;

use alloy_primitives::Address;
use bytes::Bytes;
use dm_core::{
    envelope::ObjectId,
    hash::Locator,
    ports::{KeyValueStore, StoreError, WriteBatch},
};
use serde::{Deserialize, Serialize};

use crate::queue_front::QueueFront;

/// Begins the keys of the queue: time, owner and locator → attempts.
const DUE: u8 = b'd';
/// Begins the keys under which the time of each object stands, so that each is in the
/// queue once.
const TIME_OF: u8 = b'o';

/// An item that is to be fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fetch {
    /// When, in milliseconds since the Unix epoch.
    pub(super) at: u64,
    pub(super) object: ObjectId,
    pub(super) attempts: Attempts,
}

/// What was tried so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Attempts {
    /// When it was taken up, in milliseconds since the Unix epoch.
    pub(super) since: u64,
    /// Attempts that failed.
    pub(super) failed: u32,
}

impl Fetch {
    fn key(&self) -> Vec<u8> {
        let mut key = vec![DUE];
        key.extend(self.at.to_be_bytes());
        key.extend(id_of(&self.object));
        key
    }

    fn read(key: &[u8], value: &[u8]) -> Option<Self> {
        let (at, id) = key.strip_prefix(&[DUE])?.split_first_chunk::<8>()?;
        let (owner, locator) = id.split_first_chunk::<20>()?;
        Some(Self {
            at: u64::from_be_bytes(*at),
            object: ObjectId {
                owner: Address::from(*owner),
                locator: Locator::from_bytes(locator.try_into().ok()?),
            },
            attempts: postcard::from_bytes(value).ok()?,
        })
    }

    fn put_into(&self, batch: &mut WriteBatch) {
        // Numbers always have this form.
        let value = postcard::to_stdvec(&self.attempts).unwrap_or_default();
        batch.put(self.key(), value);
        batch.put(time_key(&self.object), self.at.to_be_bytes().to_vec());
    }
}

fn id_of(object: &ObjectId) -> Vec<u8> {
    [object.owner.as_slice(), object.locator.as_bytes()].concat()
}

fn time_key(object: &ObjectId) -> Bytes {
    let mut key = vec![TIME_OF];
    key.extend(id_of(object));
    key.into()
}

pub(super) struct FetchQueue {
    store: Arc<dyn KeyValueStore>,
    front: QueueFront,
}

impl FetchQueue {
    pub(super) fn new(store: Arc<dyn KeyValueStore>) -> Self {
        let front = QueueFront::new(DUE);
        Self { store, front }
    }

    /// Takes an item, unless it is here already; durable when it returns.
    pub(super) async fn add(&mut self, fetch: &Fetch) -> Result<(), StoreError> {
        if self.store.get(&time_key(&fetch.object)).await?.is_some() {
            return Ok(());
        }
        let mut batch = WriteBatch::new();
        fetch.put_into(&mut batch);
        self.front.commit(&*self.store, batch).await
    }

    /// Puts another in the place of one; `None`: it is done.
    pub(super) async fn replace(&mut self, old: &Fetch, new: Option<&Fetch>) -> Result<(), StoreError> {
        let mut batch = WriteBatch::new();
        batch.delete(old.key());
        batch.delete(time_key(&old.object));
        new.iter().for_each(|fetch| fetch.put_into(&mut batch));
        self.front.commit(&*self.store, batch).await
    }

    /// The first ones, at most so many.
    pub(super) async fn first(&mut self, limit: usize) -> Result<Vec<Fetch>, StoreError> {
        let entries = self.front.first(&*self.store, limit).await?;
        let entries = entries.iter();
        Ok(entries
            .filter_map(|(key, value)| Fetch::read(key, value))
            .collect())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

    use dm_testing::key_value::MemoryKeyValueStore;

    use super::*;

    fn fetch(number: u8, at: u64) -> Fetch {
        Fetch {
            at,
            object: ObjectId {
                owner: Address::repeat_byte(number),
                locator: Locator::from_bytes([number; 32]),
            },
            attempts: Attempts { since: 1, failed: 0 },
        }
    }

    #[tokio::test]
    async fn each_object_is_in_the_queue_once_also_after_a_restart() {
        let store: Arc<dyn KeyValueStore> = Arc::new(MemoryKeyValueStore::new());
        let mut queue = FetchQueue::new(store.clone());
        queue.add(&fetch(1, 30)).await.unwrap();
        assert_eq!(queue.first(9).await.unwrap(), [fetch(1, 30)]);
        queue.add(&fetch(2, 20)).await.unwrap();
        queue.add(&fetch(1, 10)).await.unwrap();
        assert_eq!(queue.first(9).await.unwrap(), [fetch(2, 20), fetch(1, 30)]);

        let mut queue = FetchQueue::new(store);
        queue.add(&fetch(1, 10)).await.unwrap();
        queue.replace(&fetch(2, 20), Some(&fetch(2, 40))).await.unwrap();
        assert_eq!(queue.first(9).await.unwrap(), [fetch(1, 30), fetch(2, 40)]);
        queue.replace(&fetch(1, 30), None).await.unwrap();
        queue.add(&fetch(1, 5)).await.unwrap();
        assert_eq!(queue.first(1).await.unwrap(), [fetch(1, 5)]);
    }
}
