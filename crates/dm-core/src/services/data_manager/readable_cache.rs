//! Keeps the wrapped content keys of what is read often in memory.

use std::sync::Arc;

use quick_cache::sync::Cache;

use crate::{
    hash::DataHash,
    ports::{CatalogError, ReadableObjects},
    share::ReadableObject,
};

/// Entries of some 300 bytes each.
const CAPACITY: usize = 16 * 1024;

/// [`ReadableObjects`] with a cache in front; the keys in it stay wrapped.
pub(super) struct ReadableCache {
    catalog: Arc<dyn ReadableObjects>,
    entries: Cache<DataHash, Arc<ReadableObject>>,
}

impl ReadableCache {
    pub(super) fn new(catalog: Arc<dyn ReadableObjects>) -> Self {
        Self {
            catalog,
            entries: Cache::new(CAPACITY),
        }
    }

    pub(super) async fn get(
        &self,
        data_hash: &DataHash,
    ) -> Result<Option<Arc<ReadableObject>>, CatalogError> {
        if let Some(entry) = self.entries.get(data_hash) {
            return Ok(Some(entry));
        }
        let Some(entry) = self.catalog.readable(data_hash).await?.map(Arc::new) else {
            return Ok(None);
        };
        self.entries.insert(*data_hash, entry.clone());
        Ok(Some(entry))
    }

    pub(super) async fn put(&self, object: ReadableObject) -> Result<(), CatalogError> {
        self.catalog.put_readable(&object).await?;
        self.entries.insert(object.data_hash, Arc::new(object));
        Ok(())
    }
}
