//! Looks after the copies of the objects that this node stores, its own and
//! those of others: a replica repairs what it cannot read.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use alloy_primitives::Address;
use dm_core::{
    clock::now_ms,
    envelope::{ObjectId, SignedEnvelope},
    hash::DataHash,
    ports::{ObjectStore, Replication, ShareCatalog, StorageQuota, StoreError},
};
use serde::Serialize;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use self::plan::{Holder, PeerKey, RepairConfig, RepairPlan};
use super::ServiceError;

mod act;
mod collect;
mod health;
mod holder_index;
pub mod plan;

pub use holder_index::StoredHolderIndex;

/// Objects that are listed at once.
const PAGE: usize = 256;
/// Between two walks through the store: objects come and go by other ways too.
const WALK_INTERVAL: Duration = Duration::from_secs(60 * 60);
/// Between two looks at who can be reached.
const PEERS_INTERVAL: Duration = Duration::from_secs(2);

/// What the repairer works with.
#[derive(Clone)]
pub struct RepairPorts {
    /// Where objects are kept.
    pub objects: Arc<dyn ObjectStore>,
    /// The peers.
    pub replication: Arc<dyn Replication>,
    /// Where the holders of each object are written down.
    pub holders: Arc<StoredHolderIndex>,
    /// Learns how many peers hold this node's own objects.
    pub shares: Arc<dyn ShareCatalog>,
    /// How much of its limits the store has used.
    pub quota: Arc<dyn StorageQuota>,
}

/// Keeps the number of copies up; cheap to clone.
#[derive(Clone)]
pub struct Repairer {
    inner: Arc<Inner>,
}

struct Inner {
    ports: RepairPorts,
    own: Address,
    plan: Mutex<RepairPlan>,
    /// Peer ids in text form.
    names: Mutex<HashMap<PeerKey, String>>,
    /// Rings when the plan has something to do.
    bell: Notify,
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
                plan: Mutex::new(RepairPlan::new(PeerKey::of(local_peer), config, now_ms())),
                names: Mutex::default(),
                bell: Notify::new(),
                ports,
            }),
        }
    }

    /// Runs until `shutdown`; an error ends it, and whoever supervises it
    /// starts it again.
    ///
    /// # Errors
    /// Faults of the stores.
    pub async fn run(&self, shutdown: CancellationToken) -> Result<(), StoreError> {
        let work = async {
            tokio::try_join!(
                self.walk(),
                self.take_news(),
                self.watch_peers(),
                self.act(),
                self.collect(),
            )?;
            Ok(())
        };
        shutdown.run_until_cancelled(work).await.unwrap_or(Ok(()))
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
        Ok(envelopes.iter().map(|envelope| self.held(envelope)).collect())
    }

    fn held(&self, envelope: &SignedEnvelope) -> HeldObject {
        let copies = self.plan().copies(&envelope.id, now_ms());
        let (wanted, live) = copies
            .as_ref()
            .map_or((0, 0), |copies| (copies.wanted, copies.live));
        let holders = copies.map(|copies| copies.holders).unwrap_or_default();
        let mut holders: Vec<HeldBy> = holders
            .into_iter()
            .filter_map(|(holder, live)| {
                Some(HeldBy {
                    peer_id: self.name(holder.peer)?,
                    since: holder.since,
                    proved_at: holder.proved,
                    live,
                })
            })
            .collect();
        holders.sort_by_key(|holder| holder.since);
        HeldObject {
            owner: envelope.id.owner,
            size: envelope.size,
            sequence: envelope.sequence,
            own: envelope.id.owner == self.inner.own,
            wanted,
            live,
            holders,
        }
    }

    /// Takes everything that is stored into the plan, now and again at intervals.
    async fn walk(&self) -> Result<(), StoreError> {
        loop {
            let mut after = None;
            loop {
                let page = self.inner.ports.objects.list(after.as_ref(), PAGE).await?;
                let Some(last) = page.last().copied() else {
                    break;
                };
                for id in &page {
                    self.keep_readable(id).await?;
                }
                self.inner.bell.notify_one();
                after = Some(last);
            }
            tokio::time::sleep(WALK_INTERVAL).await;
        }
    }

    /// As [`Self::keep`], but passes over an object that cannot be read: the store
    /// has noted that it is damaged, and it costs no other object its copies.
    async fn keep_readable(&self, id: &ObjectId) -> Result<bool, StoreError> {
        match self.keep(id).await {
            Err(StoreError::Corrupt(reason)) => {
                tracing::warn!(locator = %id.locator, reason, "a damaged object is passed over");
                Ok(false)
            }
            other => other,
        }
    }

    /// Takes a stored object into the plan; whether it is stored.
    async fn keep(&self, id: &ObjectId) -> Result<bool, StoreError> {
        let Some(envelope) = self.inner.ports.objects.envelope(id).await? else {
            return Ok(false);
        };
        if !self.plan().keeps(id) {
            self.take_over(&envelope).await?;
        }
        // The end of this node's own objects is the business of who shares them.
        if id.owner != self.inner.own {
            self.plan().ends_at(id, envelope.expires_at);
        }
        Ok(true)
    }

    async fn take_over(&self, envelope: &SignedEnvelope) -> Result<(), StoreError> {
        let id = &envelope.id;
        let known = self.inner.ports.holders.read(id).await?;
        let holders = known.into_iter().map(|(name, since, proved)| Holder {
            peer: self.key(&name),
            since,
            proved,
        });
        let holders = holders.collect();
        let is_own = id.owner == self.inner.own;
        self.plan()
            .keep(*id, is_own, envelope.sealed_size(), holders, now_ms());
        Ok(())
    }

    async fn take_news(&self) -> Result<(), StoreError> {
        loop {
            let news = self.inner.ports.replication.next_news().await;
            if self.keep_readable(&news.object).await? {
                let holders = self.keys(&news.holders);
                self.plan().told(&news.object, &holders, now_ms());
                self.inner.bell.notify_one();
            }
        }
    }

    async fn watch_peers(&self) -> Result<(), StoreError> {
        let mut before = HashSet::new();
        loop {
            let now = self.inner.ports.replication.reachable();
            for name in now.difference(&before) {
                let peer = self.key(name);
                self.plan().peer_up(peer, now_ms());
            }
            for name in before.difference(&now) {
                let peer = self.key(name);
                self.plan().peer_down(peer, now_ms());
            }
            if now != before {
                self.inner.bell.notify_one();
            }
            before = now;
            tokio::time::sleep(PEERS_INTERVAL).await;
        }
    }

    fn key(&self, name: &str) -> PeerKey {
        let key = PeerKey::of(name);
        let mut names = lock(&self.inner.names);
        names.entry(key).or_insert_with(|| name.to_owned());
        key
    }

    fn keys(&self, names: &[String]) -> Vec<PeerKey> {
        names.iter().map(|name| self.key(name)).collect()
    }

    fn name(&self, key: PeerKey) -> Option<String> {
        lock(&self.inner.names).get(&key).cloned()
    }

    fn names(&self, keys: impl IntoIterator<Item = PeerKey>) -> Vec<String> {
        keys.into_iter().filter_map(|key| self.name(key)).collect()
    }

    fn plan(&self) -> MutexGuard<'_, RepairPlan> {
        lock(&self.inner.plan)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
