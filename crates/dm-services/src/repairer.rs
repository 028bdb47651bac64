//! Looks after the copies of the objects that this node stores, its own and
//! those of others: a replica repairs what it cannot read.

use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use alloy_primitives::Address;
use dm_core::{
    clock::now_ms,
    envelope::SignedEnvelope,
    hash::DataHash,
    ports::{
        Evidence, KeyValueStore, NotTaken, ObjectChanges, ObjectStore, OwnerStanding, Replication,
        ShareCatalog, StorageQuota, StoreError,
    },
};
use serde::Serialize;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use self::{
    current_plan::CurrentPlan,
    holder_index::EarlierHolders,
    plan::{Peer, PeerKey, RepairConfig},
};
use super::{ServiceError, inbox::Arrivals, notices::ReplicaNotices};

mod act;
mod collect;
mod current_plan;
mod follow;
mod health;
mod holder_index;
mod meter;
pub mod plan;

pub use holder_index::StoredHolderIndex;
pub use meter::{RepairMeter, RepairTotals};

/// Between two looks at who can be reached.
const PEERS_INTERVAL: Duration = Duration::from_secs(2);

/// What the repairer works with.
#[derive(Clone)]
pub struct RepairPorts {
    /// Where objects are kept.
    pub objects: Arc<dyn ObjectStore>,
    /// Tells which of them have changed.
    pub changes: Arc<dyn ObjectChanges>,
    /// The peers.
    pub replication: Arc<dyn Replication>,
    /// Where it is written down who holds what, and what is due when.
    pub index: Arc<dyn KeyValueStore>,
    /// Where versions before 0.2 wrote down who holds what.
    pub earlier_holders: Arc<dyn KeyValueStore>,
    /// Learns how many peers hold this node's own objects.
    pub shares: Arc<dyn ShareCatalog>,
    /// How much of its limits the store has used.
    pub quota: Arc<dyn StorageQuota>,
    /// Told of what is for this node; without it nobody is.
    pub arrivals: Option<Arrivals>,
    /// Tells other readers of what is stored here; without it nobody does.
    pub replica_notices: Option<ReplicaNotices>,
    /// Which owners are established; without it all are.
    pub standing: Option<Arc<dyn OwnerStanding>>,
}

/// Keeps the number of copies up; cheap to clone.
#[derive(Clone)]
pub struct Repairer {
    inner: Arc<Inner>,
}

struct Inner {
    ports: RepairPorts,
    own: Address,
    local: PeerKey,
    config: RepairConfig,
    plan: CurrentPlan,
    /// Rings when the plan has something to do.
    bell: Notify,
    /// Whether no peer can be reached: then nothing is tried that needs one.
    is_alone: AtomicBool,
    meter: RepairMeter,
}

/// An object that is stored here, and the peers that are thought to hold it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HeldObject {
    /// The account that shared it.
    pub owner: Address,
    /// Plaintext bytes.
    pub size: u64,
    /// Sequence number of the envelope that is stored here.
    pub sequence: u64,
    /// Whether this node shared it.
    pub own: bool,
    /// Peers that shall hold it beside this node.
    pub wanted: u32,
    /// Peers that do, as far as is known.
    pub live: u32,
    /// Everybody who is thought to, the longest first.
    pub holders: Vec<HeldBy>,
    /// Why no peer took the copy that was last offered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_taken: Option<NotTaken>,
}

/// A peer that is thought to hold an object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HeldBy {
    /// Its peer id in text form.
    pub peer_id: String,
    /// Since when, in milliseconds since the Unix epoch.
    pub since: u64,
    /// When it last proved it, in milliseconds since the Unix epoch.
    pub proved_at: Option<u64>,
    /// Whether it counts as a copy now: it can be reached and has proved that
    /// it holds the bytes, or has had no time to.
    pub live: bool,
}

impl Repairer {
    /// A repairer of the node with this peer id and account; it works while
    /// [`Repairer::run`] does.
    pub fn new(ports: RepairPorts, own: Address, local_peer: &str, config: RepairConfig) -> Self {
        Self {
            inner: Arc::new(Inner {
                own,
                local: PeerKey::of(local_peer),
                config,
                plan: CurrentPlan::default(),
                bell: Notify::new(),
                is_alone: AtomicBool::new(false),
                meter: RepairMeter::default(),
                ports,
            }),
        }
    }

    /// Runs until `shutdown`; an error ends it, and whoever supervises it
    /// starts it again. Each run begins with what the store has.
    ///
    /// # Errors
    /// Faults of the stores.
    pub async fn run(&self, shutdown: CancellationToken) -> Result<(), StoreError> {
        let _plan = self.begin_plan().await?;
        let work = async {
            tokio::try_join!(
                self.follow_changes(),
                self.take_stock(),
                self.take_news(),
                self.watch_peers(),
                self.act(),
                self.collect(),
            )?;
            Ok(())
        };
        match shutdown.run_until_cancelled(work).await {
            Some(failed) => failed,
            None => self.plan().await?.flush().await,
        }
    }

    /// The objects of this data that are stored here, one for each owner, and
    /// who holds them.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`] where none is stored here, and faults of the store.
    pub async fn holders(&self, data_hash: &DataHash) -> Result<Vec<HeldObject>, ServiceError> {
        let envelopes = self.inner.ports.objects.envelopes(&data_hash.locator()).await?;
        if envelopes.is_empty() {
            return Err(ServiceError::NotFound);
        }
        let mut held = Vec::with_capacity(envelopes.len());
        for envelope in &envelopes {
            held.push(self.held(envelope).await?);
        }
        Ok(held)
    }

    async fn held(&self, envelope: &SignedEnvelope) -> Result<HeldObject, StoreError> {
        let copies = self.plan().await?.copies(&envelope.id, now_ms()).await?;
        let mut held = HeldObject {
            owner: envelope.id.owner,
            size: envelope.size,
            sequence: envelope.sequence,
            own: envelope.id.owner == self.inner.own,
            wanted: 0,
            live: 0,
            holders: Vec::new(),
            not_taken: None,
        };
        if let Some(copies) = copies {
            (held.wanted, held.live) = (copies.wanted, copies.live);
            held.not_taken = copies.not_taken;
            let holders = copies.holders.into_iter();
            held.holders = holders
                .map(|(peer, holder, live)| HeldBy {
                    peer_id: peer.name.to_string(),
                    since: holder.since,
                    proved_at: holder.proved,
                    live,
                })
                .collect();
            held.holders.sort_by_key(|holder| holder.since);
        }
        Ok(held)
    }

    async fn take_news(&self) -> Result<(), StoreError> {
        loop {
            let news = self.inner.ports.replication.next_news().await;
            // Most objects are known by then: the store has told of them.
            let is_kept = self.plan().await?.keeps(&news.object).await?;
            if !is_kept && self.keep_readable(&news.object).await?.is_none() {
                continue;
            }
            let holders: Vec<Peer> = news.holders.iter().map(|name| Peer::named(name)).collect();
            let mut plan = self.plan().await?;
            match news.evidence {
                Evidence::Transferred => plan.transferred(&news.object, &holders, now_ms()).await?,
                Evidence::Said { by } => plan.hinted(&news.object, &holders, PeerKey::of(&by)).await?,
            }
            drop(plan);
            self.inner.bell.notify_one();
        }
    }

    async fn watch_peers(&self) -> Result<(), StoreError> {
        let mut before = HashSet::new();
        loop {
            let now = self.inner.ports.replication.reachable();
            self.inner.is_alone.store(now.is_empty(), Ordering::Relaxed);
            if now != before {
                let mut plan = self.plan().await?;
                for name in now.difference(&before) {
                    plan.peer_up(&Peer::named(name));
                }
                for name in before.difference(&now) {
                    plan.peer_down(&Peer::named(name), now_ms());
                }
                drop(plan);
                self.inner.bell.notify_one();
            }
            before = now;
            tokio::time::sleep(PEERS_INTERVAL).await;
        }
    }
}
