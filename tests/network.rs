//! What was shared outlives the machines that hold it.

use std::time::Duration;

use reqwest::StatusCode;
use tempfile::{TempDir, tempdir};

use crate::support::{Devnet, FUNDED_KEYS, Node, NodeSetup, bytes, data_hash};

/// Far longer than anything takes: only a test that fails waits for it.
const PATIENCE: Duration = Duration::from_secs(120);

fn setup(home: &TempDir, chain: &Devnet, key: &str) -> NodeSetup {
    NodeSetup::new(home.path())
        .on_chain(&chain.url, key)
        .env("DM_NETWORK__REPLICATION_FACTOR", "2")
        .env("DM_NETWORK__HEALTH_CHECK_INTERVAL_SECS", "1")
        .env("DM_NETWORK__PEER_EXCHANGE_INTERVAL_SECS", "2")
        .env("DM_NETWORK__CHALLENGE_INTERVAL_SECS", "5")
        .env("DM_NETWORK__REPAIR_GRACE_SECS", "1")
}

/// How many of these nodes store the object.
async fn copies(nodes: &[Node], hash: &str) -> usize {
    let mut copies = 0;
    for node in nodes {
        let (status, _) = node.get(&format!("/network/objects/{hash}")).await;
        copies += usize::from(status == StatusCode::OK);
    }
    copies
}

async fn have_copies(nodes: &[Node], hashes: &[String], wanted: usize) {
    let wait = async {
        for hash in hashes {
            while copies(nodes, hash).await < wanted {
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        }
    };
    let waited = tokio::time::timeout(PATIENCE, wait).await;
    waited.expect("every object has its copies in time");
}

#[tokio::test]
async fn nothing_is_lost_when_holders_are_killed_and_replaced_by_empty_nodes() {
    let chain_home = tempdir().unwrap();
    let chain = Devnet::start(chain_home.path()).await;
    let homes: Vec<TempDir> = FUNDED_KEYS.iter().map(|_| tempdir().unwrap()).collect();
    let home_of_the_last = tempdir().unwrap();
    let owner = setup(&homes[0], &chain, FUNDED_KEYS[0]).start().await;
    // The recipient keeps nothing for others, nor what it reads.
    let recipient = setup(&homes[1], &chain, FUNDED_KEYS[1])
        .env("DM_NETWORK__MAX_FOREIGN_BYTES", "1")
        .peer(&owner)
        .start()
        .await;
    let mut replicas = Vec::new();
    for (home, key) in homes.iter().zip(FUNDED_KEYS).skip(2).take(3) {
        replicas.push(setup(home, &chain, key).peer(&owner).start().await);
    }
    owner.has_peers(4).await;

    let data: Vec<Vec<u8>> = (0..6)
        .map(|seed| bytes(40_000 + 100_000 * seed, seed as u64))
        .collect();
    let hashes: Vec<String> = data.iter().map(|data| data_hash(data)).collect();
    for data in &data {
        let (status, answer) = owner.put(data.clone(), recipient.address()).await;
        assert_eq!(status, StatusCode::CREATED, "{answer}");
    }
    have_copies(&replicas, &hashes, 2).await;
    let (_, shown) = owner.get(&format!("/network/objects/{}", hashes[0])).await;
    assert_eq!(shown["objects"][0]["own"], true, "{shown}");
    assert_eq!(shown["objects"][0]["wanted"], 2, "{shown}");

    // The owner is lost for good, and then one replica after the other.
    owner.kill().await;
    for (home, key) in [(&homes[5], FUNDED_KEYS[5]), (&home_of_the_last, FUNDED_KEYS[2])] {
        replicas.remove(0).kill().await;
        let empty = setup(home, &chain, key).peer(&replicas[0]).start().await;
        replicas.push(empty);
        have_copies(&replicas, &hashes, 2).await;
    }
    for (hash, data) in hashes.iter().zip(&data) {
        assert!(recipient.reads(hash).await == *data, "{hash}");
    }
    assert_eq!(copies(&[recipient], &hashes[0]).await, 0);
}
