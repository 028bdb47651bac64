//! Announcing on the DHT which new objects this node has, each as soon as it is here.

use std::{
    collections::{HashSet, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use dm_core::{hash::Locator, ports::StoreError};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::sweep::announce_together;
use crate::{node::Context, wire::MAX_ANNOUNCED};

/// Locators that wait to be announced. Where more come, the sweep of
/// everything that is stored finds them.
const MAX_WAITING: usize = 64 * 1024;
/// After the announcement of a new object, which is a walk through the DHT.
const PACE: Duration = Duration::from_millis(5);
/// After that of several together. A burst of small shares must not drown everything else: the
/// longer the pause, the more of them share a walk.
const BURST_PACE: Duration = Duration::from_millis(100);
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

    /// Waits until there are some, and takes at most so many.
    async fn next(&self, limit: usize) -> Vec<Locator> {
        loop {
            let arrived = self.arrived.notified();
            let next = self.take(limit);
            if !next.is_empty() {
                return next;
            }
            arrived.await;
        }
    }

    fn take(&self, limit: usize) -> Vec<Locator> {
        let mut waiting = self.lock();
        let count = limit.min(waiting.order.len());
        let next: Vec<Locator> = waiting.order.drain(..count).collect();
        for locator in &next {
            waiting.known.remove(locator);
        }
        next
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Announces new objects as they come: one by itself, and together those that come while it is
/// announced.
pub(crate) async fn provide_from_queue(
    context: Arc<Context>,
    shutdown: CancellationToken,
) -> Result<(), StoreError> {
    let announcing = async {
        loop {
            let pause = match context.provide.next(MAX_ANNOUNCED).await.as_slice() {
                [one] => {
                    context.runner.provide(one).await;
                    PACE
                }
                several => {
                    announce_together(&context, several).await;
                    BURST_PACE
                }
            };
            tokio::time::sleep(pause).await;
        }
    };
    shutdown.run_until_cancelled(announcing).await;
    Ok(())
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
        assert_eq!(queue.next(9).await, [one, two]);
        assert_eq!(queue.take(9), []);
        queue.push(one);
        queue.push(two);
        assert_eq!((queue.next(1).await, queue.take(1)), (vec![one], vec![two]));
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
