//! Which versions of the node's key a [`MemoryCatalog`] needs, and the changes of keys
//! that were begun.

use std::collections::BTreeMap;

use async_trait::async_trait;
use dm_core::{
    ports::{BegunKeyChange, CatalogError, KeyChanges, KeyUses, Retirement},
    upload::UploadStage,
};

use super::{MemoryCatalog, memory::State};

impl State {
    pub(super) fn ensure_not_retired(&self, version: u32) -> Result<(), CatalogError> {
        if self.retired.contains(&version) {
            return Err(CatalogError::Conflict("the key version is retired".to_owned()));
        }
        Ok(())
    }

    fn uses(&self) -> BTreeMap<u32, u64> {
        let mut uses = BTreeMap::new();
        for object in self.readables.iter().chain(&self.revocations.prepared) {
            *uses.entry(object.key.version).or_default() += 1;
        }
        for upload in self.uploads.values() {
            if let UploadStage::Open { key, .. } = &upload.stage {
                *uses.entry(key.version).or_default() += 1;
            }
        }
        uses
    }
}

#[async_trait]
impl KeyUses for MemoryCatalog {
    async fn uses(&self) -> Result<BTreeMap<u32, u64>, CatalogError> {
        Ok(self.read()?.uses())
    }

    async fn retire(&self, version: u32) -> Result<Retirement, CatalogError> {
        self.write(|state| {
            if let Some(count) = state.uses().get(&version) {
                return Ok(Retirement::Wraps(*count));
            }
            state.retired.insert(version);
            Ok(Retirement::Retired)
        })
    }
}

#[async_trait]
impl KeyChanges for MemoryCatalog {
    async fn begin_key_change(&self, begun: &BegunKeyChange) -> Result<(), CatalogError> {
        let changes = &mut self.state().key_changes;
        changes.retain(|change| change.id != begun.id);
        changes.push(begun.clone());
        Ok(())
    }

    async fn begun_key_changes(&self) -> Result<Vec<BegunKeyChange>, CatalogError> {
        let mut begun = self.state().key_changes.clone();
        begun.sort_by_key(|change| change.events);
        Ok(begun)
    }

    async fn end_key_change(&self, id: &[u8; 16]) -> Result<(), CatalogError> {
        self.state().key_changes.retain(|change| change.id != *id);
        Ok(())
    }
}
