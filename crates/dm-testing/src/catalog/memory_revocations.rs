//! The revocations of a [`MemoryCatalog`] that are not finished.

use std::collections::BTreeSet;

use async_trait::async_trait;
use dm_core::{
    Address,
    hash::DataHash,
    news::News,
    ports::{CatalogError, Revocations},
    sent::SentState,
    share::ReadableObject,
};

use super::MemoryCatalog;

#[derive(Default)]
pub(super) struct MemoryRevocations {
    unfinished: BTreeSet<(DataHash, Address)>,
    pub(super) prepared: Vec<ReadableObject>,
}

impl MemoryRevocations {
    /// Forgets everything about this data.
    pub(super) fn forget(&mut self, data_hash: &DataHash) {
        self.unfinished.retain(|(of, _)| of != data_hash);
        self.take_prepared(data_hash);
    }

    fn take_prepared(&mut self, data_hash: &DataHash) -> Option<ReadableObject> {
        let place = self
            .prepared
            .iter()
            .position(|object| object.data_hash == *data_hash)?;
        Some(self.prepared.swap_remove(place))
    }
}

#[async_trait]
impl Revocations for MemoryCatalog {
    async fn begin_revocation(&self, data_hash: &DataHash, recipient: Address) -> Result<(), CatalogError> {
        self.write(|state| {
            state.end_sent(data_hash, Some(recipient), SentState::Revoked);
            state.forget_share(data_hash, recipient);
            if state.revocations.unfinished.insert((*data_hash, recipient)) {
                let data_hash = *data_hash;
                state.journal.append(&News::DataRevoked { data_hash, recipient });
            }
            Ok(())
        })
    }

    async fn unfinished_revocations(
        &self,
        after: Option<(DataHash, Address)>,
        limit: usize,
    ) -> Result<Vec<(DataHash, Address)>, CatalogError> {
        let state = self.read()?;
        let begun = state.revocations.unfinished.iter().copied();
        let rest = begun.filter(|begun| after.is_none_or(|after| *begun > after));
        Ok(rest.take(limit).collect())
    }

    async fn end_revocation(&self, data_hash: &DataHash, recipient: Address) -> Result<(), CatalogError> {
        self.write(|state| {
            state.revocations.unfinished.remove(&(*data_hash, recipient));
            Ok(())
        })
    }

    async fn prepare_key(&self, next: &ReadableObject) -> Result<(), CatalogError> {
        self.write(|state| {
            state.ensure_not_retired(next.key.version)?;
            state.revocations.take_prepared(&next.data_hash);
            state.revocations.prepared.push(next.clone());
            Ok(())
        })
    }

    async fn prepared_key(&self, data_hash: &DataHash) -> Result<Option<ReadableObject>, CatalogError> {
        let state = self.read()?;
        let mut prepared = state.revocations.prepared.iter();
        Ok(prepared.find(|object| object.data_hash == *data_hash).cloned())
    }

    async fn adopt_prepared_key(
        &self,
        data_hash: &DataHash,
        chunk_list: &[u8; 32],
    ) -> Result<bool, CatalogError> {
        self.write(|state| {
            let Some(next) = state.revocations.take_prepared(data_hash) else {
                return Ok(false);
            };
            let fits = next.chunk_list == *chunk_list;
            if fits {
                state.put_readable(&next);
            } else {
                state.revocations.prepared.push(next);
            }
            Ok(fits)
        })
    }
}
