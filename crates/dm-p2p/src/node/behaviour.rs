use std::{num::NonZeroUsize, sync::Arc, time::Duration};

use dm_core::config::NetworkConfig;
use libp2p::{
    PeerId, StreamProtocol,
    allow_block_list::{self, AllowedPeers},
    autonat::v2 as autonat,
    connection_limits, dcutr, identify,
    identity::Keypair,
    kad, ping, relay,
    swarm::{NetworkBehaviour, behaviour::toggle::Toggle},
};

use super::{
    peer_book_behaviour::PeerBookBehaviour, preferred_streams::PreferredStreams,
    slots_behaviour::SlotsBehaviour,
};
use crate::{
    config::{P2pConfig, Transport},
    dht::{BoundedStore, ProviderRecords, RECORD_TTL, RecordLimits},
    error::P2pError,
    parsed_config::ParsedConfig,
    peers::Peers,
};

/// Kademlia under our own name, so that our nodes keep to themselves.
pub(crate) const KAD_PROTOCOL: StreamProtocol = StreamProtocol::new("/datamgmt/kad/1");
/// What identify tells of this software.
const AGENT: &str = concat!("dm-node/", env!("CARGO_PKG_VERSION"));
const PROTOCOL_VERSION: &str = "/datamgmt/1";
/// Time of one DHT query as a whole.
const QUERY_TIMEOUT: Duration = Duration::from_secs(10);
/// Time of one step of it.
const STEP_TIMEOUT: Duration = Duration::from_secs(4);
/// Longest time between two pings.
const PING_INTERVAL: Duration = Duration::from_secs(15);
/// Pings between two checks whether a peer is still there, at the least.
const PINGS_PER_CHECK: u32 = 4;
/// Peers that a query asks at the same time.
const PARALLELISM: NonZeroUsize = NonZeroUsize::new(3).unwrap();

/// Between two looks for addresses that are to be tested from outside.
const REACH_INTERVAL: Duration = Duration::from_secs(2);
/// Connections that are relayed at the same time for one peer.
const RELAY_CIRCUITS_OF_PEER: usize = 16;
/// Longest time of a relayed connection.
const RELAY_CIRCUIT_TIME: Duration = Duration::from_secs(60 * 60);

/// Everything that a node does on its connections.
#[derive(NetworkBehaviour)]
pub(crate) struct Behaviour {
    /// Where the network is private: who may connect.
    pub(crate) allow_list: Toggle<allow_block_list::Behaviour<AllowedPeers>>,
    /// Bounds the dials that are under way.
    pub(crate) dial_limits: connection_limits::Behaviour,
    /// Bounds the connections that stand.
    pub(crate) slots: SlotsBehaviour,
    pub(crate) peer_book: PeerBookBehaviour,
    pub(crate) identify: identify::Behaviour,
    pub(crate) ping: ping::Behaviour,
    pub(crate) kad: kad::Behaviour<BoundedStore>,
    pub(crate) objects: PreferredStreams,
    /// Asks peers whether this node is reached from outside.
    pub(crate) autonat_client: Toggle<autonat::client::Behaviour>,
    /// Tests it for peers.
    pub(crate) autonat_server: Toggle<autonat::server::Behaviour>,
    /// Listens and dials through relays.
    pub(crate) relay_client: relay::client::Behaviour,
    pub(crate) relay_server: Toggle<relay::Behaviour>,
    /// Replaces connections through a relay by direct ones.
    pub(crate) dcutr: dcutr::Behaviour,
    #[cfg(feature = "upnp")]
    pub(crate) upnp: Toggle<libp2p::upnp::tokio::Behaviour>,
    #[cfg(feature = "mdns")]
    pub(crate) mdns: Toggle<libp2p::mdns::tokio::Behaviour>,
}

impl Behaviour {
    pub(crate) fn new(
        config: &P2pConfig,
        parsed: &ParsedConfig,
        peers: &Arc<Peers>,
        providers: &Arc<ProviderRecords>,
        relay_client: relay::client::Behaviour,
    ) -> Result<Self, P2pError> {
        let (keypair, network) = (config.identity.keypair(), &config.network);
        let local = config.identity.id();
        let dial_limits = connection_limits::ConnectionLimits::default()
            .with_max_pending_outgoing(Some(network.max_connections_each_way()));
        let identify = identify::Config::new(PROTOCOL_VERSION.to_owned(), keypair.public())
            .with_agent_version(AGENT.to_owned())
            .with_push_listen_addr_updates(true)
            // What a peer says of itself is not dialled before it was looked at.
            .with_cache_size(0);
        let check_interval = Duration::from_secs(network.health_check_interval_secs);
        let ping_interval = PING_INTERVAL.min(check_interval / PINGS_PER_CHECK);
        // Within one process everybody is reached.
        let autonat = network.autonat && config.transport == Transport::TcpAndQuic;
        Ok(Self {
            allow_list: only(&parsed.allowed).into(),
            dial_limits: connection_limits::Behaviour::new(dial_limits),
            slots: SlotsBehaviour::new(network, peers.clone()),
            peer_book: PeerBookBehaviour::new(peers.clone()),
            identify: identify::Behaviour::new(identify),
            ping: ping::Behaviour::new(ping::Config::new().with_interval(ping_interval)),
            kad: kademlia(keypair, providers.clone()),
            objects: PreferredStreams::default(),
            autonat_client: autonat.then(|| ask_each(REACH_INTERVAL)).into(),
            autonat_server: autonat.then(autonat::server::Behaviour::default).into(),
            relay_client,
            relay_server: network
                .relay_server
                .then(|| relay_for_others(local, network))
                .into(),
            dcutr: dcutr::Behaviour::new(local),
            #[cfg(feature = "upnp")]
            upnp: network.upnp.then(libp2p::upnp::tokio::Behaviour::default).into(),
            #[cfg(feature = "mdns")]
            mdns: super::neighbours::multicast(local, network)?.into(),
        })
    }
}

/// Has addresses tested that peers have seen this node under.
fn ask_each(interval: Duration) -> autonat::client::Behaviour {
    let config = autonat::client::Config::default().with_probe_interval(interval);
    autonat::client::Behaviour::new(rand::make_rng(), config)
}

/// A relay for whoever asks, within limits.
fn relay_for_others(local: PeerId, network: &NetworkConfig) -> relay::Behaviour {
    let config = relay::Config {
        max_circuits: network.relay_max_circuits as usize,
        max_circuits_per_peer: RELAY_CIRCUITS_OF_PEER,
        max_circuit_bytes: network.relay_circuit_bytes,
        max_circuit_duration: RELAY_CIRCUIT_TIME,
        ..relay::Config::default()
    };
    let mut behaviour = relay::Behaviour::new(local, config);
    // Also where nobody has confirmed an address: in a private network.
    behaviour.set_status(Some(relay::Status::Enable));
    behaviour
}

/// Lets nobody but these peers in; everybody, where there are none.
fn only(allowed: &[PeerId]) -> Option<allow_block_list::Behaviour<AllowedPeers>> {
    let mut behaviour = allow_block_list::Behaviour::<AllowedPeers>::default();
    for peer in allowed {
        behaviour.allow_peer(*peer);
    }
    (!allowed.is_empty()).then_some(behaviour)
}

/// Kademlia with records that pass through our checks before they are kept,
/// and as a server from the start: nodes on loopback and in private networks
/// have no confirmed public address.
fn kademlia(keypair: &Keypair, providers: Arc<ProviderRecords>) -> kad::Behaviour<BoundedStore> {
    let local = keypair.public().to_peer_id();
    let mut config = kad::Config::new(KAD_PROTOCOL);
    config
        .set_record_filtering(kad::StoreInserts::FilterBoth)
        .set_record_ttl(Some(RECORD_TTL))
        .set_provider_record_ttl(Some(RECORD_TTL))
        .set_publication_interval(None)
        .set_provider_publication_interval(None)
        // The runner does it, where there is a peer to do it with.
        .set_periodic_bootstrap_interval(None)
        .set_caching(kad::Caching::Disabled)
        .set_parallelism(PARALLELISM)
        // As many paths as questions at a time: one liar does not spoil all.
        .disjoint_query_paths(true)
        // The runner does it, and not too many of one network.
        .set_kbucket_inserts(kad::BucketInserts::Manual)
        .set_query_timeout(QUERY_TIMEOUT)
        .set_substreams_timeout(STEP_TIMEOUT);
    let store = BoundedStore::new(local, RecordLimits::default(), providers);
    let mut kademlia = kad::Behaviour::with_config(local, store, config);
    kademlia.set_mode(Some(kad::Mode::Server));
    kademlia
}
