//! Which versions of the node's key a [`MemoryCatalog`] needs.

use std::collections::BTreeMap;

use async_trait::async_trait;

use super::{MemoryCatalog, memory::State};
use crate::ports::{CatalogError, KeyUses, Retirement};

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
