use async_trait::async_trait;

use super::CatalogError;
use crate::subscription::{DeadLetter, Progress, Subscription, SubscriptionId, SubscriptionState};

/// Keeps subscriptions and how far their deliveries are.
#[async_trait]
pub trait SubscriptionCatalog: Send + Sync {
    /// Keeps a new subscription; durable when it returns.
    ///
    /// # Errors
    /// [`CatalogError::Conflict`] where its id or its name is taken.
    async fn insert_subscription(&self, subscription: &Subscription) -> Result<(), CatalogError>;

    /// All subscriptions, oldest first.
    async fn subscriptions(&self) -> Result<Vec<Subscription>, CatalogError>;

    /// The subscription with this id.
    async fn subscription(&self, id: SubscriptionId) -> Result<Option<Subscription>, CatalogError>;

    /// Says whether events are delivered; whether there is such a subscription.
    async fn set_subscription_state(
        &self,
        id: SubscriptionId,
        state: SubscriptionState,
    ) -> Result<bool, CatalogError>;

    /// Keeps how far the deliveries are that began after `from`, and with it the event
    /// that was given up. `false`, and nothing changes, where there is no such
    /// subscription, or where it is at another place than `from`: it was rewound. Of
    /// dead letters the newest [`MAX_DEAD_LETTERS`] stay.
    async fn set_progress(
        &self,
        id: SubscriptionId,
        from: u64,
        progress: &Progress,
        given_up: Option<&DeadLetter>,
    ) -> Result<bool, CatalogError>;

    /// Lets deliveries begin anew after this position, without dead letters beyond it;
    /// whether there is such a subscription.
    async fn rewind(&self, id: SubscriptionId, read_to: u64) -> Result<bool, CatalogError>;

    /// Dead letters of a subscription, oldest first, after this position.
    async fn dead_letters(
        &self,
        id: SubscriptionId,
        after: u64,
        limit: usize,
    ) -> Result<Vec<DeadLetter>, CatalogError>;

    /// Forgets a subscription and its dead letters; whether there was one.
    async fn remove_subscription(&self, id: SubscriptionId) -> Result<bool, CatalogError>;
}

/// Dead letters that one subscription keeps.
pub const MAX_DEAD_LETTERS: u64 = 1000;
