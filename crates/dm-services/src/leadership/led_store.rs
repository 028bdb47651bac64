//! A key-value store that only the leader reads and changes.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use dm_core::{
    lease::in_epoch,
    ports::{KeyValueStore, StoreError, WriteBatch},
};

use super::Leadership;

/// See [`Leadership::guard`].
struct LedStore {
    store: Arc<dyn KeyValueStore>,
    leadership: Leadership,
}

impl Leadership {
    /// The same store, for something that is in memory as well and that the leader alone changes.
    /// It can be read only while this instance leads, and fails with [`StoreError::Unavailable`]
    /// else. A change is made [in the epoch](dm_core::lease::in_epoch) in which this instance leads,
    /// whoever asks for it. Where it does not, that is a [`StoreError::Conflict`]: another instance
    /// may have changed the store, and what is in memory counts for nothing.
    pub fn guard(&self, store: Arc<dyn KeyValueStore>) -> Arc<dyn KeyValueStore> {
        Arc::new(LedStore {
            store,
            leadership: self.clone(),
        })
    }
}

impl LedStore {
    fn check(&self) -> Result<(), StoreError> {
        match self.leadership.epoch() {
            Some(_) => Ok(()),
            None => Err(StoreError::Unavailable("this instance does not lead".to_owned())),
        }
    }
}

#[async_trait]
impl KeyValueStore for LedStore {
    async fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        self.check()?;
        self.store.get(key).await
    }

    async fn scan(
        &self,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<(Bytes, Bytes)>, StoreError> {
        self.check()?;
        self.store.scan(prefix, after, limit).await
    }

    async fn commit(&self, batch: WriteBatch) -> Result<(), StoreError> {
        match self.leadership.epoch() {
            Some(epoch) => in_epoch(epoch, self.store.commit(batch)).await,
            None => Err(StoreError::Conflict),
        }
    }
}
