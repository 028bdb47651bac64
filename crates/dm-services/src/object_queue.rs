//! With which objects something is to be done, and when. It outlives the process.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use alloy_primitives::Address;
use bytes::Bytes;
use dm_core::{
    envelope::ObjectId,
    hash::Locator,
    ports::{KeyValueStore, StoreError, WriteBatch},
};

use crate::{pauses::Attempts, queue_front::QueueFront};

/// Begins the keys of the queue: time, owner and locator → attempts.
const DUE: u8 = b'd';
/// Begins the keys of what is set aside: owner, time and locator → attempts.
const ASIDE: u8 = b'a';
/// Begins the keys under which the time of each object stands, so that each is in the
/// queue once.
const TIME_OF: u8 = b'o';

/// Entries that are taken back at once.
const PAGE: usize = 256;

/// Longest sleep: the clock of the machine may be set.
pub(crate) const LONGEST_SLEEP: Duration = Duration::from_secs(60);

/// An object with which something is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DueObject {
    /// When, in milliseconds since the Unix epoch.
    pub(crate) at: u64,
    pub(crate) object: ObjectId,
    pub(crate) attempts: Attempts,
}

impl DueObject {
    /// One that was not tried yet.
    pub(crate) fn new(object: ObjectId, at: u64, since: u64) -> Self {
        let attempts = Attempts::none(since);
        Self { at, object, attempts }
    }

    /// The same once more after an attempt that failed; pauses grow from the first to the
    /// longest, in milliseconds.
    pub(crate) fn again(&self, now: u64, pauses: (u64, u64)) -> Self {
        let mut attempts = self.attempts;
        Self {
            at: attempts.fail(now, pauses),
            attempts,
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

    fn value(&self) -> Vec<u8> {
        // Numbers always have this form.
        postcard::to_stdvec(&self.attempts).unwrap_or_default()
    }

    fn aside_key(&self) -> Vec<u8> {
        let mut key = aside_of(&self.object.owner);
        key.extend(self.at.to_be_bytes());
        key.extend(self.object.locator.as_bytes());
        key
    }

    fn read_aside(key: &[u8], value: &[u8]) -> Option<Self> {
        let (owner, rest) = key.strip_prefix(&[ASIDE])?.split_first_chunk::<20>()?;
        let (at, locator) = rest.split_first_chunk::<8>()?;
        Self::read(&[&[DUE][..], at, owner, locator].concat(), value)
    }

    fn put_into(&self, batch: &mut WriteBatch) {
        batch.put(self.key(), self.value());
        batch.put(time_key(&self.object), self.at.to_be_bytes().to_vec());
    }
}

/// Begins the keys of what is set aside of this owner.
fn aside_of(owner: &Address) -> Vec<u8> {
    [&[ASIDE][..], owner.as_slice()].concat()
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
    /// Owners of which objects were set aside and may still be, and up to which key none is: the
    /// store walks over what was deleted before it otherwise.
    aside: HashMap<Address, Vec<u8>>,
}

impl ObjectQueue {
    pub(crate) fn new(store: Arc<dyn KeyValueStore>) -> Self {
        let front = QueueFront::new(DUE);
        Self {
            store,
            front,
            aside: HashMap::new(),
        }
    }

    /// Forgets what was read: another instance may have changed the store since then.
    pub(crate) fn read_anew(&mut self) {
        self.front.forget();
        self.aside.clear();
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

    /// Takes objects out of the order until [`ObjectQueue::take_back`] puts them back, so
    /// that those behind them come to the front. They are in the queue all the same.
    pub(crate) async fn set_aside(&mut self, some: &[DueObject]) -> Result<(), StoreError> {
        let mut batch = WriteBatch::new();
        for due in some {
            batch.delete(due.key());
            let key = due.aside_key();
            let none_to = self.aside.entry(due.object.owner).or_default();
            if *none_to >= key {
                none_to.clear();
            }
            batch.put(key, due.value());
        }
        if batch.changes.is_empty() {
            return Ok(());
        }
        self.front.commit(&*self.store, batch).await
    }

    /// Puts the first objects of an owner that are set aside back, at most so many, behind
    /// those that are due at `now`.
    pub(crate) async fn take_back(
        &mut self,
        owner: &Address,
        limit: usize,
        now: u64,
    ) -> Result<(), StoreError> {
        let Some(none_to) = self.aside.get(owner) else {
            return Ok(());
        };
        let after = (!none_to.is_empty()).then(|| none_to.clone());
        let taken = self
            .take_back_below(&aside_of(owner), after.as_deref(), limit, now)
            .await?;
        match taken.last() {
            Some(last) if taken.len() == limit => self.aside.insert(*owner, last.to_vec()),
            _ => self.aside.remove(owner),
        };
        Ok(())
    }

    /// Puts everything back that is set aside: who has set it aside is no more.
    pub(crate) async fn take_back_all(&mut self) -> Result<(), StoreError> {
        while !self.take_back_below(&[ASIDE], None, PAGE, 0).await?.is_empty() {}
        Ok(())
    }

    /// Puts at most so many objects back that are set aside under this prefix, behind the key
    /// `after`, and not before `not_before`; the keys that they had.
    async fn take_back_below(
        &mut self,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
        not_before: u64,
    ) -> Result<Vec<Bytes>, StoreError> {
        let entries = self.store.scan(prefix, after, limit).await?;
        if entries.is_empty() {
            return Ok(Vec::new());
        }
        let mut batch = WriteBatch::new();
        for (key, value) in &entries {
            batch.delete(key.clone());
            if let Some(mut due) = DueObject::read_aside(key, value) {
                due.at = due.at.max(not_before);
                due.put_into(&mut batch);
            }
        }
        self.front.commit(&*self.store, batch).await?;
        Ok(entries.into_iter().map(|(key, _)| key).collect())
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

    use std::sync::Mutex;

    use async_trait::async_trait;
    use dm_testing::key_value::MemoryKeyValueStore;

    use super::*;

    /// Notes behind which keys it was asked for what is set aside.
    #[derive(Clone, Default)]
    struct AskedFrom {
        store: MemoryKeyValueStore,
        after: Arc<Mutex<Vec<Option<Vec<u8>>>>>,
    }

    #[async_trait]
    impl KeyValueStore for AskedFrom {
        async fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
            self.store.get(key).await
        }

        async fn scan(
            &self,
            prefix: &[u8],
            after: Option<&[u8]>,
            limit: usize,
        ) -> Result<Vec<(Bytes, Bytes)>, StoreError> {
            if prefix.first() == Some(&ASIDE) {
                self.after.lock().unwrap().push(after.map(<[u8]>::to_vec));
            }
            self.store.scan(prefix, after, limit).await
        }

        async fn commit(&self, batch: WriteBatch) -> Result<(), StoreError> {
            self.store.commit(batch).await
        }
    }

    const ONE: Address = Address::repeat_byte(1);

    /// One of several objects of the same owner.
    fn of_one(number: u8, at: u64) -> DueObject {
        let locator = Locator::from_bytes([number; 32]);
        DueObject::new(ObjectId { owner: ONE, locator }, at, 1)
    }

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

    #[tokio::test]
    async fn what_is_set_aside_is_in_the_queue_and_holds_up_nobody() {
        let store: Arc<dyn KeyValueStore> = Arc::new(MemoryKeyValueStore::new());
        let mut queue = ObjectQueue::new(store.clone());
        queue.add(&[due(1, 10), due(2, 20), due(3, 30)]).await.unwrap();
        queue.set_aside(&[due(1, 10), due(3, 30)]).await.unwrap();
        assert_eq!(queue.first(9).await.unwrap(), [due(2, 20)]);
        queue.add(&[due(1, 5)]).await.unwrap();
        assert_eq!(queue.first(9).await.unwrap(), [due(2, 20)]);
        let owner = due(1, 10).object.owner;
        for _ in 0..2 {
            queue.take_back(&owner, 1, 40).await.unwrap();
            assert_eq!(
                queue.first(9).await.unwrap(),
                [due(2, 20), DueObject::new(due(1, 0).object, 40, 1)]
            );
        }

        let mut queue = ObjectQueue::new(store);
        queue.take_back_all().await.unwrap();
        let first = queue.first(9).await.unwrap();
        assert_eq!(first[..2], [due(2, 20), due(3, 30)]);
        let done: Vec<_> = first.into_iter().map(|due| (due, None)).collect();
        queue.replace(&done).await.unwrap();
        queue.take_back_all().await.unwrap();
        assert_eq!(queue.first(9).await.unwrap(), []);
    }

    #[tokio::test]
    async fn what_is_set_aside_comes_back_once_whatever_its_time() {
        let mut queue = ObjectQueue::new(Arc::new(MemoryKeyValueStore::new()));
        let later: Vec<_> = (1..=4).map(|number| of_one(number, 50)).collect();
        queue.add(&later).await.unwrap();
        queue.set_aside(&later).await.unwrap();
        queue.take_back(&ONE, 2, 60).await.unwrap();
        // What stands before what was taken back already.
        let earlier = of_one(9, 10);
        queue.add(std::slice::from_ref(&earlier)).await.unwrap();
        queue.set_aside(&[earlier]).await.unwrap();
        for _ in 0..3 {
            queue.take_back(&ONE, 2, 60).await.unwrap();
        }
        let back = queue.first(9).await.unwrap();
        let expected: Vec<_> = [1, 2, 3, 4, 9].map(|number| of_one(number, 60)).into();
        assert_eq!(back, expected);
    }

    #[tokio::test]
    async fn taking_back_begins_behind_what_was_taken_back_before() {
        let store = AskedFrom::default();
        let mut queue = ObjectQueue::new(Arc::new(store.clone()));
        let some: Vec<_> = (1..=4).map(|number| of_one(number, 50)).collect();
        queue.add(&some).await.unwrap();
        queue.set_aside(&some).await.unwrap();
        queue.take_back(&ONE, 2, 60).await.unwrap();
        queue.take_back(&ONE, 2, 60).await.unwrap();
        let asked = store.after.lock().unwrap().clone();
        assert_eq!(asked, [None, Some(some[1].aside_key())]);
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
