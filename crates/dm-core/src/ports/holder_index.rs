use std::fmt;

use async_trait::async_trait;

use super::StoreError;
use crate::hash::Locator;

/// Knows which peers held an object when this node last heard of it, also before a
/// restart: they are asked before the DHT.
#[async_trait]
pub trait HolderIndex: fmt::Debug + Send + Sync {
    /// Peer ids of the known holders of every object under this locator.
    ///
    /// # Errors
    /// Faults of the store.
    async fn holders(&self, locator: &Locator) -> Result<Vec<String>, StoreError>;
}
