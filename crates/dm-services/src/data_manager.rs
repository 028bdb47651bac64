//! The node's main job: sharing data and reading it back.

use std::{sync::Arc, time::Duration};

use alloy_primitives::{Address, B256};
use bytes::Bytes;
use dm_core::{
    bus::{EventBus, Topic},
    event::EventKind,
    hash::{DataHash, Locator},
    ports::{
        ComplianceLog, Erasures, Grants, KeyRing, Network, ObjectStore, OperatorKeys, ReadableObjects,
        Revocations, Sealer, ShareCatalog, Signer,
    },
    share::{ShareOutcome, ShareTerms},
    vouching::Vouching,
};
use serde_json::json;
use tokio::sync::RwLock;
use tokio_util::sync::CancellationToken;

use super::{
    Authorization, KnownObjects, PaymentProcessor, PluginManager, ServiceError,
    cpu::Cpu,
    keyed_locks::{KeyedLocks, LockGuard},
    plugin_manager::Examiner,
};

mod distribute;
mod distrust;
mod envelopes;
mod erase;
mod expire;
mod grant;
mod owed;
mod own;
mod own_record;
mod pay;
mod plugins;
mod read;
mod recipients;
mod retrievals;
mod revoke;
mod seal;
mod share;
mod upkeep;
mod upload;
mod verify;

pub use erase::Erasure;
pub use read::OpenObject;
pub use revoke::Revocation;
pub use upload::Upload;
pub use verify::VerifiedShare;

use distrust::Distrust;
use owed::Owed;
use own_record::OwnRecord;
use recipients::Recipients;
use retrievals::Retrievals;
use share::{Completed, Request, Source};
use upkeep::Upkeep;

/// What the manager works with.
#[derive(Clone)]
pub struct DataPorts {
    /// Where objects are kept.
    pub objects: Arc<dyn ObjectStore>,
    /// Where shares are kept.
    pub shares: Arc<dyn ShareCatalog>,
    /// Where wrapped content keys are kept.
    pub readable: Arc<dyn ReadableObjects>,
    /// Where it is kept what is to be erased.
    pub erasures: Arc<dyn Erasures>,
    /// Where it is kept whose access is to be withdrawn.
    pub revocations: Arc<dyn Revocations>,
    /// Encrypts and decrypts chunks.
    pub sealer: Arc<dyn Sealer>,
    /// Wraps content keys for this node.
    pub key_ring: Arc<dyn KeyRing>,
    /// Wraps content keys for others.
    pub grants: Arc<dyn Grants>,
    /// The node's own account.
    pub signer: Arc<dyn Signer>,
    /// Who acts on the chain for it; where there is nobody, it does so itself.
    pub operators: Option<Arc<dyn OperatorKeys>>,
    /// The peers.
    pub network: Arc<dyn Network>,
    /// The compliance log.
    pub log: Arc<dyn ComplianceLog>,
    /// Takes payments for shares; where there is nobody, none is taken.
    pub payments: Option<PaymentProcessor>,
    /// Checks who orders a share; where there is nobody, anybody may.
    pub authorization: Option<Authorization>,
    /// Who vouches for this node, for its address record.
    pub vouching: Option<Vouching>,
    /// Have a say in what is shared and read; where there are none, nobody has.
    pub plugins: Option<PluginManager>,
    /// Who wants to know.
    pub bus: EventBus,
}

/// What an operator can set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DataConfig {
    /// Peers that shall hold each object.
    pub replication_factor: u32,
    /// How long a share waits for its anchor before it answers `pending`.
    pub anchor_patience: Duration,
    /// Between two attempts to complete what is owed.
    pub retry_interval: Duration,
}

/// Shares data and reads it back; cheap to clone.
#[derive(Clone)]
pub struct DataManager {
    inner: Arc<Inner>,
}

struct Inner {
    ports: DataPorts,
    settings: DataConfig,
    /// What of the store belongs to a share: for reading.
    known: KnownObjects,
    own_record: OwnRecord,
    cpu: Cpu,
    /// Of data, by its locator.
    locks: KeyedLocks<Locator>,
    recipients: Recipients,
    distrust: Distrust,
    retrievals: Retrievals,
    /// What the background work has to do.
    owed: Owed,
    /// How far the background work is.
    upkeep: Upkeep,
    /// Held for reading by whoever gives stored data another key.
    content_keys: Arc<RwLock<()>>,
    /// Ends the waiting for anchors when the node stops.
    stopping: CancellationToken,
}

impl DataManager {
    /// A manager over these ports. What the node owes others is completed by
    /// [`DataManager::run_upkeep`], which the caller runs as a supervised task.
    ///
    /// # Errors
    /// [`ServiceError::Fault`] where the operator account cannot sign.
    pub fn new(ports: DataPorts, settings: DataConfig) -> Result<Self, ServiceError> {
        let own_record = OwnRecord::sign(&ports)?;
        let known = KnownObjects::new(
            ports.objects.clone(),
            ports.shares.clone(),
            ports.signer.address(),
        );
        Ok(Self {
            inner: Arc::new(Inner {
                settings,
                known,
                own_record,
                cpu: Cpu::new(),
                locks: KeyedLocks::default(),
                recipients: Recipients::default(),
                distrust: Distrust::default(),
                retrievals: Retrievals::default(),
                owed: Owed::default(),
                upkeep: Upkeep::default(),
                content_keys: Arc::default(),
                stopping: CancellationToken::new(),
                ports,
            }),
        })
    }

    /// The account that this node acts for.
    pub fn address(&self) -> Address {
        self.inner.ports.signer.address()
    }

    /// Shares data that is in memory with a recipient; larger data goes
    /// through [`DataManager::begin_upload`]. The same data to the same
    /// recipient again is the same share.
    ///
    /// # Errors
    /// [`ServiceError::Invalid`] for empty data; what else can go wrong stands
    /// there. What was acknowledged before is never lost.
    #[tracing::instrument(level = "debug", skip_all, fields(recipient = %terms.recipient, size = data.len()))]
    pub async fn share_bytes(&self, data: Bytes, terms: ShareTerms) -> Result<ShareOutcome, ServiceError> {
        if data.is_empty() {
            return Err(ServiceError::invalid("data", "cannot be empty"));
        }
        let request = Request {
            data_hash: self.hash(data.clone()).await?,
            kind: EventKind::DataShare,
            terms,
        };
        self.share(request, Source::Whole(data)).await
    }

    /// Begins to share data that arrives in pieces.
    ///
    /// # Errors
    /// [`ServiceError::StorageFull`] where there is no room, and the faults of
    /// the store and the log.
    pub async fn begin_upload(&self) -> Result<Upload, ServiceError> {
        self.ensure_log_accepts()?;
        Upload::begin(self.clone()).await
    }

    /// A lock: while somebody holds it for writing, no stored data is encrypted under
    /// another key, so that keys and data that are copied one after the other fit
    /// together.
    pub fn content_keys(&self) -> Arc<RwLock<()>> {
        self.inner.content_keys.clone()
    }

    /// Ends the waiting for anchors: shares that are recorded answer `pending`
    /// from now on. For a node that stops.
    pub fn stop_waiting(&self) {
        self.inner.stopping.cancel();
    }

    /// Waits for the anchor and says how far the share has come.
    async fn conclude(&self, share: Completed) -> ShareOutcome {
        let tx_hash = match share.leaf_index {
            Some(leaf_index) => self.anchor_of(leaf_index).await.unwrap_or_else(|error| {
                tracing::warn!(leaf_index, %error, "whether a share is anchored is not known");
                None
            }),
            None => None,
        };
        if tx_hash.is_some() && share.replicas > 0 {
            self.inner.owed.receipts.notify_one();
        }
        let outcome = share.outcome(tx_hash);
        self.inner.ports.bus.publish(
            Topic::DataShared,
            json!({
                "data_hash": outcome.data_hash,
                "recipient": outcome.recipient,
                "status": outcome.status,
                "tx_hash": outcome.tx_hash,
            }),
        );
        outcome
    }

    /// The transaction that anchors an event, waited for only so long.
    async fn anchor_of(&self, leaf_index: u64) -> Result<Option<B256>, ServiceError> {
        let patience = self.inner.settings.anchor_patience;
        let anchored = self.inner.ports.log.wait_for_anchor(leaf_index, patience);
        let anchor = match self.inner.stopping.run_until_cancelled(anchored).await {
            Some(anchor) => anchor?,
            None => None,
        };
        Ok(anchor.map(|anchor| anchor.tx_hash))
    }

    /// Waits for whoever works on this data now, and keeps others from it.
    async fn turn(&self, data_hash: &DataHash) -> LockGuard {
        self.inner.locks.lock(data_hash.locator()).await
    }

    /// A log that has forked takes no further events, so nothing is begun.
    fn ensure_log_accepts(&self) -> Result<(), ServiceError> {
        match self.inner.ports.log.fault() {
            None => Ok(()),
            Some(fault) => Err(ServiceError::Fault(fault)),
        }
    }

    async fn hash(&self, data: Bytes) -> Result<DataHash, ServiceError> {
        self.inner
            .cpu
            .run_on(data.len(), move || DataHash::of(&data))
            .await
    }
}
