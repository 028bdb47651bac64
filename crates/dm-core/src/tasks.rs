//! Supervised background tasks: restarted with back-off when they fail, and
//! ended together when the node stops.

use std::{
    collections::BTreeMap,
    fmt::Display,
    future::Future,
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures::FutureExt;
use serde::Serialize;
use tokio::time::Instant;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::ports::{LeaderTask, Leads};

/// First pause before a failed task is started again.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
/// Longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// A task that ran this long before it failed begins with the first pause again.
const STABLE_AFTER: Duration = Duration::from_secs(60);

/// How a task is doing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TaskStatus {
    /// Whether it runs; `false` while it waits to be started again.
    pub running: bool,
    /// How often it has failed.
    pub failures: u64,
    /// Why it failed last.
    pub last_error: Option<String>,
}

/// Runs the node's background tasks; cheap to clone.
#[derive(Clone, Default)]
pub struct Supervisor {
    shutdown: CancellationToken,
    tracker: TaskTracker,
    statuses: Arc<Mutex<BTreeMap<String, TaskStatus>>>,
    /// Where the node may have several instances.
    leads: Option<Arc<dyn Leads>>,
}

impl Supervisor {
    /// A supervisor without tasks, of a node that is one instance: it always leads.
    pub fn new() -> Self {
        Self::default()
    }

    /// A supervisor without tasks, of an instance that may not lead.
    pub fn led_by(leads: Arc<dyn Leads>) -> Self {
        Self {
            leads: Some(leads),
            ..Self::default()
        }
    }

    /// Whether the node is one instance, which always leads.
    pub fn is_alone(&self) -> bool {
        self.leads.is_none()
    }

    /// Is cancelled when the node stops; tasks end soon after it.
    pub fn shutdown_token(&self) -> CancellationToken {
        self.shutdown.clone()
    }

    /// Starts a task under a name. `make` is called for each attempt; a task
    /// that returns `Ok` is done, one that returns an error or panics is
    /// started again after a growing pause.
    pub fn spawn<Make, Task, Error>(&self, name: &str, make: Make)
    where
        Make: Fn(CancellationToken) -> Task + Send + 'static,
        Task: Future<Output = Result<(), Error>> + Send + 'static,
        Error: Display + Send + 'static,
    {
        let supervisor = self.clone();
        let name = name.to_owned();
        self.tracker
            .spawn(async move { supervisor.supervise(&name, make).await });
    }

    /// Starts a task that runs only while this instance leads: each time anew, and in the
    /// [epoch](crate::lease::in_epoch) of that time. Else as [`spawn`](Self::spawn).
    pub fn spawn_leading<Make, Task, Error>(&self, name: &str, make: Make)
    where
        Make: Fn(CancellationToken) -> Task + Send + Sync + 'static,
        Task: Future<Output = Result<(), Error>> + Send + 'static,
        Error: Display + Send + 'static,
    {
        let Some(leads) = self.leads.clone() else {
            return self.spawn(name, make);
        };
        let work: Arc<LeaderTask> = Arc::new(move |over| {
            let task = make(over);
            async move { task.await.map_err(|error| error.to_string()) }.boxed()
        });
        self.spawn(name, move |shutdown| {
            let (leads, work) = (leads.clone(), work.clone());
            async move { leads.lead(shutdown, &*work).await }
        });
    }

    async fn supervise<Make, Task, Error>(&self, name: &str, make: Make)
    where
        Make: Fn(CancellationToken) -> Task,
        Task: Future<Output = Result<(), Error>>,
        Error: Display,
    {
        let mut pause = FIRST_PAUSE;
        while !self.shutdown.is_cancelled() {
            let started = Instant::now();
            self.update(name, |status| status.running = true);
            let attempt = AssertUnwindSafe(make(self.shutdown.clone())).catch_unwind();
            let failure = match attempt.await {
                Ok(Ok(())) => {
                    self.remove(name);
                    return;
                }
                Ok(Err(error)) => error.to_string(),
                Err(_) => "the task panicked".to_owned(),
            };
            tracing::error!(task = name, error = failure, "background task failed");
            self.update(name, |status| {
                status.running = false;
                status.failures += 1;
                status.last_error = Some(failure);
            });
            if started.elapsed() >= STABLE_AFTER {
                pause = FIRST_PAUSE;
            }
            tokio::select! {
                () = self.shutdown.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// How every unfinished task is doing, by name.
    pub fn statuses(&self) -> BTreeMap<String, TaskStatus> {
        self.lock().clone()
    }

    /// Asks all tasks to end and waits for them, no longer than `patience`.
    /// Returns whether all have ended.
    pub async fn shut_down(&self, patience: Duration) -> bool {
        self.shutdown.cancel();
        self.tracker.close();
        tokio::time::timeout(patience, self.tracker.wait()).await.is_ok()
    }

    fn update(&self, name: &str, change: impl FnOnce(&mut TaskStatus)) {
        let mut statuses = self.lock();
        change(statuses.entry(name.to_owned()).or_insert(TaskStatus {
            running: false,
            failures: 0,
            last_error: None,
        }));
    }

    fn remove(&self, name: &str) {
        self.lock().remove(name);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, TaskStatus>> {
        self.statuses.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_failing_task_is_started_again_and_shows_its_failures() {
        let supervisor = Supervisor::new();
        let attempts = Arc::new(AtomicU32::new(0));
        let counted = attempts.clone();
        supervisor.spawn("flaky", move |shutdown| {
            let attempt = counted.fetch_add(1, Ordering::SeqCst);
            async move {
                match attempt {
                    0 => Err("first".to_owned()),
                    1 => panic!("second"),
                    _ => {
                        shutdown.cancelled().await;
                        Ok(())
                    }
                }
            }
        });
        tokio::time::sleep(Duration::from_secs(5)).await;
        assert_eq!(attempts.load(Ordering::SeqCst), 3);
        let status = supervisor.statuses()["flaky"].clone();
        assert!(status.running);
        assert_eq!(status.failures, 2);
        assert_eq!(status.last_error.as_deref(), Some("the task panicked"));
        assert!(supervisor.shut_down(Duration::from_secs(1)).await);
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_does_not_end_is_reported_at_shutdown() {
        let supervisor = Supervisor::new();
        supervisor.spawn("deaf", |_| std::future::pending::<Result<(), String>>());
        // It must have begun: a task that has not is never started any more.
        tokio::task::yield_now().await;
        assert!(supervisor.statuses()["deaf"].running);
        assert!(!supervisor.shut_down(Duration::from_secs(1)).await);
    }
}
