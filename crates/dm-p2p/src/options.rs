use std::sync::Arc;

use dm_core::{Address, config::NetworkConfig, ports::HolderIndex};

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

/// What a node's network layer is started with.
#[derive(Debug, Clone)]
pub struct P2pOptions {
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
    /// Where an earlier run has written down who holds what.
    pub holder_index: Option<Arc<dyn HolderIndex>>,
}

impl P2pOptions {
    /// Options with the default network configuration and no initial peers.
    pub fn new(identity: Identity, own_address: Address) -> Self {
        Self {
            identity,
            port: 0,
            initial_peers: Vec::new(),
            network: NetworkConfig::default(),
            own_address,
            transport: Transport::default(),
            holder_index: None,
        }
    }
}
