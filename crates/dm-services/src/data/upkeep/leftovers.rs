//! Brings keys and objects of this node's own together. An object that the store has
//! lost is fetched back from peers with the key that the catalog has. What belongs to
//! no share is collected: objects without a key, and keys without an object. A share
//! that is interrupted before its commit leaves an object, which nobody sees; earlier
//! versions left either one.

use std::sync::Arc;

use async_trait::async_trait;
use dm_core::{
    envelope::{ObjectId, SignedEnvelope},
    hash::{DataHash, Locator},
    ports::{ObjectStore, ShareCatalog},
};

use super::{
    PAGE,
    due::{Due, DueWork, Work},
};
use crate::{
    ServiceError,
    data::{DataLocks, copies::Copies, erase::Eraser, objects::OwnObjects, read::Reader, recorder::Recorder},
};

/// Own objects that are not stored, though their keys are here.
pub(super) struct LostObjects {
    pub(super) objects: Arc<dyn ObjectStore>,
    pub(super) shares: Arc<dyn ShareCatalog>,
    pub(super) own: Arc<OwnObjects>,
    pub(super) eraser: Eraser,
    pub(super) reader: Reader,
    pub(super) locks: DataLocks,
}

#[async_trait]
impl DueWork for LostObjects {
    const KIND: Work = Work::FetchingBack;
    type Cursor = Locator;
    type Item = DataHash;

    async fn page(
        &self,
        after: Option<Self::Cursor>,
    ) -> Result<Vec<Due<Self::Cursor, Self::Item>>, ServiceError> {
        let shares = &self.shares;
        let page = shares.objects_of(self.own.address(), after, PAGE).await?;
        let due = page.into_iter().map(|object| Due {
            cursor: object.id.locator,
            since: None,
            item: object.data_hash,
        });
        Ok(due.collect())
    }

    async fn handle(&self, data_hash: Self::Item) -> Result<(), ServiceError> {
        let id = self.own.own_id(&data_hash);
        if self.objects.envelope(&id).await?.is_some() {
            return Ok(());
        }
        let lock = self.locks.lock(data_hash.locator()).await?;
        let stays = self.eraser.forget_lost_key(&data_hash).await?;
        drop(lock);
        if stays {
            self.reader.fetch_back(&data_hash).await?;
            tracing::info!(locator = %id.locator, "fetched an own object back that was not stored");
        }
        Ok(())
    }
}

/// Own objects of which nobody has the key.
pub(super) struct Orphans {
    pub(super) objects: Arc<dyn ObjectStore>,
    pub(super) shares: Arc<dyn ShareCatalog>,
    pub(super) own: Arc<OwnObjects>,
    pub(super) copies: Copies,
    pub(super) recorder: Arc<Recorder>,
    pub(super) locks: DataLocks,
}

#[async_trait]
impl DueWork for Orphans {
    const KIND: Work = Work::Collecting;
    type Cursor = ObjectId;
    type Item = ObjectId;

    async fn page(
        &self,
        after: Option<Self::Cursor>,
    ) -> Result<Vec<Due<Self::Cursor, Self::Item>>, ServiceError> {
        let page = self.objects.list(after.as_ref(), PAGE).await?;
        let due = page.into_iter().map(|id| Due {
            cursor: id,
            since: None,
            item: id,
        });
        Ok(due.collect())
    }

    async fn handle(&self, id: Self::Item) -> Result<(), ServiceError> {
        match id.owner == self.own.address() && self.orphan(&id).await?.is_some() {
            true => self.collect_object(&id).await,
            false => Ok(()),
        }
    }
}

impl Orphans {
    /// An own object of which nobody has the key.
    async fn orphan(&self, id: &ObjectId) -> Result<Option<SignedEnvelope>, ServiceError> {
        let Some(envelope) = self.objects.envelope(id).await? else {
            return Ok(None);
        };
        let is_known = envelope.is_tombstone() || self.shares.is_known(id, &envelope.chunk_list).await?;
        Ok((!is_known).then_some(envelope))
    }

    /// Puts a tombstone in the place of an object without a key, so that copies of it
    /// end, and what was erased before it stays erased.
    async fn collect_object(&self, id: &ObjectId) -> Result<(), ServiceError> {
        let _lock = self.locks.lock(id.locator).await?;
        let Some(envelope) = self.orphan(id).await? else {
            return Ok(());
        };
        if !self.recorder.has_gone_on_since(&envelope).await? {
            return Ok(());
        }
        self.own.bury(&envelope).await?;
        self.copies.tell_later(id);
        tracing::info!(locator = %id.locator, "collected an object that belongs to no share");
        Ok(())
    }
}
