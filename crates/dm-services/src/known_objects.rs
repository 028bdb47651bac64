//! The object store as everybody but the share that is being made may see it.

use std::{collections::HashMap, sync::Arc};

use alloy_primitives::Address;
use async_trait::async_trait;
use dm_core::{
    envelope::{Chunk, ObjectId, SignedEnvelope},
    hash::{ChunkName, Locator},
    ports::{ObjectStore, ObjectStoreLayer, ShareCatalog, StoreError},
};

/// An object store without those objects of this node that belong to no share: one
/// that is being made, or one that failed or was interrupted. They are neither listed
/// nor found, so that nobody reads, announces, copies or proves them. Tombstones and
/// the objects of others are there in any case. So is a chunk by itself, which tells nobody
/// anything: its key is in the envelope, and so is its name.
#[derive(Clone)]
pub struct KnownObjects {
    objects: Arc<dyn ObjectStore>,
    shares: Arc<dyn ShareCatalog>,
    own: Address,
}

impl KnownObjects {
    /// What of `objects` the catalog knows, for the node with the account `own`.
    pub fn new(objects: Arc<dyn ObjectStore>, shares: Arc<dyn ShareCatalog>, own: Address) -> Self {
        Self { objects, shares, own }
    }

    async fn is_known(&self, envelope: &SignedEnvelope) -> Result<bool, StoreError> {
        if envelope.id.owner != self.own || envelope.is_tombstone() {
            return Ok(true);
        }
        let known = self.shares.is_known(&envelope.id, &envelope.chunk_list).await;
        // What the catalog cannot say, the store cannot.
        known.map_err(|error| StoreError::Failed(Box::new(error)))
    }

    async fn is_listed(&self, id: &ObjectId) -> Result<bool, StoreError> {
        Ok(id.owner != self.own || ObjectStoreLayer::envelope(self, id).await?.is_some())
    }

    /// Removes from a page behind `after` what is not known. The catalog is asked once for
    /// all of it, and only about what it does not name then once more.
    async fn retain_known(
        &self,
        after: Option<ObjectId>,
        page: Vec<ObjectId>,
    ) -> Result<Vec<ObjectId>, StoreError> {
        let own = page.iter().filter(|id| id.owner == self.own).count();
        if own == 0 {
            return Ok(page);
        }
        let after = after.map(|after| after.locator);
        let named = self.shares.objects_of(self.own, after, own).await;
        let named = named.map_err(|error| StoreError::Failed(Box::new(error)))?;
        let chunk_lists: HashMap<ObjectId, [u8; 32]> = named
            .into_iter()
            .map(|object| (object.id, object.chunk_list))
            .collect();
        let mut known = Vec::with_capacity(page.len());
        for id in page {
            let is_known = match chunk_lists.get(&id) {
                None => self.is_listed(&id).await?,
                Some(chunk_list) => match self.objects.envelope(&id).await? {
                    Some(envelope) if envelope.chunk_list == *chunk_list => true,
                    Some(envelope) => self.is_known(&envelope).await?,
                    None => false,
                },
            };
            if is_known {
                known.push(id);
            }
        }
        Ok(known)
    }
}

#[async_trait]
impl ObjectStoreLayer for KnownObjects {
    fn inner(&self) -> &dyn ObjectStore {
        &*self.objects
    }

    async fn envelope(&self, id: &ObjectId) -> Result<Option<SignedEnvelope>, StoreError> {
        match self.objects.envelope(id).await? {
            Some(envelope) if self.is_known(&envelope).await? => Ok(Some(envelope)),
            _ => Ok(None),
        }
    }

    async fn envelopes(&self, locator: &Locator) -> Result<Vec<SignedEnvelope>, StoreError> {
        let mut envelopes = self.objects.envelopes(locator).await?;
        let own = envelopes
            .iter()
            .position(|envelope| envelope.id.owner == self.own);
        if let Some(place) = own
            && let Some(envelope) = envelopes.get(place)
            && !self.is_known(envelope).await?
        {
            envelopes.remove(place);
        }
        Ok(envelopes)
    }

    async fn chunk_names(
        &self,
        id: &ObjectId,
        first: u64,
        count: usize,
    ) -> Result<Vec<ChunkName>, StoreError> {
        if !self.is_listed(id).await? {
            return Err(StoreError::Missing);
        }
        self.objects.chunk_names(id, first, count).await
    }

    async fn chunks(&self, id: &ObjectId, first: u64, count: u64) -> Result<Vec<Chunk>, StoreError> {
        self.objects.chunks(id, first, count).await
    }

    /// A page is shorter than `limit` only at the end.
    async fn list(&self, after: Option<&ObjectId>, limit: usize) -> Result<Vec<ObjectId>, StoreError> {
        let mut listed = Vec::new();
        let mut after = after.copied();
        loop {
            let wanted = limit - listed.len();
            let page = self.objects.list(after.as_ref(), wanted).await?;
            let is_last = page.len() < wanted;
            let behind = std::mem::replace(&mut after, page.last().copied());
            listed.extend(self.retain_known(behind, page).await?);
            if is_last || listed.len() == limit {
                return Ok(listed);
            }
        }
    }
}
