//! Judges the peer-to-peer network by whether it runs and reaches anybody.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use dm_core::{
    clock::now_ms,
    health::{Finding, Trouble},
    ports::{HealthCheck, NetworkStatus},
};

/// For how long a node may reach none of the peers that it knows, in milliseconds.
const ALONE_PATIENCE: u64 = 10 * 60 * 1000;

/// The part `network`. A node that knows no peers is not alone.
pub struct NetworkHealth {
    network: Arc<dyn NetworkStatus>,
    /// Since when no known peer is connected, in milliseconds since the Unix epoch.
    alone_since: Mutex<Option<u64>>,
}

impl NetworkHealth {
    /// Judges this network.
    pub fn new(network: Arc<dyn NetworkStatus>) -> Self {
        Self {
            network,
            alone_since: Mutex::default(),
        }
    }

    fn judge(&self, now: u64) -> Finding {
        if !self.network.is_running() {
            let reason =
                "the peer-to-peer network has stopped: nothing is copied to peers or fetched from them";
            return Finding::Degraded(Trouble::new(reason, "restart the node, and look at its log"));
        }
        let stats = self.network.stats();
        let is_alone = stats.total_peers > 0 && stats.active_peers == 0;
        let mut alone_since = self.alone_since.lock().unwrap_or_else(PoisonError::into_inner);
        *alone_since = is_alone.then(|| alone_since.unwrap_or(now));
        match *alone_since {
            Some(since) if now.saturating_sub(since) > ALONE_PATIENCE => Finding::Degraded(
                Trouble::new(
                    format!("none of the {} known peers is connected", stats.total_peers),
                    "look at the way of this machine to the network, at p2p_port and at initial_peers",
                )
                .since(since),
            ),
            _ => Finding::Working,
        }
    }
}

#[async_trait]
impl HealthCheck for NetworkHealth {
    fn part(&self) -> &'static str {
        "network"
    }

    async fn check(&self) -> Finding {
        self.judge(now_ms())
    }
}

#[cfg(test)]
mod tests {
    use dm_core::peer::{NetworkStats, PeerStatus};

    use super::*;

    struct Peers {
        runs: bool,
        connected: Mutex<u64>,
    }

    impl NetworkStatus for Peers {
        fn peers(&self) -> Vec<PeerStatus> {
            Vec::new()
        }

        fn stats(&self) -> NetworkStats {
            NetworkStats {
                total_peers: 3,
                active_peers: *self.connected.lock().unwrap(),
                ..NetworkStats::default()
            }
        }

        fn local_peer_id(&self) -> String {
            String::new()
        }

        fn listen_addresses(&self) -> Vec<String> {
            Vec::new()
        }

        fn is_running(&self) -> bool {
            self.runs
        }
    }

    fn peers(runs: bool) -> Arc<Peers> {
        Arc::new(Peers {
            runs,
            connected: Mutex::new(0),
        })
    }

    #[test]
    fn a_node_that_has_reached_nobody_for_long_says_since_when() {
        let network = peers(true);
        let health = NetworkHealth::new(network.clone());
        assert_eq!(health.judge(1000), Finding::Working);
        assert_eq!(health.judge(1000 + ALONE_PATIENCE), Finding::Working);
        let Finding::Degraded(trouble) = health.judge(1001 + ALONE_PATIENCE) else {
            panic!("it is alone");
        };
        assert_eq!(trouble.since, Some(1000));
        *network.connected.lock().unwrap() = 1;
        assert_eq!(health.judge(2000 + ALONE_PATIENCE), Finding::Working);
        *network.connected.lock().unwrap() = 0;
        assert_eq!(health.judge(3000 + ALONE_PATIENCE), Finding::Working);
    }

    #[test]
    fn a_network_that_has_stopped_is_told() {
        let stopped = NetworkHealth::new(peers(false)).judge(1);
        assert!(matches!(&stopped, Finding::Degraded(trouble) if trouble.reason.contains("has stopped")));
    }
}
