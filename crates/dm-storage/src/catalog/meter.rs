//! What the catalog counts of its own work, for whoever shows it.

use dm_core::{
    meter::{CommitMeter, Counter},
    news::News,
};

/// What this process has committed to its catalog since the start. Nothing is read to count it:
/// a change that is made is news, and the news of each commit are counted.
#[derive(Debug, Default)]
pub struct CatalogMeter {
    /// Commits.
    pub commits: CommitMeter,
    /// Shares that came into being.
    pub shared: Counter,
    /// Shares that the chain came to hold.
    pub anchored: Counter,
    /// Acknowledgements, of this node and of its recipients.
    pub acknowledged: Counter,
    /// Recipients who lost their access.
    pub revoked: Counter,
    /// Data whose key was destroyed by an order.
    pub erased: Counter,
    /// Data whose key was destroyed because its time was over.
    pub expired: Counter,
    /// Data of others that the inbox listed, or that was read without it.
    pub received: Counter,
    /// Listed data that was read.
    pub fetched: Counter,
    /// Orders that were done.
    pub orders_completed: Counter,
    /// Orders that failed, each attempt for itself.
    pub orders_failed: Counter,
}

impl CatalogMeter {
    pub(super) fn note(&self, news: &News) {
        let counter = match news {
            News::DataShared { .. } => &self.shared,
            News::ShareAnchored { .. } => &self.anchored,
            News::DataAcknowledged { .. } => &self.acknowledged,
            News::DataRevoked { .. } => &self.revoked,
            News::DataErased { .. } => &self.erased,
            News::DataExpired { .. } => &self.expired,
            News::DataReceived { .. } => &self.received,
            News::DataFetched { .. } => &self.fetched,
            News::TokenTransferCompleted(_) => &self.orders_completed,
            News::TokenTransferFailed(_) => &self.orders_failed,
            _ => return,
        };
        counter.increment();
    }
}
