//! Who holds what.

use std::time::Duration;

use reqwest::StatusCode;
use tempfile::TempDir;

use super::{Devnet, Node, NodeSetup};

/// Far longer than anything takes: only a test that fails waits for it.
const PATIENCE: Duration = Duration::from_secs(120);

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

/// A node on a chain of its own that challenges holders and repairs within seconds.
pub(crate) fn quick(home: &TempDir) -> NodeSetup {
    NodeSetup::new(home.path())
        .env("DM_NETWORK__CHALLENGE_INTERVAL_SECS", "2")
        .env("DM_NETWORK__REPAIR_GRACE_SECS", "1")
}

/// Which version of the object a node has: the sequence number of its envelope.
pub(crate) async fn held_version(node: &Node, hash: &str) -> Option<u64> {
    let (_, held) = node.get(&format!("/network/objects/{hash}")).await;
    held["objects"][0]["sequence"].as_u64()
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
    if tokio::time::timeout(PATIENCE, wait).await.is_ok() {
        return;
    }
    let mut missing = String::new();
    for hash in hashes {
        if copies(nodes.clone(), hash).await < wanted {
            missing.push_str(&describe(nodes.clone(), hash).await);
        }
    }
    panic!("objects do not get their copies in time:{missing}");
}

/// What each node knows of the copies of an object.
async fn describe<'a>(nodes: impl IntoIterator<Item = &'a Node>, hash: &str) -> String {
    let mut text = format!("\n{hash}");
    for node in nodes {
        let (_, held) = node.get(&format!("/network/objects/{hash}")).await;
        let peer = node.started.p2p[0].rsplit('/').next().unwrap_or_default();
        text.push_str(&format!("\n  {peer}: {held}"));
    }
    text
}
