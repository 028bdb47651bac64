use std::{fmt, sync::Arc};

use async_trait::async_trait;
use dm_core::{
    envelope::ObjectId,
    hash::Locator,
    ports::{HolderIndex, KeyValueStore, StoreError},
};

use super::plan::{self, Peer};

/// Who holds which object, as the repairer has written it down.
#[derive(Clone)]
pub struct StoredHolderIndex {
    store: Arc<dyn KeyValueStore>,
}

impl fmt::Debug for StoredHolderIndex {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("StoredHolderIndex")
            .finish_non_exhaustive()
    }
}

impl StoredHolderIndex {
    /// The index in the store that the repairer has as [`RepairPorts::index`](super::RepairPorts::index).
    pub fn new(store: Arc<dyn KeyValueStore>) -> Self {
        Self { store }
    }
}

#[async_trait]
impl HolderIndex for StoredHolderIndex {
    async fn holders(&self, locator: &Locator) -> Result<Vec<String>, StoreError> {
        plan::stored_holders(&*self.store, locator).await
    }
}

/// The holders of each object as versions before 0.2 wrote them down. Key:
/// locator and owner; value: a list of peer id in text form, since when the
/// peer holds it, and when it last proved it, as postcard.
#[derive(Clone)]
pub(super) struct EarlierHolders(pub(super) Arc<dyn KeyValueStore>);

impl EarlierHolders {
    /// The holders of an object. What cannot be read is none: they will be found again.
    pub(super) async fn of(&self, id: &ObjectId) -> Result<Vec<(Peer, u64, Option<u64>)>, StoreError> {
        let key = [id.locator.as_bytes().as_slice(), id.owner.as_slice()].concat();
        let lines = self.0.get(&key).await?;
        let lines =
            lines.and_then(|lines| postcard::from_bytes::<Vec<(String, u64, Option<u64>)>>(&lines).ok());
        let holders = lines.unwrap_or_default().into_iter();
        Ok(holders
            .map(|(peer, since, proved)| (Peer::named(&peer), since, proved))
            .collect())
    }
}
