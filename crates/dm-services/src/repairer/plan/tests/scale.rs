//! The cost of what happens does not depend on what is stored.

use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use dm_core::ports::{KeyValueStore, WriteBatch};

use super::*;

/// Counts the entries that are read and written.
#[derive(Clone, Default)]
struct Counting {
    store: MemoryKeyValueStore,
    entries: Arc<AtomicU64>,
}

impl Counting {
    fn count(&self, entries: usize) {
        self.entries.fetch_add(entries as u64, Ordering::Relaxed);
    }

    fn take(&self) -> u64 {
        self.entries.swap(0, Ordering::Relaxed)
    }
}

#[async_trait]
impl KeyValueStore for Counting {
    async fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        self.count(1);
        self.store.get(key).await
    }

    async fn scan(
        &self,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<(Bytes, Bytes)>, StoreError> {
        let entries = self.store.scan(prefix, after, limit).await?;
        self.count(entries.len());
        Ok(entries)
    }

    async fn commit(&self, batch: WriteBatch) -> Result<(), StoreError> {
        self.count(batch.changes.len());
        self.store.commit(batch).await
    }
}

/// What it costs, with so many objects that others hold, to start, to wait for
/// an hour, and to bear that the holder of ten objects leaves and comes back.
async fn costs(objects: u32) -> [u64; 4] {
    let store = Counting::default();
    let config = RepairConfig::default();
    let open = async |now| {
        RepairPlan::open(key(1000), config, Arc::new(store.clone()), now)
            .await
            .unwrap()
    };
    let mut plan = open(0).await;
    for number in 0..objects {
        let object = ObjectId {
            locator: DataHash::of(&number.to_be_bytes()).locator(),
            owner: Address::ZERO,
        };
        plan.keep(&object, true, 1000, None, 0).await.unwrap();
        for index in 1..=3 {
            plan.proved(&object, &peer(index), Proof::Proven, 0)
                .await
                .unwrap();
        }
        if number < 10 {
            plan.proved(&object, &peer(4), Proof::Proven, 0).await.unwrap();
        }
    }
    due(&mut plan, 0).await;
    store.take();
    let mut plan = open(HOUR).await;
    for index in 1..=4 {
        plan.peer_up(&peer(index));
    }
    let start = store.take();
    let wait = async |plan: &mut RepairPlan, from: u64| {
        for minute in 0..60 {
            due(plan, from + minute * 60 * SECOND).await;
        }
        store.take()
    };
    let idle = wait(&mut plan, HOUR).await;
    plan.peer_down(&peer(4), 2 * HOUR);
    let away = wait(&mut plan, 2 * HOUR).await;
    plan.peer_up(&peer(4));
    let back = wait(&mut plan, 3 * HOUR).await;
    [start, idle, away, back]
}

#[tokio::test]
async fn what_happens_costs_the_same_whatever_is_stored() {
    let (few, many) = (costs(100).await, costs(5_000).await);
    // A page of what comes next may be read where there is more than one.
    for (few, many) in few.into_iter().zip(many) {
        assert!(many <= few * 2 + 100, "{few} with 100 objects, {many} with 5,000");
    }
}
