use async_trait::async_trait;

use super::StoreError;
use crate::envelope::ObjectId;

/// Tells which stored objects have changed. Whoever keeps something about each
/// object follows this, and never has to look through the whole store.
///
/// A change is noted in the transaction that makes it. It stays until it is
/// settled, also across restarts. One follower settles changes.
#[async_trait]
pub trait ObjectChanges: Send + Sync {
    /// At most `limit` changes behind the position `after` that are not settled,
    /// in the order in which they were made.
    ///
    /// # Errors
    /// Faults of the store.
    async fn unsettled(&self, after: Option<u128>, limit: usize) -> Result<Vec<ObjectChange>, StoreError>;

    /// Settles changes of which the follower has taken note durably.
    ///
    /// # Errors
    /// Faults of the store.
    async fn settle(&self, changes: &[ObjectChange]) -> Result<(), StoreError>;

    /// Returns when an object has changed since the last return.
    async fn wait(&self);
}

/// What an object has become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ObjectChange {
    /// Its place in the order of all changes.
    pub position: u128,
    /// Which object.
    pub object: ObjectId,
    /// Sequence number of the stored envelope; `None` where the object was removed.
    pub sequence: Option<u64>,
}
