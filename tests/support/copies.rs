//! Who holds what.

use std::time::Duration;

use reqwest::StatusCode;
use tempfile::TempDir;

use super::{Devnet, Node, NodeSetup};

/// Far longer than anything takes: only a test that fails waits for it.
const PATIENCE: Duration = Duration::from_secs(180);

/// A node that looks after its copies every few seconds, not every few hours.
pub(crate) fn watchful(home: &TempDir, chain: &Devnet, key: &str) -> NodeSetup {
    NodeSetup::new(home.path())
        .on_chain(&chain.url, key)
        .env("DM_NETWORK__REPLICATION_FACTOR", "2")
        .env("DM_NETWORK__HEALTH_CHECK_INTERVAL_SECS", "1")
        .env("DM_NETWORK__PEER_EXCHANGE_INTERVAL_SECS", "2")
        .env("DM_NETWORK__CHALLENGE_INTERVAL_SECS", "5")
        .env("DM_NETWORK__REPAIR_GRACE_SECS", "1")
}

/// How many of these nodes store the object.
pub(crate) async fn copies<'a>(nodes: impl IntoIterator<Item = &'a Node>, hash: &str) -> usize {
    let mut copies = 0;
    for node in nodes {
        let (status, _) = node.get(&format!("/network/objects/{hash}")).await;
        copies += usize::from(status == StatusCode::OK);
    }
    copies
}

/// Waits until so many of these nodes store each of the objects.
pub(crate) async fn have_copies<'a>(
    nodes: impl IntoIterator<Item = &'a Node> + Clone,
    hashes: &[String],
    wanted: usize,
) {
    let wait = async {
        for hash in hashes {
            while copies(nodes.clone(), hash).await < wanted {
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        }
    };
    let waited = tokio::time::timeout(PATIENCE, wait).await;
    waited.expect("every object has its copies in time");
}
