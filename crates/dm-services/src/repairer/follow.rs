//! Keeps the index of what is stored up with the store.

use std::time::Duration;

use dm_core::{
    clock::now_ms,
    envelope::ObjectId,
    ports::{ObjectChange, StoreError},
};

use super::{EarlierHolders, Repairer};

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
            for ObjectChange { object, .. } in &changes {
                self.keep_readable(object).await?;
            }
            self.plan().await?.flush().await?;
            feed.settle(&changes).await?;
            settled = Some(last.position);
            self.inner.bell.notify_one();
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
                if self.keep_readable(id).await? {
                    let holders = earlier.of(id).await?;
                    self.plan().await?.restore(id, holders, now_ms()).await?;
                }
            }
            after = Some(last);
        }
    }

    /// As [`Self::keep`], but passes over an object that cannot be read: the store
    /// has noted that it is damaged, and it costs no other object its copies.
    pub(super) async fn keep_readable(&self, id: &ObjectId) -> Result<bool, StoreError> {
        match self.keep(id).await {
            Err(StoreError::Corrupt(reason)) => {
                tracing::warn!(locator = %id.locator, reason, "a damaged object is passed over");
                Ok(false)
            }
            other => other,
        }
    }

    /// Takes an object into the index as it is stored now, or out of it; whether
    /// it is stored.
    pub(super) async fn keep(&self, id: &ObjectId) -> Result<bool, StoreError> {
        let envelope = self.inner.ports.objects.envelope(id).await?;
        let mut plan = self.plan().await?;
        match envelope {
            Some(envelope) => {
                let own = id.owner == self.inner.own;
                let (bytes, end) = (envelope.sealed_size(), envelope.expires_at);
                plan.keep(id, own, bytes, end, now_ms()).await?;
                Ok(true)
            }
            None => {
                plan.drop_object(id).await?;
                Ok(false)
            }
        }
    }
}
