//! Shares whose event or whose receipt is still to come.

use async_trait::async_trait;
use dm_core::{clock::now_ms, share::ShareRecord};

use super::{
    PAGE,
    due::{Due, DueWork, Work},
};
use crate::{DataManager, ServiceError};

/// Shares that exist and that no event speaks of: the node was stopped in between, or
/// the log took no event. Those whose object is not there are taken back.
pub(super) struct Recording;

#[async_trait]
impl DueWork for Recording {
    const KIND: Work = Work::Recording;
    type Cursor = u64;
    type Item = ShareRecord;

    async fn page(
        data: &DataManager,
        after: Option<Self::Cursor>,
    ) -> Result<Vec<Due<Self::Cursor, Self::Item>>, ServiceError> {
        let shares = &data.inner.ports.shares;
        let page = shares.unrecorded_shares(after.unwrap_or(0), PAGE).await?;
        Ok(page.into_iter().map(numbered).collect())
    }

    async fn handle(data: &DataManager, share: Self::Item) -> Result<(), ServiceError> {
        data.record_interrupted_share(&share).await
    }
}

/// Receipts that are to follow their objects.
pub(super) struct Receipts;

#[async_trait]
impl DueWork for Receipts {
    const KIND: Work = Work::Receipts;
    type Cursor = u64;
    type Item = ShareRecord;

    async fn page(
        data: &DataManager,
        after: Option<Self::Cursor>,
    ) -> Result<Vec<Due<Self::Cursor, Self::Item>>, ServiceError> {
        let ports = &data.inner.ports;
        let first = after.map_or(0, |after| after + 1);
        let anchored = ports.log.anchored_size().await?;
        let page = ports.shares.receipts_to_spread(first..anchored, PAGE).await?;
        Ok(page.into_iter().map(numbered).collect())
    }

    async fn handle(data: &DataManager, share: Self::Item) -> Result<(), ServiceError> {
        data.spread_receipt(&share).await
    }
}

fn numbered((number, share): (u64, ShareRecord)) -> Due<u64, ShareRecord> {
    Due {
        cursor: number,
        since: Some(share.created_at),
        item: share,
    }
}

impl DataManager {
    async fn record_interrupted_share(&self, share: &ShareRecord) -> Result<(), ServiceError> {
        let _turn = self.turn(&share.data_hash).await;
        if self.was_taken_back(share).await? {
            return Ok(());
        }
        let Some(object) = self.own_object(&share.data_hash).await? else {
            return self.settle_without_object(share).await;
        };
        if !self.has_grant(&object.id, share.recipient).await? {
            self.owe_grant(&share.data_hash, share.recipient).await?;
        }
        self.put_into_envelope(&object.id, share, None).await?;
        let event = self.share_event(&share.data_hash, share.recipient).await?;
        if event.is_none() {
            self.record_share(share).await?;
        }
        Ok(())
    }

    /// Data that has ended is erased with its shares; without data there is no share.
    async fn settle_without_object(&self, share: &ShareRecord) -> Result<(), ServiceError> {
        let id = self.own_id(&share.data_hash);
        let envelope = self.inner.ports.objects.envelope(&id).await?;
        match envelope {
            Some(envelope) if envelope.is_expired(now_ms()) => Ok(()),
            // Peers have it: it can be fetched back.
            None if self.known_replicas(&id).await? > 0 => Ok(()),
            _ => {
                self.take_back_unrecorded(&share.data_hash).await?;
                self.forget_lost_key(&share.data_hash).await
            }
        }
    }

    /// Whether a share that was listed before its turn came has been taken back since.
    pub(super) async fn was_taken_back(&self, share: &ShareRecord) -> Result<bool, ServiceError> {
        let shares = &self.inner.ports.shares;
        Ok(shares.share(&share.data_hash, share.recipient).await?.is_none())
    }

    /// Puts the receipt of a share into the envelope of its object.
    async fn spread_receipt(&self, share: &ShareRecord) -> Result<(), ServiceError> {
        let _turn = self.turn(&share.data_hash).await;
        let ports = &self.inner.ports;
        let id = self.own_id(&share.data_hash);
        if let Some(recorded) = self.share_event(&share.data_hash, share.recipient).await?
            && let Some(receipt) = ports.log.receipt(recorded.index).await?
            && let Some(sealed) = self.seal_receipt(&share.data_hash, &receipt)
        {
            self.add_receipt(&id, sealed).await?;
            self.tell_later(&id);
        }
        Ok(ports
            .shares
            .set_receipt_spread(&share.data_hash, share.recipient)
            .await?)
    }
}
