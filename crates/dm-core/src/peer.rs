//! What the node knows of other nodes and of its traffic.

use serde::{Deserialize, Serialize};

/// A line of the peer book.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerRecord {
    /// libp2p peer id in its text form.
    pub peer_id: String,
    /// Multiaddrs under which it was reached or which it announced.
    pub addresses: Vec<String>,
    /// When it was first met, in milliseconds since the Unix epoch.
    pub first_seen: u64,
    /// When it last answered, in milliseconds since the Unix epoch.
    pub last_seen: u64,
    /// Last round-trip time in milliseconds.
    pub latency_ms: Option<u32>,
    /// Exchanges that went well.
    pub successes: u64,
    /// Exchanges that failed.
    pub failures: u64,
}

impl PeerRecord {
    /// How long after its last answer a peer counts as healthy, in milliseconds.
    pub const HEALTHY_FOR: u64 = 5 * 60 * 1000;

    /// Whether the peer answered in the last five minutes and more than half
    /// of its exchanges went well (or there were fewer than three).
    pub fn is_healthy(&self, now: u64) -> bool {
        let attempts = self.successes + self.failures;
        now.saturating_sub(self.last_seen) < Self::HEALTHY_FOR
            && (attempts < 3 || self.successes * 2 > attempts)
    }
}

/// A peer as the interface shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerStatus {
    /// The peer book's line.
    #[serde(flatten)]
    pub record: PeerRecord,
    /// Whether there is a connection now.
    pub connected: bool,
    /// See [`PeerRecord::is_healthy`]; never while it is banned.
    pub healthy: bool,
    /// What it is held to have done.
    #[serde(flatten)]
    pub standing: PeerStanding,
}

/// What is held against a peer.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerStanding {
    /// Points of what is not forgotten yet; none for a peer that did no harm.
    pub score: u32,
    /// What it was last scored for.
    pub last_offence: Option<String>,
    /// Until when it is neither asked nor answered, in milliseconds since the
    /// Unix epoch.
    pub banned_until: Option<u64>,
}

/// Totals of the network layer.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct NetworkStats {
    /// Peers in the peer book.
    pub total_peers: u64,
    /// Those that are healthy.
    pub healthy_peers: u64,
    /// Those that are connected.
    pub active_peers: u64,
    /// Peers given by the configuration.
    pub bootstrap_nodes: u64,
    /// Bytes sent since the start.
    pub data_sent: u64,
    /// Bytes received since the start.
    pub data_received: u64,
    /// Seconds since the start.
    pub uptime: u64,
    /// Mean of the connected peers' round-trip times in milliseconds.
    pub avg_latency_ms: Option<f64>,
    /// Messages, envelopes and records since the start that peers sent in a later version
    /// than this node knows; they were passed over.
    pub not_understood: u64,
}
