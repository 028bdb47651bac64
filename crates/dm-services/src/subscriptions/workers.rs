//! One task for each subscription that is active.

use dm_core::subscription::SubscriptionState;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::Subscriptions;
use crate::ServiceError;

impl Subscriptions {
    /// Delivers events until it is told to stop.
    ///
    /// # Errors
    /// Faults of the catalog.
    pub async fn run(&self, shutdown: CancellationToken) -> Result<(), ServiceError> {
        while !shutdown.is_cancelled() {
            self.deliver_until_changed(&shutdown).await?;
        }
        Ok(())
    }

    /// Delivers until a subscription is made, changed, rewound or removed: then all tasks
    /// keep how far they are and begin anew, which happens rarely and costs little.
    async fn deliver_until_changed(&self, shutdown: &CancellationToken) -> Result<(), ServiceError> {
        let stop = shutdown.child_token();
        let mut workers = JoinSet::new();
        for subscription in self.ports.catalog.subscriptions().await? {
            if subscription.state == SubscriptionState::Active {
                workers.spawn(self.clone().deliver_all(subscription.id, stop.clone()));
            }
        }
        shutdown.run_until_cancelled(self.changed.notified()).await;
        stop.cancel();
        while workers.join_next().await.is_some() {}
        Ok(())
    }
}
