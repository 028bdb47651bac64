//! Keeps the index of what is stored up with the store.

use std::time::Duration;

use dm_core::{
    clock::now_ms,
    envelope::{ObjectId, SignedEnvelope},
    ports::{CatalogError, ObjectChange, StoreError},
};

use super::{EarlierHolders, Repairer};
use crate::{inbox::Stored, object_queue::DueObject};

/// Changes that are taken at once, in one commit.
const CHANGES: usize = 512;
/// Objects that are listed at once.
const PAGE: usize = 256;
/// Between two looks at whether the index has to be made anew.
const STOCK_INTERVAL: Duration = Duration::from_secs(60 * 60);

impl Repairer {
    /// Takes note of every object that is stored or removed. Each change is
    /// settled once it is in the index, and told again if the process ends before.
    pub(super) async fn follow_changes(&self) -> Result<(), StoreError> {
        let feed = &self.inner.ports.changes;
        let mut settled = None;
        loop {
            let changes = feed.unsettled(settled, CHANGES).await?;
            let Some(last) = changes.last() else {
                feed.wait().await;
                continue;
            };
            let mut told = Told::default();
            for ObjectChange { object, .. } in &changes {
                if let Some(envelope) = self.keep_readable(object).await? {
                    self.note_readers(&envelope, &mut told);
                }
            }
            self.plan().await?.flush().await?;
            self.tell_readers(told).await?;
            feed.settle(&changes).await?;
            settled = Some(last.position);
            self.inner.bell.notify_one();
        }
    }

    /// Notes whether the inbox is to be told of a changed object, or other readers of it.
    fn note_readers(&self, envelope: &SignedEnvelope, told: &mut Told) {
        told.stored.add(envelope, self.inner.own);
        let notices = &self.inner.ports.replica_notices;
        told.held
            .extend(notices.iter().filter_map(|notices| notices.due_of(envelope)));
    }

    /// Tells the inbox of changed objects that are for this node, or were, and other readers of
    /// theirs where the owners do not.
    async fn tell_readers(&self, told: Told) -> Result<(), StoreError> {
        if let Some(arrivals) = &self.inner.ports.arrivals {
            arrivals.are_stored(told.stored).await.map_err(unavailable)?;
        }
        match &self.inner.ports.replica_notices {
            Some(notices) => notices.take(told.held).await,
            None => Ok(()),
        }
    }

    /// Takes everything into the index that was stored before the store told
    /// its changes: once, and again where an entry of the index was damaged.
    pub(super) async fn take_stock(&self) -> Result<(), StoreError> {
        loop {
            if !self.plan().await?.is_complete() {
                self.walk().await?;
                self.plan().await?.set_complete().await?;
                self.inner.bell.notify_one();
            }
            tokio::time::sleep(STOCK_INTERVAL).await;
        }
    }

    async fn walk(&self) -> Result<(), StoreError> {
        let earlier = EarlierHolders(self.inner.ports.earlier_holders.clone());
        let mut after = None;
        loop {
            let page = self.inner.ports.objects.list(after.as_ref(), PAGE).await?;
            let Some(last) = page.last().copied() else {
                return Ok(());
            };
            for id in &page {
                if self.keep_readable(id).await?.is_some() {
                    let holders = earlier.of(id).await?;
                    self.plan().await?.restore(id, holders, now_ms()).await?;
                }
            }
            after = Some(last);
        }
    }

    /// As [`Self::keep`], but passes over an object that cannot be read: the store
    /// has noted that it is damaged, and it costs no other object its copies.
    pub(super) async fn keep_readable(&self, id: &ObjectId) -> Result<Option<SignedEnvelope>, StoreError> {
        match self.keep(id).await {
            Err(StoreError::Corrupt(reason)) => {
                tracing::warn!(locator = %id.locator, reason, "a damaged object is passed over");
                Ok(None)
            }
            other => other,
        }
    }

    /// Takes an object into the index as it is stored now, or out of it; its envelope, if
    /// it is stored.
    pub(super) async fn keep(&self, id: &ObjectId) -> Result<Option<SignedEnvelope>, StoreError> {
        let envelope = self.inner.ports.objects.envelope(id).await?;
        let mut plan = self.plan().await?;
        match &envelope {
            Some(envelope) => {
                let own = id.owner == self.inner.own;
                let end = self.end_of(envelope);
                plan.keep(id, own, envelope.sealed_size(), end, now_ms()).await?;
            }
            None => plan.drop_object(id).await?,
        }
        Ok(envelope)
    }

    /// When an object is let go: one of another owner when its time is over, which
    /// for this node's own is the business of who shares them; what is left of an
    /// erased one when every copy of it should have met the erasure.
    pub(super) fn end_of(&self, envelope: &SignedEnvelope) -> Option<u64> {
        if envelope.is_tombstone() {
            let erased = envelope.created_at.min(now_ms());
            return Some(erased.saturating_add(self.inner.config.keep_tombstones));
        }
        envelope
            .expires_at
            .filter(|_| envelope.id.owner != self.inner.own)
    }
}

/// Whom some changes concern beside the index.
#[derive(Default)]
struct Told {
    /// What the inbox may have to be told of.
    stored: Stored,
    /// Objects whose readers are told where their owners do not.
    held: Vec<DueObject>,
}

/// The change is told again once the catalog works.
fn unavailable(error: CatalogError) -> StoreError {
    StoreError::Failed(Box::new(error))
}
