//! The wrapped keys of a [`MemoryCatalog`].

use async_trait::async_trait;
use dm_core::{
    hash::{DataHash, Locator},
    news::News,
    ports::{CatalogError, ReadableObjects, Rewrapped},
    share::ReadableObject,
};

use super::MemoryCatalog;

#[async_trait]
impl ReadableObjects for MemoryCatalog {
    async fn put_readable(&self, object: &ReadableObject) -> Result<(), CatalogError> {
        self.write(|state| {
            state.ensure_not_retired(object.key.version)?;
            if state.put_readable(object) {
                let is_listed = state.inbox.is_listed(&object.id);
                state.journal.append(&News::of_readable(object, is_listed));
            }
            Ok(())
        })
    }

    async fn readable_at(&self, locator: &Locator) -> Result<Option<ReadableObject>, CatalogError> {
        let state = self.read()?;
        let mut entries = state.readables.iter();
        Ok(entries.find(|object| object.id.locator == *locator).cloned())
    }

    async fn readable(&self, data_hash: &DataHash) -> Result<Option<ReadableObject>, CatalogError> {
        let state = self.read()?;
        let mut entries = state.readables.iter();
        Ok(entries.find(|object| object.data_hash == *data_hash).cloned())
    }

    async fn wrapped_before(
        &self,
        version: u32,
        after: Option<DataHash>,
        limit: usize,
    ) -> Result<Vec<ReadableObject>, CatalogError> {
        let state = self.read()?;
        let outdated = state
            .readables_after(after)
            .filter(|object| object.key.version < version);
        Ok(outdated.take(limit).cloned().collect())
    }

    async fn rewrap(&self, keys: Vec<Rewrapped>) -> Result<(), CatalogError> {
        self.write(|state| {
            for key in &keys {
                state.ensure_not_retired(key.new.version)?;
            }
            for key in keys {
                let is_meant =
                    |object: &&mut ReadableObject| object.data_hash == key.data_hash && object.key == key.old;
                if let Some(object) = state.readables.iter_mut().find(is_meant) {
                    object.key = key.new;
                }
            }
            Ok(())
        })
    }

    async fn remove_readable(&self, data_hash: &DataHash) -> Result<bool, CatalogError> {
        self.write(|state| {
            let before = state.readables.len();
            state.readables.retain(|object| object.data_hash != *data_hash);
            Ok(state.readables.len() < before)
        })
    }
}
