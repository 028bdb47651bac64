//! The object store as everybody but the share that is being made may see it.

use std::sync::Arc;

use alloy_primitives::Address;
use async_trait::async_trait;
use dm_core::{
    envelope::{Chunk, ObjectId, SignedEnvelope},
    hash::{ChunkName, Locator},
    ports::{ObjectStore, ObjectWriter, Resumed, ShareCatalog, StoreError, StoreUsage},
};

/// An object store without those objects of this node that belong to no share: one
/// that is being made, or one that failed or was interrupted. They are neither listed
/// nor found, so that nobody reads, announces, copies or proves them. Tombstones and
/// the objects of others are there in any case.
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
        Ok(id.owner != self.own || self.envelope(id).await?.is_some())
    }
}

#[async_trait]
impl ObjectStore for KnownObjects {
    async fn create(&self) -> Result<Box<dyn ObjectWriter>, StoreError> {
        self.objects.create().await
    }

    async fn resume(&self, envelope: &SignedEnvelope) -> Result<Resumed, StoreError> {
        self.objects.resume(envelope).await
    }

    async fn replace_envelope(&self, envelope: &SignedEnvelope) -> Result<bool, StoreError> {
        self.objects.replace_envelope(envelope).await
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

    /// A chunk by itself tells nobody anything: its key is in the envelope, and so is
    /// the name of what is to be asked for.
    async fn chunk(&self, id: &ObjectId, index: u64) -> Result<Chunk, StoreError> {
        self.objects.chunk(id, index).await
    }

    async fn chunk_from_medium(&self, id: &ObjectId, index: u64) -> Result<Chunk, StoreError> {
        self.objects.chunk_from_medium(id, index).await
    }

    fn is_damaged(&self, id: &ObjectId) -> bool {
        self.objects.is_damaged(id)
    }

    async fn remove(&self, id: &ObjectId) -> Result<bool, StoreError> {
        self.objects.remove(id).await
    }

    /// A page is shorter than `limit` only at the end.
    async fn list(&self, after: Option<&ObjectId>, limit: usize) -> Result<Vec<ObjectId>, StoreError> {
        let mut listed = Vec::new();
        let mut after = after.copied();
        loop {
            let wanted = limit - listed.len();
            let page = self.objects.list(after.as_ref(), wanted).await?;
            let is_last = page.len() < wanted;
            after = page.last().copied();
            for id in page {
                if self.is_listed(&id).await? {
                    listed.push(id);
                }
            }
            if is_last || listed.len() == limit {
                return Ok(listed);
            }
        }
    }

    async fn usage(&self) -> Result<StoreUsage, StoreError> {
        self.objects.usage().await
    }
}
