use std::{net::IpAddr, path::PathBuf};

use serde::Deserialize;

/// The peer-to-peer network.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NetworkConfig {
    /// Interface for TCP and QUIC.
    pub host: IpAddr,
    /// Further interfaces: `::` beside `0.0.0.0` for IPv6 and IPv4.
    pub more_hosts: Vec<IpAddr>,
    /// Peers that shall hold a copy of each object.
    pub replication_factor: u32,
    /// Most connections: half of them incoming, half of them outgoing.
    pub max_connections: u32,
    /// Most connections with one peer. The newest stand.
    pub max_connections_per_peer: u32,
    /// Most connections with one address, that is one IPv4 address or one IPv6
    /// /64; incoming and outgoing ones count apart.
    pub max_connections_per_address: u32,
    /// Most connections with one public network, that is one IPv4 /24 or one
    /// IPv6 /48; incoming and outgoing ones count apart.
    pub max_connections_per_network: u32,
    /// Connections that are accepted from one address in a second for long, and
    /// four times as many at once.
    pub address_connections_per_sec: u32,
    /// Process memory in bytes above which peers that have proven nothing get
    /// no new connection. Outgoing connections are not affected.
    pub max_memory: u64,
    /// Bytes of other nodes' objects that this node keeps as their replica.
    pub max_foreign_bytes: u64,
    /// Largest single object in bytes that this node keeps for others.
    pub max_foreign_object: u64,
    /// Seconds that one exchange with a peer may take before it counts as failed.
    pub request_timeout_secs: u64,
    /// Seconds between two attempts to complete pending work: grants for
    /// recipients that were unknown, copies that are missing.
    pub retry_interval_secs: u64,
    /// Seconds between two announcements of this node's address record.
    pub announce_interval_secs: u64,
    /// Seconds between two checks whether a peer is still there.
    pub health_check_interval_secs: u64,
    /// Seconds between two times that a peer is asked for further peers.
    pub peer_exchange_interval_secs: u64,
    /// Connected peers below which the node looks for more with all it knows.
    pub min_peers: u32,
    /// Whether the node listens; one that does not is reached through relays
    /// and over the connections that it opens itself.
    pub listen: bool,
    /// Multiaddrs under which this node is reached from outside, where it
    /// cannot see them itself: those of a router that forwards a port.
    pub external_addresses: Vec<String>,
    /// Whether this node and its peers test for each other whether they can be
    /// reached from outside (AutoNAT).
    pub autonat: bool,
    /// Whether the router is asked to forward the port (UPnP).
    pub upnp: bool,
    /// Whether nodes on the local network are found by multicast (mDNS).
    pub mdns: bool,
    /// Relays to be reached through, as multiaddrs with their peer ids. Where
    /// there are none, a node that cannot be reached takes relays among its peers.
    pub relays: Vec<String>,
    /// Whether nodes that cannot be reached are reached through this one.
    pub relay_server: bool,
    /// Connections that this node relays at the same time.
    pub relay_max_circuits: u32,
    /// Bytes that are relayed on one connection before it is cut.
    pub relay_circuit_bytes: u64,
    /// Whether the node only introduces others to each other: it serves the
    /// DHT and keeps no objects.
    pub bootstrap_only: bool,
    /// Peer ids that may connect and are dialled; empty means everybody.
    pub allowed_peers: Vec<String>,
    /// File with the key that all nodes of a private network have in common,
    /// in the form of go-libp2p's `swarm.key`. Turns QUIC off.
    pub swarm_key_file: Option<PathBuf>,
    /// Requests that a peer may make in a second for long; more are slowed down.
    pub peer_requests_per_sec: u32,
    /// Requests that a peer may make at once.
    pub peer_requests_burst: u32,
    /// Seconds for which a peer that misbehaves is ignored.
    pub ban_secs: u64,
    /// Seconds after which a peer that is away and mostly failed is forgotten.
    pub forget_peers_after_secs: u64,
    /// Seconds between two challenges of a peer to prove that it has an object.
    pub challenge_interval_secs: u64,
    /// Seconds that a holder may be away before another copy is made; fewer
    /// where fewer copies are left, and none for the last.
    pub repair_grace_secs: u64,
    /// Bytes of copies that repair makes in a second.
    pub repair_bytes_per_sec: u64,
    /// Challenges of repair in a second.
    pub challenges_per_sec: u64,
    /// Seconds for which it is kept that an object was erased: a copy that was
    /// away for longer may come back where no newer envelope is known.
    pub keep_tombstones_secs: u64,
}

impl NetworkConfig {
    /// Most connections in one direction: neither takes the room of the other.
    pub fn max_connections_each_way(&self) -> u32 {
        (self.max_connections / 2).max(1)
    }
}

impl Default for NetworkConfig {
    fn default() -> Self {
        Self {
            host: IpAddr::from([0, 0, 0, 0]),
            more_hosts: Vec::new(),
            replication_factor: 3,
            max_connections: 256,
            max_connections_per_peer: 2,
            max_connections_per_address: 64,
            max_connections_per_network: 96,
            address_connections_per_sec: 32,
            max_memory: 2 << 30,
            max_foreign_bytes: 100 << 30,
            max_foreign_object: 10 << 30,
            request_timeout_secs: 20,
            retry_interval_secs: 15,
            announce_interval_secs: 600,
            health_check_interval_secs: 60,
            peer_exchange_interval_secs: 120,
            min_peers: 3,
            listen: true,
            external_addresses: Vec::new(),
            autonat: true,
            upnp: false,
            mdns: false,
            relays: Vec::new(),
            relay_server: false,
            relay_max_circuits: 64,
            relay_circuit_bytes: 1 << 30,
            bootstrap_only: false,
            allowed_peers: Vec::new(),
            swarm_key_file: None,
            peer_requests_per_sec: 1000,
            peer_requests_burst: 4000,
            ban_secs: 600,
            forget_peers_after_secs: 24 * 60 * 60,
            challenge_interval_secs: 6 * 60 * 60,
            repair_grace_secs: 120,
            repair_bytes_per_sec: 32 << 20,
            challenges_per_sec: 50,
            keep_tombstones_secs: 90 * 24 * 60 * 60,
        }
    }
}
