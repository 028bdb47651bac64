//! Announcing on the DHT which objects this node has.

use std::{
    collections::{HashSet, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use dm_core::{hash::Locator, ports::StoreError};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::node::Context;

/// Locators that wait to be announced. Where more come, the periodic
/// announcement of everything that is stored finds them.
const MAX_WAITING: usize = 64 * 1024;
/// Between two announcements of new objects: each is a walk through the DHT,
/// and a burst of small shares must not drown everything else.
const PACE: Duration = Duration::from_millis(5);
/// Between two announcements of objects that were announced before.
const REPEAT_PACE: Duration = Duration::from_millis(50);
/// Between two announcements of everything that is stored.
const REPEAT_INTERVAL: Duration = Duration::from_secs(12 * 60 * 60);
/// Between two looks whether there are peers to announce to.
const PEERLESS_PAUSE: Duration = Duration::from_secs(5);
/// Objects that are listed at once.
const PAGE: usize = 256;

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

/// Announces everything that is stored, now and again at intervals: provider
/// records expire, and the peers closest to a locator change.
pub(crate) async fn provide_stored(
    context: Arc<Context>,
    shutdown: CancellationToken,
) -> Result<(), StoreError> {
    loop {
        let round = async {
            announce_all(&context).await?;
            tokio::time::sleep(REPEAT_INTERVAL).await;
            Ok(())
        };
        tokio::select! {
            () = shutdown.cancelled() => return Ok(()),
            done = round => done?,
        }
    }
}

async fn announce_all(context: &Context) -> Result<(), StoreError> {
    let mut after = None;
    loop {
        let page = context.objects.list(after.as_ref(), PAGE).await?;
        let Some(last) = page.last().copied() else {
            return Ok(());
        };
        for id in page {
            if context.objects.is_damaged(&id) {
                continue;
            }
            while !context.runner.has_peers().await {
                tokio::time::sleep(PEERLESS_PAUSE).await;
            }
            context.runner.provide(&id.locator).await;
            tokio::time::sleep(REPEAT_PACE).await;
        }
        after = Some(last);
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
