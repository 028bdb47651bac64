use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
};

use dm_core::envelope::ObjectId;
use libp2p::PeerId;
use tokio::sync::Notify;

use crate::holder_cache::HolderCache;

/// Updates that may wait to be taken. Beyond that, hearsay is dropped, and makes
/// room for what is certain.
const MAX_WAITING: usize = 16 * 1024;

/// Peers that hold an object, or are said to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HolderUpdate {
    pub(crate) object: ObjectId,
    pub(crate) holders: Vec<PeerId>,
    /// Who says so; `None` where the whole object went to the holders or came from them.
    pub(crate) said_by: Option<PeerId>,
}

/// What was learned about holders of objects, for whoever repairs them.
#[derive(Default)]
pub(crate) struct HolderUpdates {
    waiting: Mutex<VecDeque<HolderUpdate>>,
    arrived: Notify,
    /// The same, for those who look for objects.
    pub(crate) cache: HolderCache,
}

impl HolderUpdates {
    /// The whole object went to these peers, or came from them; never waits.
    pub(crate) fn transferred(&self, object: ObjectId, holders: impl IntoIterator<Item = PeerId>) {
        let holders: Vec<PeerId> = holders.into_iter().collect();
        self.cache.insert(object.locator, holders.iter().copied());
        self.push(HolderUpdate {
            object,
            holders,
            said_by: None,
        });
    }

    /// `by` says that these peers hold the object; never waits.
    pub(crate) fn said(&self, by: PeerId, object: ObjectId, holders: Vec<PeerId>) {
        self.push(HolderUpdate {
            object,
            holders,
            said_by: Some(by),
        });
    }

    fn push(&self, update: HolderUpdate) {
        let mut waiting = self.lock();
        if waiting.len() >= MAX_WAITING {
            let hearsay = waiting.iter().position(|waiting| waiting.said_by.is_some());
            match hearsay {
                _ if update.said_by.is_some() => return,
                Some(hearsay) => drop(waiting.remove(hearsay)),
                None => drop(waiting.pop_front()),
            }
        }
        waiting.push_back(update);
        drop(waiting);
        self.arrived.notify_one();
    }

    /// The next update.
    pub(crate) async fn next(&self) -> HolderUpdate {
        loop {
            let arrived = self.arrived.notified();
            if let Some(item) = self.lock().pop_front() {
                return item;
            }
            arrived.await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<HolderUpdate>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use dm_testing::objects::SampleObject;

    use super::*;

    fn peers(update: &HolderUpdate) -> &[PeerId] {
        &update.holders
    }

    #[tokio::test]
    async fn updates_come_in_their_order_and_the_oldest_are_dropped() {
        let updates = HolderUpdates::default();
        let object = SampleObject::new(1, 1, 1).id();
        let all: Vec<PeerId> = (0..MAX_WAITING + 2).map(|_| PeerId::random()).collect();
        for peer in &all {
            updates.transferred(object, [*peer]);
        }
        assert_eq!(peers(&updates.next().await), &all[2..3]);
        assert_eq!(peers(&updates.next().await), &all[3..4]);
    }

    #[tokio::test]
    async fn hearsay_crowds_nothing_out_that_is_certain() {
        let updates = HolderUpdates::default();
        let object = SampleObject::new(1, 1, 1).id();
        let (liar, holder) = (PeerId::random(), PeerId::random());
        for _ in 0..MAX_WAITING + 2 {
            updates.said(liar, object, vec![PeerId::random()]);
        }
        updates.transferred(object, [holder]);
        updates.said(liar, object, vec![liar]);
        let mut last = updates.next().await;
        for _ in 1..MAX_WAITING {
            last = updates.next().await;
        }
        assert_eq!((peers(&last), last.said_by), (&[holder][..], None));
        assert!(updates.lock().is_empty());
    }
}
