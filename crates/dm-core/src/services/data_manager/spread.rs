//! Completes in the background what shares have left open: events of shares
//! that were interrupted, grants for recipients that were unknown, receipts that
//! are to travel with their objects, missing copies, payments that are to be
//! given back; erasures and revocations that were interrupted; the end of data whose
//! time is over; and this node's own address record.

use std::time::Duration;

use tokio::sync::{Notify, broadcast::error::RecvError};
use tokio_util::sync::CancellationToken;

use super::DataManager;
use crate::{bus::Topic, event::EventKind, services::ServiceError, share::ShareRecord};

mod copies;
mod grants;

/// Entries that are taken from the catalog at a time.
const PAGE: usize = 100;
/// Shares that can be interrupted at once: far more than are accepted at once.
const MAX_INTERRUPTED: usize = 100_000;

impl DataManager {
    /// Runs until `shutdown`; an error ends it, and whoever supervises it
    /// starts it again. What fails for one share does not stop the others.
    ///
    /// # Errors
    /// Faults of the catalog.
    pub async fn run_spreading(&self, shutdown: CancellationToken) -> Result<(), ServiceError> {
        // Boxed: the tasks together are a large future.
        let spreading = Box::pin(async {
            tokio::try_join!(
                self.record_interrupted_shares(),
                self.complete_grants(),
                self.spread_receipts(),
                self.replicate(),
                self.refund_overdue_payments(),
                self.finish_erasures(),
                self.erase_expired(),
                self.finish_revocations(),
                self.keep_record_current(),
            )?;
            Ok(())
        });
        shutdown.run_until_cancelled(spreading).await.unwrap_or(Ok(()))
    }

    /// Logs shares that were stored and not logged: the node was stopped in
    /// between, or the log was overloaded.
    async fn record_interrupted_shares(&self) -> Result<(), ServiceError> {
        loop {
            for share in self.inner.ports.shares.unrecorded_shares(MAX_INTERRUPTED).await? {
                let done = self.record_interrupted_share(&share).await;
                note_failure("an interrupted share was not recorded", &share, done);
            }
            tokio::time::sleep(self.inner.settings.retry_interval).await;
        }
    }

    async fn record_interrupted_share(&self, share: &ShareRecord) -> Result<(), ServiceError> {
        let _turn = self.inner.turns.take(share.data_hash).await;
        let Some(object) = self.own_object(&share.data_hash).await? else {
            // The data itself was not stored any more; the client was told nothing.
            return Ok(());
        };
        if self.was_revoked(share).await? {
            return Ok(());
        }
        if !self.has_grant(&object.id, share.recipient).await? {
            self.owe_grant(&share.data_hash, share.recipient).await?;
        }
        if self
            .share_event(&share.data_hash, share.recipient)
            .await?
            .is_none()
        {
            let (kind, mandate) = (EventKind::DataShare, share.event_mandate());
            self.record_share(kind, share.data_hash, share.recipient, mandate)
                .await?;
        }
        Ok(())
    }

    /// Whether a share that was listed before its turn came has been taken back since.
    async fn was_revoked(&self, share: &ShareRecord) -> Result<bool, ServiceError> {
        let shares = &self.inner.ports.shares;
        Ok(shares.share(&share.data_hash, share.recipient).await?.is_none())
    }

    /// Puts receipts into the envelopes of their objects.
    async fn spread_receipts(&self) -> Result<(), ServiceError> {
        loop {
            let anchored = self.inner.ports.log.anchored_size().await?;
            let shares = self.inner.ports.shares.receipts_to_spread(anchored, PAGE).await?;
            let mut failed = shares.is_empty();
            for share in &shares {
                let done = self.spread_receipt(share).await;
                failed |= done.is_err();
                note_failure("a receipt was not added to its object", share, done);
            }
            if failed {
                self.pause_or(&self.inner.owed.receipts).await;
            }
        }
    }

    async fn spread_receipt(&self, share: &ShareRecord) -> Result<(), ServiceError> {
        let _turn = self.inner.turns.take(share.data_hash).await;
        let ports = &self.inner.ports;
        let id = self.own_id(&share.data_hash);
        if let Some(recorded) = self.share_event(&share.data_hash, share.recipient).await?
            && let Some(receipt) = ports.log.receipt(recorded.index).await?
            && let Some(sealed) = self.seal_receipt(&share.data_hash, &receipt)
        {
            self.add_receipt(&id, sealed).await?;
            self.distribute(&id).await?;
        }
        Ok(ports
            .shares
            .set_receipt_spread(&share.data_hash, share.recipient)
            .await?)
    }

    /// Waits for the interval to pass, or for the bell.
    pub(super) async fn pause_or(&self, bell: &Notify) {
        let interval = self.inner.settings.retry_interval;
        // That nobody rang is no failure.
        let _ = tokio::time::timeout(interval, bell.notified()).await;
    }

    /// Waits for the next connection to a peer, no longer than `patience`.
    async fn peer_connects(&self, patience: Duration) {
        let mut events = self.inner.ports.bus.subscribe();
        let connected = async {
            loop {
                match events.recv().await {
                    Ok(event) if event.topic == Topic::PeerConnected => return,
                    Ok(_) => {}
                    // Something was missed, perhaps this.
                    Err(RecvError::Lagged(_)) => return,
                    Err(RecvError::Closed) => std::future::pending().await,
                }
            }
        };
        // That nobody connects is no failure.
        let _ = tokio::time::timeout(patience, connected).await;
    }
}

/// What fails for one share is tried again later, and must not stop the others.
fn note_failure(what: &'static str, share: &ShareRecord, done: Result<(), ServiceError>) {
    if let Err(error) = done {
        tracing::warn!(locator = %share.data_hash.locator(), recipient = %share.recipient, %error, "{what}");
    }
}
