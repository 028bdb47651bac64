//! How often subscriptions were set back, so that deliveries that have begun before do not
//! write down a place that they have come to since.

use std::{collections::HashMap, sync::Arc};

use dm_core::{ports::CatalogError, subscription::SubscriptionId};
use tokio::sync::RwLock;

/// Counts rewinds since the start of the process; cheap to clone.
#[derive(Clone, Default)]
pub(super) struct Rewinds(Arc<RwLock<HashMap<SubscriptionId, u64>>>);

impl Rewinds {
    /// Rewinds of this subscription so far.
    pub(super) async fn of(&self, id: SubscriptionId) -> u64 {
        self.0.read().await.get(&id).copied().unwrap_or_default()
    }

    /// Writes a place down, unless the subscription was set back after so many rewinds;
    /// `None` where it was. Others may write meanwhile, and nobody is set back.
    pub(super) async fn unless_rewound<T>(
        &self,
        id: SubscriptionId,
        rewinds: u64,
        write: impl Future<Output = Result<T, CatalogError>>,
    ) -> Result<Option<T>, CatalogError> {
        let counts = self.0.read().await;
        if counts.get(&id).copied().unwrap_or_default() != rewinds {
            return Ok(None);
        }
        write.await.map(Some)
    }

    /// Sets a subscription back, while nobody writes.
    pub(super) async fn rewind<T>(
        &self,
        id: SubscriptionId,
        rewind: impl Future<Output = Result<T, CatalogError>>,
    ) -> Result<T, CatalogError> {
        let mut counts = self.0.write().await;
        let done = rewind.await?;
        *counts.entry(id).or_default() += 1;
        Ok(done)
    }
}
