//! Shares whose event or whose receipt is still to come.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use dm_core::{
    clock::now_ms,
    ports::{ComplianceLog, NumberedShare, ObjectStore, ShareCatalog},
    share::ShareRecord,
};

use super::{
    PAGE,
    due::{Due, DueWork, Work},
};
use crate::{
    LateNews, ServiceError,
    data::{
        DataLocks, copies::Copies, erase::Eraser, objects::OwnObjects, recorder::Recorder, seal::Sealing,
    },
};

/// A kind of work on shares, in the order of their numbers.
#[async_trait]
trait ShareWork: Sync {
    const KIND: Work;

    /// At most [`PAGE`] shares with numbers above `after`; fewer at the end.
    async fn due_shares(&self, after: Option<u64>) -> Result<Vec<NumberedShare>, ServiceError>;

    async fn complete(&self, share: &ShareRecord) -> Result<(), ServiceError>;
}

#[async_trait]
impl<Kind: ShareWork> DueWork for Kind {
    const KIND: Work = Kind::KIND;
    type Cursor = u64;
    type Item = ShareRecord;

    async fn page(&self, after: Option<u64>) -> Result<Vec<Due<u64, ShareRecord>>, ServiceError> {
        let page = self.due_shares(after).await?;
        let due = page.into_iter().map(|(number, share)| Due {
            cursor: number,
            since: Some(share.created_at),
            item: share,
        });
        Ok(due.collect())
    }

    async fn handle(&self, share: ShareRecord) -> Result<(), ServiceError> {
        self.complete(&share).await
    }
}

/// Shares that exist and that no event speaks of: the node was stopped in between, or
/// the log took no event. Those whose object is not there are taken back.
pub(super) struct Recording {
    pub(super) objects: Arc<dyn ObjectStore>,
    pub(super) shares: Arc<dyn ShareCatalog>,
    pub(super) own: Arc<OwnObjects>,
    pub(super) copies: Copies,
    pub(super) recorder: Arc<Recorder>,
    pub(super) eraser: Eraser,
    pub(super) locks: DataLocks,
}

#[async_trait]
impl ShareWork for Recording {
    const KIND: Work = Work::Recording;

    async fn due_shares(&self, after: Option<u64>) -> Result<Vec<NumberedShare>, ServiceError> {
        let shares = &self.shares;
        Ok(shares.unrecorded_shares(after.unwrap_or(0), PAGE).await?)
    }

    async fn complete(&self, share: &ShareRecord) -> Result<(), ServiceError> {
        self.record_interrupted_share(share).await
    }
}

/// Receipts that are to follow their objects.
pub(super) struct Receipts {
    pub(super) log: Arc<dyn ComplianceLog>,
    pub(super) shares: Arc<dyn ShareCatalog>,
    pub(super) own: Arc<OwnObjects>,
    pub(super) copies: Copies,
    pub(super) recorder: Arc<Recorder>,
    pub(super) sealing: Arc<Sealing>,
    pub(super) late_news: LateNews,
    pub(super) locks: DataLocks,
}

#[async_trait]
impl ShareWork for Receipts {
    const KIND: Work = Work::Receipts;

    async fn due_shares(&self, after: Option<u64>) -> Result<Vec<NumberedShare>, ServiceError> {
        let first = after.map_or(0, |after| after + 1);
        let anchored = self.log.anchored_size().await?;
        Ok(self.shares.receipts_to_spread(first..anchored, PAGE).await?)
    }

    async fn complete(&self, share: &ShareRecord) -> Result<(), ServiceError> {
        self.spread_receipt(share).await
    }
}

impl Recording {
    async fn record_interrupted_share(&self, share: &ShareRecord) -> Result<(), ServiceError> {
        let _lock = self.locks.lock(share.data_hash.locator()).await?;
        if was_taken_back(self.shares.as_ref(), share).await? {
            return Ok(());
        }
        let Some(object) = self.own.own_object(&share.data_hash).await? else {
            return self.settle_without_object(share).await;
        };
        if !self.own.has_grant(&object.id, share.recipient).await? {
            self.own.owe_grant(&share.data_hash, share.recipient).await?;
        }
        self.own.put_into_envelope(&object.id, share, None).await?;
        let event = self
            .recorder
            .share_event(&share.data_hash, share.recipient)
            .await?;
        if event.is_none() {
            self.recorder.record_share(share).await?;
        }
        Ok(())
    }

    /// Data that has ended is erased with its shares; without data there is no share.
    async fn settle_without_object(&self, share: &ShareRecord) -> Result<(), ServiceError> {
        let id = self.own.own_id(&share.data_hash);
        let envelope = self.objects.envelope(&id).await?;
        match envelope {
            Some(envelope) if envelope.is_expired(now_ms()) => Ok(()),
            // Peers have it: it can be fetched back.
            None if self.copies.known_replicas(&id).await? > 0 => Ok(()),
            _ => {
                self.eraser.take_back_unrecorded(&share.data_hash).await?;
                self.eraser.forget_lost_key(&share.data_hash).await.map(drop)
            }
        }
    }
}

impl Receipts {
    /// Puts the receipt of a share into the envelope of its object.
    async fn spread_receipt(&self, share: &ShareRecord) -> Result<(), ServiceError> {
        let _lock = self.locks.lock(share.data_hash.locator()).await?;
        let id = self.own.own_id(&share.data_hash);
        if let Some(recorded) = self
            .recorder
            .share_event(&share.data_hash, share.recipient)
            .await?
            && let Some(receipt) = self.log.receipt(recorded.index).await?
            && let Some(sealed) = self.sealing.seal_receipt(&share.data_hash, &receipt)
        {
            let is_receipt =
                |attachment: &Bytes| self.sealing.open_receipt(&share.data_hash, attachment).is_some();
            self.own.add_receipt(&id, sealed, is_receipt).await?;
            self.copies.tell_later(&id);
        }
        let recipient = share.recipient;
        self.shares
            .set_receipt_spread(&share.data_hash, recipient)
            .await?;
        if recipient != self.own.address() {
            self.late_news.receipt_is_in(recipient, id.locator);
        }
        Ok(())
    }
}

/// Whether a share that was listed before its data was locked has been taken back since.
pub(super) async fn was_taken_back(
    shares: &dyn ShareCatalog,
    share: &ShareRecord,
) -> Result<bool, ServiceError> {
    Ok(shares.share(&share.data_hash, share.recipient).await?.is_none())
}
