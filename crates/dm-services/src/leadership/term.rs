//! One instance's time as the leader.

use std::{fmt::Display, sync::Arc, time::Duration};

use dm_core::lease::{Epoch, in_epoch};
use tokio::{sync::watch, time::Instant};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// The time in which an instance leads, in one epoch; clones are the same.
#[derive(Debug, Clone)]
pub struct Term {
    epoch: Epoch,
    /// When it is over, unless it is extended.
    until: Arc<watch::Sender<Instant>>,
    over: CancellationToken,
    tasks: TaskTracker,
}

impl Term {
    pub(super) fn new(epoch: Epoch, until: Instant) -> Self {
        Self {
            epoch,
            until: Arc::new(watch::Sender::new(until)),
            over: CancellationToken::new(),
            tasks: TaskTracker::new(),
        }
    }

    /// Its number, by which the database recognises what is done in it.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Is cancelled when it is over: whatever only the leader may do ends then.
    pub fn over(&self) -> CancellationToken {
        self.over.clone()
    }

    /// Whether it goes on at this very moment. A process that was suspended learns it from
    /// this before its timers have fired; ask before anything that cannot be undone.
    pub fn holds(&self) -> bool {
        !self.over.is_cancelled() && Instant::now() < *self.until.borrow()
    }

    pub(super) fn extend(&self, until: Instant) {
        self.until.send_replace(until);
    }

    pub(super) fn end(&self) {
        self.over.cancel();
        self.tasks.close();
    }

    /// When no task runs any more.
    pub(super) async fn ended(&self) {
        self.tasks.wait().await;
    }

    /// What comes of it while the term goes on.
    pub(super) async fn until_over<T>(&self, asked: impl Future<Output = T>) -> Option<T> {
        let until = *self.until.borrow();
        let answer = tokio::time::timeout_at(until, asked).await;
        answer.ok().filter(|_| self.holds())
    }

    /// Runs tasks as long as it goes on, and `grace` longer where they do not end. They may
    /// learn `notice` before it that it is over, from a write that is refused.
    pub(super) async fn run<Tasks, Error>(
        &self,
        grace: Duration,
        notice: Duration,
        make: impl Fn(Self) -> Tasks,
    ) -> Result<(), Error>
    where
        Tasks: Future<Output = Result<(), Error>>,
        Error: Display,
    {
        // Counted before it is asked whether the term goes on: who ends it waits for this.
        let _counted = self.tasks.token();
        if !self.holds() {
            return Ok(());
        }
        let tasks = in_epoch(self.epoch, make(self.clone()));
        tokio::pin!(tasks);
        let done = tokio::select! {
            done = &mut tasks => done,
            () = self.over.cancelled() => match tokio::time::timeout(grace, tasks).await {
                Ok(done) => done,
                Err(_) => {
                    tracing::warn!(epoch = %self.epoch, "tasks of the leader did not end in time and were dropped");
                    return Ok(());
                }
            },
        };
        let Err(error) = done else { return Ok(()) };
        if tokio::time::timeout(notice, self.over.cancelled()).await.is_err() {
            return Err(error);
        }
        tracing::info!(epoch = %self.epoch, %error, "a task of the leader ended with its term");
        Ok(())
    }
}
