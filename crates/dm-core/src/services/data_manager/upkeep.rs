//! Completes in the background what shares have left open: events of shares that were
//! interrupted, grants for recipients that were unknown, receipts that are to travel
//! with their objects, missing copies, payments that are to be given back; erasures
//! and revocations that were interrupted; the end of data whose time is over; what
//! belongs to no share; and this node's own address record.
//!
//! Every kind of work goes through what is due page by page ([`due`]), some entries
//! at the same time, and begins again after a pause. Nobody in it waits for peers:
//! they are told by a task of their own ([`telling`]).

use std::time::Duration;

use tokio::sync::{Notify, broadcast::error::RecvError};
use tokio_util::sync::CancellationToken;

use super::DataManager;
use crate::{bus::Topic, services::ServiceError};

mod copies;
mod due;
mod ends;
mod grants;
mod health;
mod leftovers;
mod shares;
mod telling;

pub(super) use due::Upkeep;

/// Entries that are taken from the catalog at a time.
const PAGE: usize = 100;

impl DataManager {
    /// Runs until `shutdown`. What fails is tried again after a pause; how far the
    /// work is shows in the health of the part `upkeep`.
    ///
    /// # Errors
    /// Where this node's address record cannot be signed or announced, or the copies
    /// cannot be listed; whoever supervises it starts it again.
    pub async fn run_upkeep(&self, shutdown: CancellationToken) -> Result<(), ServiceError> {
        let owed = &self.inner.owed;
        // Boxed: the tasks together are a large future.
        let upkeep = Box::pin(async {
            tokio::try_join!(
                self.again_and_again(None, || self.record_interrupted_shares()),
                self.again_and_again(Some(&owed.grants), || self.complete_grants()),
                self.again_and_again(Some(&owed.receipts), || self.spread_receipts()),
                self.again_and_again(None, || self.refund_overdue_payments()),
                self.again_and_again(None, || self.finish_erasures()),
                self.again_and_again(None, || self.erase_expired()),
                self.again_and_again(None, || self.finish_revocations()),
                self.collect_now_and_then(),
                self.tell_peers(),
                self.replicate(),
                self.keep_record_current(),
            )?;
            Ok(())
        });
        shutdown.run_until_cancelled(upkeep).await.unwrap_or(Ok(()))
    }

    /// One round of everything that is due now, and of what belongs to no share. What
    /// fails is left for the next round.
    pub async fn catch_up(&self) {
        self.record_interrupted_shares().await;
        self.finish_erasures().await;
        self.erase_expired().await;
        self.finish_revocations().await;
        self.collect_leftovers().await;
        self.complete_grants().await;
        self.refund_overdue_payments().await;
        self.spread_receipts().await;
    }

    /// Does a round of work whenever the interval has passed, or the bell rings.
    async fn again_and_again<Round: Future<Output = ()>>(
        &self,
        bell: Option<&Notify>,
        round: impl Fn() -> Round,
    ) -> Result<(), ServiceError> {
        loop {
            round().await;
            match bell {
                Some(bell) => self.pause_or(bell).await,
                None => tokio::time::sleep(self.inner.settings.retry_interval).await,
            }
        }
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
