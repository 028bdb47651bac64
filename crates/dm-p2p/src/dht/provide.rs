//! Announcing on the DHT which new objects this node has, each as soon as it is here.

use std::{
    collections::{HashSet, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use dm_core::{hash::Locator, ports::StoreError};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::node::Context;

/// Locators that wait to be announced. Where more come, the sweep of
/// everything that is stored finds them.
const MAX_WAITING: usize = 64 * 1024;
/// Between two announcements of new objects: each is a walk through the DHT,
/// and a burst of small shares must not drown everything else.
const PACE: Duration = Duration::from_millis(5);
/// Locators of new objects, in the order in which they are to be announced.
#[derive(Default)]
pub(crate) struct ProvideQueue {
    waiting: Mutex<Waiting>,
    arrived: Notify,
}

#[derive(Default)]
struct Waiting {
    order: VecDeque<Locator>,
    known: HashSet<Locator>,
}

impl ProvideQueue {
    /// Has a locator announced soon; never waits.
    pub(crate) fn push(&self, locator: Locator) {
        let mut waiting = self.lock();
        if waiting.order.len() < MAX_WAITING && waiting.known.insert(locator) {
            waiting.order.push_back(locator);
            drop(waiting);
            self.arrived.notify_one();
        }
    }

    async fn pop(&self) -> Locator {
        loop {
            let arrived = self.arrived.notified();
            if let Some(locator) = self.try_pop() {
                return locator;
            }
            arrived.await;
        }
    }

    fn try_pop(&self) -> Option<Locator> {
        let mut waiting = self.lock();
        let locator = waiting.order.pop_front()?;
        waiting.known.remove(&locator);
        Some(locator)
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Announces new objects as they come.
pub(crate) async fn provide_from_queue(
    context: Arc<Context>,
    shutdown: CancellationToken,
) -> Result<(), StoreError> {
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return Ok(()),
            locator = context.provide.pop() => context.runner.provide(&locator).await,
        }
        tokio::time::sleep(PACE).await;
    }
}

#[cfg(test)]
mod tests {
    use dm_core::hash::DataHash;

    use super::*;

    #[tokio::test]
    async fn a_locator_that_waits_is_not_queued_twice() {
        let queue = ProvideQueue::default();
        let (one, two) = (DataHash::of(b"1").locator(), DataHash::of(b"2").locator());
        queue.push(one);
        queue.push(two);
        queue.push(one);
        assert_eq!((queue.pop().await, queue.pop().await), (one, two));
        assert_eq!(queue.try_pop(), None);
        queue.push(one);
        assert_eq!(queue.pop().await, one);
    }

    #[test]
    fn the_queue_is_bounded() {
        let queue = ProvideQueue::default();
        for number in 0..MAX_WAITING + 10 {
            queue.push(DataHash::of(&number.to_be_bytes()).locator());
        }
        assert_eq!(queue.lock().order.len(), MAX_WAITING);
    }
}
