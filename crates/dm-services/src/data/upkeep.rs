//! Completes in the background what shares have left open: events of shares that were
//! interrupted, grants for recipients that were unknown, receipts that are to travel
//! with their objects, missing copies, payments that are to be given back; erasures
//! and revocations that were interrupted; the end of data whose time is over; uploads that
//! are complete or expired; what belongs to no share; and this node's own address record.
//!
//! Every kind of work goes through what is due page by page ([`due`]), some entries
//! at the same time, and begins again after a pause. Nobody in it waits for peers:
//! they are told by a task of their own ([`Copies`]).

use std::{sync::Arc, time::Duration};

use dm_core::ports::ShareCatalog;
use tokio_util::sync::CancellationToken;

use super::{
    Basis, DataConfig, DataPorts, address::AddressBook, collect::Payments, copies::Copies, erase::Eraser,
    owed::Owed, read::Reader, revoke::Revoker, uploads::Uploads,
};
use crate::{Bell, ServiceError};

mod due;
mod ends;
mod grants;
mod health;
mod leftovers;
mod shares;
mod uploads;

use due::{DueWork, Works};
use ends::{EndingData, Erasing, Expiring, Refunding, Revoking};
use grants::Granting;
use leftovers::{LostObjects, Orphans};
use shares::{Receipts, Recording};
use uploads::Uploading;

/// Entries that are taken from the catalog at a time.
const PAGE: usize = 100;
/// Between two walks through everything.
const WALK_INTERVAL: Duration = Duration::from_secs(24 * 60 * 60);
/// Until the next walk where objects are missing that no peer could give back: doubled
/// each time, up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_secs(5);
/// See [`FIRST_PAUSE`].
const LONGEST_PAUSE: Duration = Duration::from_secs(60 * 60);

/// What is looked after, besides the basis.
pub(super) struct UpkeepOf<'a> {
    pub(super) payments: &'a Arc<Payments>,
    pub(super) eraser: &'a Eraser,
    pub(super) reader: &'a Reader,
    pub(super) revoker: &'a Revoker,
    pub(super) uploads: &'a Uploads,
}

/// The background work, and how far it is.
pub(super) struct Upkeep {
    recording: Recording,
    granting: Granting,
    receipts: Receipts,
    refunding: Refunding,
    erasing: Erasing,
    expiring: Expiring,
    revoking: Revoking,
    lost_objects: LostObjects,
    orphans: Orphans,
    uploading: Uploading,
    addresses: Arc<AddressBook>,
    copies: Copies,
    owed: Arc<Owed>,
    retry_interval: Duration,
    works: Works,
}

impl Upkeep {
    pub(super) fn new(ports: &DataPorts, config: &DataConfig, basis: &Basis, of: &UpkeepOf<'_>) -> Self {
        let UpkeepOf {
            payments,
            eraser,
            reader,
            revoker,
            uploads,
        } = *of;
        let objects = &ports.objects;
        let shares: Arc<dyn ShareCatalog> = ports.catalog.clone();
        let Basis {
            own,
            addresses,
            sealing,
            copies,
            recorder,
            locks,
            owed,
            ..
        } = basis;
        let ending = Arc::new(EndingData {
            erasures: ports.catalog.clone(),
            eraser: eraser.clone(),
            locks: locks.clone(),
        });
        Self {
            recording: Recording {
                objects: objects.clone(),
                shares: shares.clone(),
                own: own.clone(),
                copies: copies.clone(),
                recorder: recorder.clone(),
                eraser: eraser.clone(),
                locks: locks.clone(),
            },
            granting: Granting {
                shares: shares.clone(),
                network: ports.network.clone(),
                key_ring: ports.key_ring.clone(),
                own: own.clone(),
                addresses: addresses.clone(),
                copies: copies.clone(),
                locks: locks.clone(),
                late_news: ports.late_news.clone(),
                retry_interval: config.retry_interval,
                absent: Default::default(),
            },
            receipts: Receipts {
                log: ports.log.clone(),
                shares: shares.clone(),
                own: own.clone(),
                copies: copies.clone(),
                recorder: recorder.clone(),
                sealing: sealing.clone(),
                late_news: ports.late_news.clone(),
                locks: locks.clone(),
            },
            refunding: Refunding(payments.clone()),
            erasing: Erasing(ending.clone()),
            expiring: Expiring(ending),
            revoking: Revoking {
                revocations: ports.catalog.clone(),
                revoker: revoker.clone(),
                locks: locks.clone(),
            },
            lost_objects: LostObjects {
                objects: objects.clone(),
                shares: shares.clone(),
                own: own.clone(),
                eraser: eraser.clone(),
                reader: reader.clone(),
                locks: locks.clone(),
            },
            orphans: Orphans {
                objects: objects.clone(),
                shares: shares.clone(),
                own: own.clone(),
                copies: copies.clone(),
                recorder: recorder.clone(),
                locks: locks.clone(),
            },
            uploading: Uploading(uploads.clone()),
            addresses: addresses.clone(),
            copies: copies.clone(),
            owed: owed.clone(),
            retry_interval: config.retry_interval,
            works: Works::default(),
        }
    }

    /// What each instance does for itself: it shares what came to it in parts, brings what it has
    /// changed to peers, and announces whose peer it is. Runs until `shutdown`.
    ///
    /// # Errors
    /// Where this node's address record cannot be signed or announced.
    pub(super) async fn run_own(&self, shutdown: CancellationToken) -> Result<(), ServiceError> {
        let upkeep = Box::pin(async {
            tokio::try_join!(
                self.again_and_again(&self.uploading, None),
                self.collect_uploads(),
                self.addresses.keep_record_current(),
                self.copies.tell_peers(),
            )?;
            Ok(())
        });
        shutdown.run_until_cancelled(upkeep).await.unwrap_or(Ok(()))
    }

    /// What wakes the work that one instance does for all.
    pub(super) fn bells(&self) -> Vec<(&'static str, Bell)> {
        vec![
            ("grants", self.owed.grants.clone()),
            ("receipts", self.owed.receipts.clone()),
        ]
    }

    /// What one instance does for all. Runs until `shutdown`; what fails is tried again after
    /// a pause.
    ///
    /// # Errors
    /// Where the copies cannot be listed.
    pub(super) async fn run(&self, shutdown: CancellationToken) -> Result<(), ServiceError> {
        let own = self.addresses.own_record().address;
        let _run = self.works.run_of_leader();
        // Boxed: the tasks together are a large future.
        let upkeep = Box::pin(async {
            tokio::try_join!(
                self.again_and_again(&self.recording, None),
                self.again_and_again(&self.granting, Some(&self.owed.grants)),
                self.again_and_again(&self.receipts, Some(&self.owed.receipts)),
                self.again_and_again(&self.refunding, None),
                self.again_and_again(&self.erasing, None),
                self.again_and_again(&self.expiring, None),
                self.again_and_again(&self.revoking, None),
                self.collect_now_and_then(),
                self.copies.replicate(own),
            )?;
            Ok(())
        });
        shutdown.run_until_cancelled(upkeep).await.unwrap_or(Ok(()))
    }

    /// One round of everything that is due now, and of what belongs to no share. What
    /// fails is left for the next round.
    pub(super) async fn catch_up(&self) {
        self.works.each_due(&self.recording).await;
        self.works.each_due(&self.erasing).await;
        self.works.each_due(&self.expiring).await;
        self.works.each_due(&self.revoking).await;
        self.works.each_due(&self.uploading).await;
        self.collect_uploads_once().await;
        self.collect_leftovers().await;
        self.works.each_due(&self.granting).await;
        self.works.each_due(&self.refunding).await;
        self.works.each_due(&self.receipts).await;
    }

    /// Does a round of a kind of work whenever the interval has passed, or the bell rings.
    async fn again_and_again<Kind: DueWork>(
        &self,
        kind: &Kind,
        bell: Option<&Bell>,
    ) -> Result<(), ServiceError> {
        loop {
            self.works.each_due(kind).await;
            match bell {
                Some(bell) => bell.wait(self.retry_interval).await,
                None => tokio::time::sleep(self.retry_interval).await,
            }
        }
    }

    /// Walks through everything at the start, and at intervals.
    async fn collect_now_and_then(&self) -> Result<(), ServiceError> {
        let mut pause = FIRST_PAUSE;
        loop {
            if self.collect_leftovers().await {
                pause = FIRST_PAUSE;
                tokio::time::sleep(WALK_INTERVAL).await;
            } else {
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
    }

    /// Deletes what is left of uploads, at the start and at intervals.
    async fn collect_uploads(&self) -> Result<(), ServiceError> {
        loop {
            self.collect_uploads_once().await;
            tokio::time::sleep(WALK_INTERVAL).await;
        }
    }

    async fn collect_uploads_once(&self) {
        if let Err(error) = self.uploading.collect().await {
            tracing::warn!(%error, "what is left of uploads is deleted later");
        }
    }

    /// One walk through the keys and the objects; whether nothing is left to do.
    async fn collect_leftovers(&self) -> bool {
        let fetched = self.works.each_due(&self.lost_objects).await;
        let collected = self.works.each_due(&self.orphans).await;
        fetched && collected
    }
}
