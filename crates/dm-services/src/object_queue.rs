//! With which objects something is to be done, and when. It outlives the process.

use std::{collections::HashSet, sync::Arc, time::Duration};

use alloy_primitives::Address;
use bytes::Bytes;
use dm_core::{
    envelope::ObjectId,
    hash::Locator,
    ports::{KeyValueStore, StoreError, WriteBatch},
};
use serde::{Deserialize, Serialize};

use crate::{pauses::pause_after, queue_front::QueueFront};

/// Begins the keys of the queue: time, owner and locator → attempts.
const DUE: u8 = b'd';
/// Begins the keys under which the time of each object stands, so that each is in the
/// queue once.
const TIME_OF: u8 = b'o';

/// Longest sleep: the clock of the machine may be set.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);

/// An object with which something is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DueObject {
    /// When, in milliseconds since the Unix epoch.
    pub(crate) at: u64,
    pub(crate) object: ObjectId,
    pub(crate) attempts: Attempts,
}

/// What was tried so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Attempts {
    /// When it was taken up, in milliseconds since the Unix epoch.
    pub(crate) since: u64,
    /// Attempts that failed.
    pub(crate) failed: u32,
}

impl DueObject {
    /// One that was not tried yet.
    pub(crate) fn new(object: ObjectId, at: u64, since: u64) -> Self {
        let attempts = Attempts { since, failed: 0 };
        Self { at, object, attempts }
    }

    /// The same once more after an attempt that failed; pauses grow from the first to the
    /// longest, in milliseconds.
    pub(crate) fn again(&self, now: u64, pauses: (u64, u64)) -> Self {
        let failed = self.attempts.failed;
        Self {
            at: now.saturating_add(pause_after(failed, pauses)),
            attempts: Attempts {
                failed: failed.saturating_add(1),
                ..self.attempts
            },
            ..self.clone()
        }
    }

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

/// The objects in one store, those that are due first at the front.
pub(crate) struct ObjectQueue {
    store: Arc<dyn KeyValueStore>,
    front: QueueFront,
}

impl ObjectQueue {
    pub(crate) fn new(store: Arc<dyn KeyValueStore>) -> Self {
        let front = QueueFront::new(DUE);
        Self { store, front }
    }

    /// Takes objects, except those that are here already; durable when it returns.
    pub(crate) async fn add(&mut self, new: &[DueObject]) -> Result<(), StoreError> {
        let (mut batch, mut seen) = (WriteBatch::new(), HashSet::new());
        for due in new {
            if seen.insert(due.object) && self.store.get(&time_key(&due.object)).await?.is_none() {
                due.put_into(&mut batch);
            }
        }
        if batch.changes.is_empty() {
            return Ok(());
        }
        self.front.commit(&*self.store, batch).await
    }

    /// Puts others in the place of some; `None`: they are done.
    pub(crate) async fn replace(
        &mut self,
        done: &[(DueObject, Option<DueObject>)],
    ) -> Result<(), StoreError> {
        let mut batch = WriteBatch::new();
        for (old, new) in done {
            batch.delete(old.key());
            batch.delete(time_key(&old.object));
            new.iter().for_each(|due| due.put_into(&mut batch));
        }
        self.front.commit(&*self.store, batch).await
    }

    /// Those that are due at `now`, at most so many, and how long to sleep where there are
    /// none.
    pub(crate) async fn due(
        &mut self,
        now: u64,
        limit: usize,
    ) -> Result<(Vec<DueObject>, Duration), StoreError> {
        let mut first = self.first(limit).await?;
        let next = first.iter().map(|due| due.at).find(|at| *at > now);
        let pause = next.map(|at| Duration::from_millis(at - now));
        first.retain(|due| due.at <= now);
        Ok((first, pause.unwrap_or(LONGEST_SLEEP).min(LONGEST_SLEEP)))
    }

    async fn first(&mut self, limit: usize) -> Result<Vec<DueObject>, StoreError> {
        let entries = self.front.first(&*self.store, limit).await?;
        let entries = entries.iter();
        Ok(entries
            .filter_map(|(key, value)| DueObject::read(key, value))
            .collect())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

    use dm_testing::key_value::MemoryKeyValueStore;

    use super::*;

    fn due(number: u8, at: u64) -> DueObject {
        let object = ObjectId {
            owner: Address::repeat_byte(number),
            locator: Locator::from_bytes([number; 32]),
        };
        DueObject::new(object, at, 1)
    }

    #[tokio::test]
    async fn each_object_is_in_the_queue_once_also_after_a_restart() {
        let store: Arc<dyn KeyValueStore> = Arc::new(MemoryKeyValueStore::new());
        let mut queue = ObjectQueue::new(store.clone());
        queue.add(&[due(1, 30)]).await.unwrap();
        assert_eq!(queue.first(9).await.unwrap(), [due(1, 30)]);
        queue.add(&[due(2, 20), due(2, 50), due(1, 10)]).await.unwrap();
        assert_eq!(queue.first(9).await.unwrap(), [due(2, 20), due(1, 30)]);

        let mut queue = ObjectQueue::new(store);
        queue.add(&[due(1, 10)]).await.unwrap();
        queue.replace(&[(due(2, 20), Some(due(2, 40)))]).await.unwrap();
        assert_eq!(queue.first(9).await.unwrap(), [due(1, 30), due(2, 40)]);
        queue.replace(&[(due(1, 30), None)]).await.unwrap();
        queue.add(&[due(1, 5)]).await.unwrap();
        assert_eq!(queue.first(1).await.unwrap(), [due(1, 5)]);
    }

    #[tokio::test]
    async fn what_is_due_comes_first_and_nothing_before_its_time() {
        let mut queue = ObjectQueue::new(Arc::new(MemoryKeyValueStore::new()));
        queue.add(&[due(1, 30), due(2, 20), due(3, 10)]).await.unwrap();
        assert_eq!(queue.due(20, 9).await.unwrap().0, [due(3, 10), due(2, 20)]);
        assert_eq!(queue.due(20, 1).await.unwrap().0, [due(3, 10)]);
        assert_eq!(queue.due(4, 9).await.unwrap(), (vec![], Duration::from_millis(6)));
    }

    #[test]
    fn pauses_grow_up_to_the_longest_one() {
        let (mut due, mut pauses) = (due(1, 0), Vec::new());
        for _ in 0..4 {
            let at = due.at;
            due = due.again(at, (10, 50));
            pauses.push(due.at - at);
        }
        assert_eq!(pauses, [10, 20, 40, 50]);
        assert_eq!((due.attempts.since, due.attempts.failed), (1, 4));
    }
}
