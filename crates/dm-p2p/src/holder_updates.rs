use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
};

use dm_core::envelope::ObjectId;
use libp2p::PeerId;
use tokio::sync::Notify;

use crate::holder_cache::HolderCache;

/// Updates that may wait to be taken; the oldest are dropped.
const MAX_WAITING: usize = 16 * 1024;

type Item = (ObjectId, Vec<PeerId>);

/// What was learned about holders of objects, for whoever repairs them.
#[derive(Default)]
pub(crate) struct HolderUpdates {
    waiting: Mutex<VecDeque<Item>>,
    arrived: Notify,
    /// The same, for those who look for objects.
    pub(crate) cache: HolderCache,
}

impl HolderUpdates {
    /// These peers hold the object, or say so; never waits.
    pub(crate) fn publish(&self, object: ObjectId, holders: impl IntoIterator<Item = PeerId>) {
        let holders: Vec<PeerId> = holders.into_iter().collect();
        self.cache.insert(object.locator, holders.iter().copied());
        let mut waiting = self.lock();
        if waiting.len() == MAX_WAITING {
            waiting.pop_front();
        }
        waiting.push_back((object, holders));
        drop(waiting);
        self.arrived.notify_one();
    }

    /// The next update.
    pub(crate) async fn next(&self) -> Item {
        loop {
            let arrived = self.arrived.notified();
            if let Some(item) = self.lock().pop_front() {
                return item;
            }
            arrived.await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Item>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use dm_testing::objects::SampleObject;

    use super::*;

    #[tokio::test]
    async fn news_come_in_their_order_and_the_oldest_are_dropped() {
        let updates = HolderUpdates::default();
        let object = SampleObject::new(1, 1, 1).id();
        let peers: Vec<PeerId> = (0..MAX_WAITING + 2).map(|_| PeerId::random()).collect();
        for peer in &peers {
            updates.publish(object, [*peer]);
        }
        assert_eq!(updates.next().await, (object, vec![peers[2]]));
        assert_eq!(updates.next().await, (object, vec![peers[3]]));
    }
}
