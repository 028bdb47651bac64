//! Collects what belongs to no share: objects of this node's own without a key, and
//! keys without their object. A share that is interrupted before its commit leaves an
//! object, which nobody sees; earlier versions left either one.

use std::time::Duration;

use async_trait::async_trait;
use dm_core::{
    envelope::{ObjectId, SignedEnvelope},
    event::EventKind,
    hash::{DataHash, Locator},
    ports::EventFilter,
};

use super::{
    PAGE,
    due::{Due, DueWork, Work},
};
use crate::{DataManager, ServiceError};

/// Between two walks through everything.
const WALK_INTERVAL: Duration = Duration::from_secs(60 * 60);

/// Keys of own objects that are not stored.
struct LostKeys;

#[async_trait]
impl DueWork for LostKeys {
    const KIND: Work = Work::ForgettingKeys;
    type Cursor = Locator;
    type Item = DataHash;

    async fn page(
        data: &DataManager,
        after: Option<Self::Cursor>,
    ) -> Result<Vec<Due<Self::Cursor, Self::Item>>, ServiceError> {
        let shares = &data.inner.ports.shares;
        let page = shares.objects_of(data.address(), after, PAGE).await?;
        let due = page.into_iter().map(|object| Due {
            cursor: object.id.locator,
            since: None,
            item: object.data_hash,
        });
        Ok(due.collect())
    }

    async fn handle(data: &DataManager, data_hash: Self::Item) -> Result<(), ServiceError> {
        let id = data.own_id(&data_hash);
        if data.inner.ports.objects.envelope(&id).await?.is_some() {
            return Ok(());
        }
        let _turn = data.turn(&data_hash).await;
        data.forget_lost_key(&data_hash).await
    }
}

/// Own objects of which nobody has the key.
struct Orphans;

#[async_trait]
impl DueWork for Orphans {
    const KIND: Work = Work::Collecting;
    type Cursor = ObjectId;
    type Item = ObjectId;

    async fn page(
        data: &DataManager,
        after: Option<Self::Cursor>,
    ) -> Result<Vec<Due<Self::Cursor, Self::Item>>, ServiceError> {
        let page = data.inner.ports.objects.list(after.as_ref(), PAGE).await?;
        let due = page.into_iter().map(|id| Due {
            cursor: id,
            since: None,
            item: id,
        });
        Ok(due.collect())
    }

    async fn handle(data: &DataManager, id: Self::Item) -> Result<(), ServiceError> {
        match id.owner == data.address() && data.orphan(&id).await?.is_some() {
            true => data.collect_object(&id).await,
            false => Ok(()),
        }
    }
}

impl DataManager {
    /// Walks through everything at the start, and at intervals.
    pub(super) async fn collect_now_and_then(&self) -> Result<(), ServiceError> {
        loop {
            self.collect_leftovers().await;
            tokio::time::sleep(WALK_INTERVAL).await;
        }
    }

    /// One walk through the keys and the objects.
    pub(super) async fn collect_leftovers(&self) {
        self.each_due::<LostKeys>().await;
        self.each_due::<Orphans>().await;
    }

    /// Forgets the key of an own object that is not stored and that was shared with
    /// nobody. What was shared can be fetched back from peers with it, also by its
    /// owner alone. The caller holds the turn of the data hash.
    pub(in crate::data_manager) async fn forget_lost_key(
        &self,
        data_hash: &DataHash,
    ) -> Result<(), ServiceError> {
        let (ports, id) = (&self.inner.ports, self.own_id(data_hash));
        let entry = ports.readable.readable(data_hash).await?;
        if entry.is_none_or(|entry| entry.id != id)
            || ports.objects.envelope(&id).await?.is_some()
            || ports.shares.is_shared(data_hash).await?
            || self.was_shared(data_hash).await?
        {
            return Ok(());
        }
        ports.erasures.schedule_erasure(data_hash, None).await?;
        ports.readable.remove_readable(data_hash).await?;
        tracing::info!(locator = %id.locator, "forgot the key of an object that is not stored");
        Ok(())
    }

    /// Whether the data was ever shared, and not erased since.
    async fn was_shared(&self, data_hash: &DataHash) -> Result<bool, ServiceError> {
        let kinds = [EventKind::DataShare, EventKind::Grant, EventKind::DataDelete];
        let filter = EventFilter {
            kinds: kinds.into(),
            data_hash: Some(*data_hash),
            recipient: None,
        };
        let newest = self.inner.ports.log.find(&filter).await?;
        Ok(newest.is_some_and(|newest| newest.event.event_type != EventKind::DataDelete))
    }

    /// An own object of which nobody has the key.
    async fn orphan(&self, id: &ObjectId) -> Result<Option<SignedEnvelope>, ServiceError> {
        let ports = &self.inner.ports;
        let Some(envelope) = ports.objects.envelope(id).await? else {
            return Ok(None);
        };
        let is_known = envelope.is_tombstone() || ports.shares.is_known(id, &envelope.chunk_list).await?;
        Ok((!is_known).then_some(envelope))
    }

    /// Puts a tombstone in the place of an object without a key, so that copies of it
    /// end, and what was erased before it stays erased.
    async fn collect_object(&self, id: &ObjectId) -> Result<(), ServiceError> {
        let _turn = self.inner.locks.lock(id.locator).await;
        let Some(envelope) = self.orphan(id).await? else {
            return Ok(());
        };
        if !self.has_gone_on_since(&envelope).await? {
            return Ok(());
        }
        self.bury(&envelope).await?;
        self.tell_later(id);
        tracing::info!(locator = %id.locator, "collected an object that belongs to no share");
        Ok(())
    }

    /// Whether this node's log has an event that is younger than the object. A catalog
    /// that was restored from a backup does not know what was shared after it, and a
    /// log that the chain contradicts takes no event: the recipients keep their
    /// copies, and the object stays out of sight.
    async fn has_gone_on_since(&self, envelope: &SignedEnvelope) -> Result<bool, ServiceError> {
        let log = &self.inner.ports.log;
        let anything = EventFilter {
            kinds: Default::default(),
            data_hash: None,
            recipient: None,
        };
        let newest = log.find(&anything).await?;
        let is_younger = newest.is_some_and(|newest| newest.event.timestamp > envelope.created_at);
        Ok(is_younger && log.fault().is_none())
    }
}
