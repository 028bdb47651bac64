//! What the manager works with, and what an operator can set of it.

use std::{sync::Arc, time::Duration};

use dm_core::{
    bus::EventBus,
    config::UploadsConfig,
    node_attestation::NodeAttestation,
    ports::{
        Catalog, ComplianceLog, Grants, Instances, KeyRing, Network, ObjectStore, OperatorKeys, Sealer,
        Signer, UnfinishedObjects,
    },
    upload::UploadPlace,
};

use crate::{Deliveries, LateNews, PaymentProcessor, PluginManager, ShareAuthorization, SharedTurns};

/// What the manager works with.
#[derive(Clone)]
pub struct DataPorts {
    /// Where objects are kept.
    pub objects: Arc<dyn ObjectStore>,
    /// Where objects are kept that come in parts; the same store.
    pub unfinished: Arc<dyn UnfinishedObjects>,
    /// Where shares, wrapped content keys, and what is to be erased or withdrawn are kept.
    pub catalog: Arc<dyn Catalog>,
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
    pub authorization: Option<ShareAuthorization>,
    /// The attestation of this node, for its address record.
    pub attestation: Option<NodeAttestation>,
    /// The instances of this node, where there may be several.
    pub instances: Option<ManyInstances>,
    /// Acknowledges what was read; where there is nobody, nothing is.
    pub deliveries: Option<Deliveries>,
    /// Tells who has got a grant that was owed, and which envelopes have got receipts.
    pub late_news: LateNews,
    /// Have a say in what is shared and read; where there are none, nobody has.
    pub plugins: Option<PluginManager>,
    /// Who wants to know.
    pub bus: EventBus,
}

/// The instances of a node that share its catalog.
#[derive(Clone)]
pub struct ManyInstances {
    /// All of them: the address record names their peers.
    pub all: Arc<dyn Instances>,
    /// Where this one keeps the parts of its uploads.
    pub place: UploadPlace,
    /// At data: no two change the same at the same time.
    pub turns: SharedTurns,
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
    /// How many uploads there may be that resume, and for how long.
    pub uploads: UploadsConfig,
}
