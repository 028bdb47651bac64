//! One task for each subscription that is active.

use std::{collections::HashMap, time::Duration};

use dm_core::{
    lease::in_same_epoch,
    subscription::{SubscriptionId, SubscriptionState},
};
use tokio::task::{Id, JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use super::{Subscriptions, delivery::AFTER_FAULT};
use crate::ServiceError;

/// Between two looks at which subscriptions there are.
const LOOK_AGAIN_AFTER: Duration = Duration::from_secs(10);

/// The tasks that run, and what stops each of them.
#[derive(Default)]
struct Workers {
    tasks: JoinSet<()>,
    running: HashMap<SubscriptionId, Worker>,
}

struct Worker {
    task: Id,
    stop: CancellationToken,
    /// Rewinds of the subscription before it began.
    rewinds: u64,
}

impl Subscriptions {
    /// Delivers events until it is told to stop.
    ///
    /// # Errors
    /// Faults of the catalog.
    pub async fn run(&self, shutdown: CancellationToken) -> Result<(), ServiceError> {
        let mut workers = Workers::default();
        let ended = shutdown.run_until_cancelled(self.run_workers(&mut workers)).await;
        workers.stop_all().await;
        ended.unwrap_or(Ok(()))
    }

    async fn run_workers(&self, workers: &mut Workers) -> Result<(), ServiceError> {
        loop {
            self.start_and_stop(workers).await?;
            tokio::select! {
                () = self.changed.notified() => {}
                // Another instance may have changed them.
                () = tokio::time::sleep(LOOK_AGAIN_AFTER) => {}
                Some(ended) = workers.tasks.join_next_with_id() => workers.forget(ended).await,
            }
        }
    }

    /// Lets a task run for each subscription that is active, and for no other. Those that
    /// nobody has changed go on.
    async fn start_and_stop(&self, workers: &mut Workers) -> Result<(), ServiceError> {
        let mut active = HashMap::new();
        for subscription in self.ports.catalog.subscriptions().await? {
            if subscription.state == SubscriptionState::Active {
                active.insert(subscription.id, self.rewinds.of(subscription.id).await);
            }
        }
        for (id, worker) in &workers.running {
            if active.get(id) != Some(&worker.rewinds) {
                worker.stop.cancel();
            }
        }
        for (id, rewinds) in active {
            // One that stops is begun again when it has ended.
            if workers.running.contains_key(&id) {
                continue;
            }
            let stop = CancellationToken::new();
            let delivering = self.clone().deliver_all(id, rewinds, stop.clone());
            let task = workers.tasks.spawn(in_same_epoch(delivering)).id();
            let worker = Worker { task, stop, rewinds };
            workers.running.insert(id, worker);
        }
        Ok(())
    }
}

impl Workers {
    async fn forget(&mut self, ended: Result<(Id, ()), JoinError>) {
        let task = match ended {
            Ok((task, ())) => task,
            Err(error) => {
                tracing::error!(%error, "a task that delivers events failed");
                tokio::time::sleep(AFTER_FAULT).await;
                error.id()
            }
        };
        self.running.retain(|_, worker| worker.task != task);
    }

    async fn stop_all(&mut self) {
        for worker in self.running.values() {
            worker.stop.cancel();
        }
        while self.tasks.join_next().await.is_some() {}
    }
}
