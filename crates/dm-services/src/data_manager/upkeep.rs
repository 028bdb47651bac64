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

use dm_core::bus::Topic;
use tokio::sync::{Notify, broadcast::error::RecvError};
use tokio_util::sync::CancellationToken;

use super::DataManager;
use crate::ServiceError;

mod copies;
mod due;
mod ends;
mod grants;
mod health;
mod leftovers;
mod shares;
mod telling;

pub(super) use due::Upkeep;

use due::DueWork;
use ends::{Erasing, Expiring, Refunding, Revoking};
use grants::Granting;
use shares::{Receipts, Recording};

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
                self.again_and_again::<Recording>(None),
                self.again_and_again::<Granting>(Some(&owed.grants)),
                self.again_and_again::<Receipts>(Some(&owed.receipts)),
                self.again_and_again::<Refunding>(None),
                self.again_and_again::<Erasing>(None),
                self.again_and_again::<Expiring>(None),
                self.again_and_again::<Revoking>(None),
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
        self.each_due::<Recording>().await;
        self.each_due::<Erasing>().await;
        self.each_due::<Expiring>().await;
        self.each_due::<Revoking>().await;
        self.collect_leftovers().await;
        self.each_due::<Granting>().await;
        self.each_due::<Refunding>().await;
        self.each_due::<Receipts>().await;
    }

    /// Does a round of a kind of work whenever the interval has passed, or the bell rings.
    async fn again_and_again<Kind: DueWork>(&self, bell: Option<&Notify>) -> Result<(), ServiceError> {
        loop {
            self.each_due::<Kind>().await;
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
