use std::sync::Arc;

use dm_core::{
    Address,
    bus::EventBus,
    config::NetworkConfig,
    ports::{HolderIndex, KeyValueStore, NoticeSink, ObjectStore, OwnerStanding, PeerCatalog, StorageQuota},
    span::Tracer,
};

use crate::identity::Identity;

/// How nodes reach each other.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Transport {
    /// TCP (noise, yamux) and QUIC, names resolved by DNS.
    #[default]
    TcpAndQuic,
    /// Channels within one process: for simulations of many nodes.
    Memory,
}

/// What an operator sets for a node's network layer.
#[derive(Debug, Clone)]
pub struct P2pConfig {
    /// Who this node is in the network.
    pub identity: Identity,
    /// TCP and UDP port; 0 lets the system choose.
    pub port: u16,
    /// Peers to begin with: see [`crate::parse_initial_peer`].
    pub initial_peers: Vec<String>,
    /// Interface, limits and intervals.
    pub network: NetworkConfig,
    /// The operator account: objects of other owners count as foreign.
    pub own_address: Address,
    /// How nodes reach each other.
    pub transport: Transport,
}

impl P2pConfig {
    /// A configuration with the default network configuration and no initial peers.
    pub fn new(identity: Identity, own_address: Address) -> Self {
        Self {
            identity,
            port: 0,
            initial_peers: Vec::new(),
            network: NetworkConfig::default(),
            own_address,
            transport: Transport::default(),
        }
    }
}

/// What a node's network layer works with.
#[derive(Clone)]
pub struct P2pDeps {
    /// What is served to peers, and where their objects are kept.
    pub objects: Arc<dyn ObjectStore>,
    /// Where the peer book is saved.
    pub peers: Arc<dyn PeerCatalog>,
    /// Learns which peers connect, disconnect and become unhealthy.
    pub bus: EventBus,
    /// The holders of objects that earlier runs recorded.
    pub holder_index: Option<Arc<dyn HolderIndex>>,
    /// What the store keeps for others; without it only the store itself refuses
    /// what is too much.
    pub quota: Option<Arc<dyn StorageQuota>>,
    /// Which owners are established; without it all are.
    pub standing: Option<Arc<dyn OwnerStanding>>,
    /// Where notices wait for their recipients; without it none are kept.
    pub notices: Option<Arc<dyn KeyValueStore>>,
    /// Takes the notices that are for this node; without it they are kept like others.
    pub notice_sink: Option<Arc<dyn NoticeSink>>,
    /// Is told of the requests of peers that belong to a trace; by default nobody is.
    pub tracer: Tracer,
}

impl P2pDeps {
    /// The stores and the bus, and nothing of what is optional.
    pub fn new(objects: Arc<dyn ObjectStore>, peers: Arc<dyn PeerCatalog>, bus: EventBus) -> Self {
        Self {
            objects,
            peers,
            bus,
            holder_index: None,
            quota: None,
            standing: None,
            notices: None,
            notice_sink: None,
            tracer: Tracer::default(),
        }
    }
}
