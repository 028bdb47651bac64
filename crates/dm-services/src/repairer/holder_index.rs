use std::{fmt, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use dm_core::{
    envelope::ObjectId,
    hash::Locator,
    ports::{HolderIndex, KeyValueStore, MAX_OWNERS_LISTED, StoreError, WriteBatch},
};

/// A peer id in text form, since when it holds the object, and when it last
/// proved it, in milliseconds since the Unix epoch.
pub(super) type Line = (String, u64, Option<u64>);

/// Keeps the holders of each object across restarts. Key: locator and owner;
/// value: the lines as postcard.
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
    /// The index that is kept in this store.
    pub fn new(store: Arc<dyn KeyValueStore>) -> Self {
        Self { store }
    }

    /// The holders of an object. Lines that cannot be read are none: the
    /// holders will be found again.
    pub(super) async fn read(&self, id: &ObjectId) -> Result<Vec<Line>, StoreError> {
        let value = self.store.get(&key(id)).await?;
        Ok(value
            .and_then(|value| postcard::from_bytes(&value).ok())
            .unwrap_or_default())
    }

    /// Writes these holders down; `None` strikes the object out.
    pub(super) async fn write(&self, pages: Vec<(ObjectId, Option<Vec<Line>>)>) -> Result<(), StoreError> {
        if pages.is_empty() {
            return Ok(());
        }
        let mut batch = WriteBatch::new();
        for (id, lines) in pages {
            match lines.map(|lines| postcard::to_stdvec(&lines)) {
                Some(Ok(value)) => batch.put(key(&id), value),
                // Vectors, texts and numbers can always be encoded.
                Some(Err(_)) | None => batch.delete(key(&id)),
            };
        }
        self.store.commit(batch).await
    }
}

#[async_trait]
impl HolderIndex for StoredHolderIndex {
    async fn holders(&self, locator: &Locator) -> Result<Vec<String>, StoreError> {
        let pages = self
            .store
            .scan(locator.as_bytes(), None, MAX_OWNERS_LISTED)
            .await?;
        let lines = pages
            .iter()
            .filter_map(|(_, value)| postcard::from_bytes::<Vec<Line>>(value).ok())
            .flatten();
        Ok(lines.map(|(peer, _, _)| peer).collect())
    }
}

fn key(id: &ObjectId) -> Bytes {
    [id.locator.as_bytes().as_slice(), id.owner.as_slice()]
        .concat()
        .into()
}
