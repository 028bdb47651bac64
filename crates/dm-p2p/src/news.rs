use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
};

use dm_core::envelope::ObjectId;
use libp2p::PeerId;
use tokio::sync::Notify;

use crate::known_holders::KnownHolders;

/// News that may wait to be taken; the oldest are dropped.
const MAX_WAITING: usize = 16 * 1024;

type Item = (ObjectId, Vec<PeerId>);

/// What was learned about holders of objects, for whoever looks after them.
#[derive(Default)]
pub(crate) struct News {
    waiting: Mutex<VecDeque<Item>>,
    arrived: Notify,
    /// Remembered for those who look for objects.
    pub(crate) known: KnownHolders,
}

impl News {
    /// These peers hold the object, or say so; never waits.
    pub(crate) fn tell(&self, object: ObjectId, holders: impl IntoIterator<Item = PeerId>) {
        let holders: Vec<PeerId> = holders.into_iter().collect();
        self.known.remember(object.locator, holders.iter().copied());
        let mut waiting = self.lock();
        if waiting.len() == MAX_WAITING {
            waiting.pop_front();
        }
        waiting.push_back((object, holders));
        drop(waiting);
        self.arrived.notify_one();
    }

    /// The next piece of news.
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
        let news = News::default();
        let object = SampleObject::new(1, 1, 1).id();
        let peers: Vec<PeerId> = (0..MAX_WAITING + 2).map(|_| PeerId::random()).collect();
        for peer in &peers {
            news.tell(object, [*peer]);
        }
        assert_eq!(news.next().await, (object, vec![peers[2]]));
        assert_eq!(news.next().await, (object, vec![peers[3]]));
    }
}
