use std::{
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::sync::oneshot;

use super::pool::Pool;

/// The pool between those who send transactions and the thread that mines
/// them, which sleeps while there is nothing to do.
#[derive(Debug, Default)]
pub(super) struct MiningQueue {
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

/// What the mining thread looks at.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    /// The transactions.
    pub(super) pool: Pool,
    /// Those who want a block even if it is empty.
    pub(super) forced: Vec<oneshot::Sender<()>>,
    changes: u64,
    closed: bool,
}

impl MiningQueue {
    /// Looks at the pool; the lock must not be held during input or output.
    pub(super) fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the pool and wakes the mining thread.
    pub(super) fn change<T>(&self, change: impl FnOnce(&mut Waiting) -> T) -> T {
        let mut waiting = self.lock();
        waiting.changes += 1;
        let result = change(&mut waiting);
        self.changed.notify_all();
        result
    }

    /// A block is to be mined even if it is empty. The receiver hears when it
    /// is there, and closes when the chain does.
    pub(super) fn force(&self) -> oneshot::Receiver<()> {
        let (done, mined) = oneshot::channel();
        self.change(|waiting| {
            if !waiting.closed {
                waiting.forced.push(done);
            }
        });
        mined
    }

    /// Lets the mining thread end.
    pub(super) fn close(&self) {
        self.change(|waiting| {
            waiting.closed = true;
            waiting.forced.clear();
        });
    }

    /// Whether the chain takes no transactions any more.
    pub(super) fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// Sleeps until something changed after `seen`, and returns the new
    /// number of changes; `None` when the queue is closed.
    pub(super) fn wait_for_change(&self, seen: u64) -> Option<u64> {
        let unchanged = |waiting: &mut Waiting| !waiting.closed && waiting.changes == seen;
        let waiting = self
            .changed
            .wait_while(self.lock(), unchanged)
            .unwrap_or_else(PoisonError::into_inner);
        (!waiting.closed).then_some(waiting.changes)
    }

    /// Sleeps for `pause` at most; shorter when the queue is closed.
    pub(super) fn pause(&self, pause: Duration) {
        let open = |waiting: &mut Waiting| !waiting.closed;
        drop(self.changed.wait_timeout_while(self.lock(), pause, open));
    }
}
