//! Completes in the background what shares have left open: events of shares that were
//! interrupted, grants for recipients that were unknown, receipts that are to travel
//! with their objects, missing copies, payments that are to be given back; erasures
//! and revocations that were interrupted; the end of data whose time is over; what
//! belongs to no share; and this node's own address record.
//!
//! Every kind of work goes through what is due page by page ([`due`]), some entries
//! at the same time, and begins again after a pause. Nobody in it waits for peers:
//! they are told by a task of their own ([`Copies`]).

use std::{sync::Arc, time::Duration};

use dm_core::ports::{Erasures, ShareCatalog};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::{
    Basis, DataConfig, DataPorts, address::AddressBook, collect::Payments, copies::Copies, erase::Eraser,
    owed::Owed, pause_or, revoke::Revoker,
};
use crate::ServiceError;

mod due;
mod ends;
mod grants;
mod health;
mod leftovers;
mod shares;

use due::{DueWork, Works};
use ends::{Erasing, Expiring, Refunding, Revoking};
use grants::Granting;
use leftovers::{LostKeys, Orphans};
use shares::{Receipts, Recording};

/// Entries that are taken from the catalog at a time.
const PAGE: usize = 100;
/// Between two walks through everything.
const WALK_INTERVAL: Duration = Duration::from_secs(60 * 60);
/// Between two pages of such a walk: it costs the same small part of a core however many
/// entries there are, and nobody waits for them.
const WALK_PAUSE: Duration = Duration::from_secs(3);

/// The background work, and how far it is.
pub(super) struct Upkeep {
    recording: Recording,
    granting: Granting,
    receipts: Receipts,
    refunding: Refunding,
    erasing: Erasing,
    expiring: Expiring,
    revoking: Revoking,
    lost_keys: LostKeys,
    orphans: Orphans,
    addresses: Arc<AddressBook>,
    copies: Copies,
    owed: Arc<Owed>,
    retry_interval: Duration,
    works: Works,
}

impl Upkeep {
    pub(super) fn new(
        ports: &DataPorts,
        config: &DataConfig,
        basis: &Basis,
        payments: &Arc<Payments>,
        eraser: &Eraser,
        revoker: &Revoker,
    ) -> Self {
        let objects = &ports.objects;
        let shares: Arc<dyn ShareCatalog> = ports.catalog.clone();
        let erasures: Arc<dyn Erasures> = ports.catalog.clone();
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
                locks: locks.clone(),
            },
            refunding: Refunding(payments.clone()),
            erasing: Erasing {
                erasures: erasures.clone(),
                eraser: eraser.clone(),
                locks: locks.clone(),
            },
            expiring: Expiring {
                erasures: erasures.clone(),
                eraser: eraser.clone(),
                locks: locks.clone(),
            },
            revoking: Revoking {
                revocations: ports.catalog.clone(),
                revoker: revoker.clone(),
                locks: locks.clone(),
            },
            lost_keys: LostKeys {
                objects: objects.clone(),
                shares: shares.clone(),
                own: own.clone(),
                eraser: eraser.clone(),
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
            addresses: addresses.clone(),
            copies: copies.clone(),
            owed: owed.clone(),
            retry_interval: config.retry_interval,
            works: Works::default(),
        }
    }

    /// Runs until `shutdown`. What fails is tried again after a pause.
    ///
    /// # Errors
    /// Where this node's address record cannot be signed or announced, or the copies
    /// cannot be listed.
    pub(super) async fn run(&self, shutdown: CancellationToken) -> Result<(), ServiceError> {
        let own = self.addresses.own_record().address;
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
                self.copies.tell_peers(),
                self.copies.replicate(own),
                self.addresses.keep_record_current(),
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
        self.collect_leftovers(Duration::ZERO).await;
        self.works.each_due(&self.granting).await;
        self.works.each_due(&self.refunding).await;
        self.works.each_due(&self.receipts).await;
    }

    /// Does a round of a kind of work whenever the interval has passed, or the bell rings.
    async fn again_and_again<Kind: DueWork>(
        &self,
        kind: &Kind,
        bell: Option<&Notify>,
    ) -> Result<(), ServiceError> {
        loop {
            self.works.each_due(kind).await;
            match bell {
                Some(bell) => pause_or(self.retry_interval, bell).await,
                None => tokio::time::sleep(self.retry_interval).await,
            }
        }
    }

    /// Walks through everything at the start, and at intervals.
    async fn collect_now_and_then(&self) -> Result<(), ServiceError> {
        loop {
            self.collect_leftovers(WALK_PAUSE).await;
            tokio::time::sleep(WALK_INTERVAL).await;
        }
    }

    /// One walk through the keys and the objects, with this pause between two pages.
    async fn collect_leftovers(&self, pause: Duration) {
        self.works.each_due_at_pace(&self.lost_keys, pause).await;
        self.works.each_due_at_pace(&self.orphans, pause).await;
    }

    /// Since when the oldest work is due that is not done, in milliseconds since the
    /// Unix epoch.
    pub(super) fn oldest_due(&self) -> Option<u64> {
        let works = self.works.progress();
        works.values().filter_map(due::Progress::oldest_due).min()
    }
}
