//! A node of an earlier version and one of this work together, on one network and on one
//! data directory.
//!
//! The step `previous` of `.ci/run` builds the earlier one; `PREVIOUS_NODE` names it.

use std::path::PathBuf;

use reqwest::{Method, StatusCode};
use serde_json::Value;
use tempfile::{TempDir, tempdir};

use crate::support::{
    Devnet, FUNDED_KEYS, Node, NodeSetup, bytes,
    copies::{have_copies, watchful},
    data_hash, eventually,
    http::answer,
};

/// More than one chunk.
const SIZE: usize = 600_000;

fn previous_node() -> PathBuf {
    let path = std::env::var_os("PREVIOUS_NODE");
    path.expect("PREVIOUS_NODE names the dm-node of an earlier version")
        .into()
}

/// Two nodes of each version, all connected. Objects have two copies besides their owner's.
struct Mixed {
    old: Node,
    new: Node,
    old_replica: Node,
    new_replica: Node,
    _chain: Devnet,
    _homes: [TempDir; 5],
}

impl Mixed {
    async fn start() -> Self {
        let homes = [(); 5].map(|()| tempdir().unwrap());
        let chain = Devnet::start(homes[4].path()).await;
        let setup = |node: usize| watchful(&homes[node], &chain, FUNDED_KEYS[node]);
        let previous = previous_node();
        let old = setup(0).binary(&previous).start().await;
        let new = setup(1).peer(&old).start().await;
        let old_replica = setup(2).binary(&previous).peer(&new).peer(&old).start().await;
        let new_replica = setup(3).peer(&new).peer(&old).start().await;
        for node in [&old, &new, &old_replica, &new_replica] {
            node.has_peers(3).await;
        }
        Self {
            old,
            new,
            old_replica,
            new_replica,
            _chain: chain,
            _homes: homes,
        }
    }
}

/// Shares and has the recipient read and verify.
async fn shares(owner: &Node, recipient: &Node, seed: u64) -> String {
    let data = bytes(SIZE, seed);
    let (status, answer) = owner.put(data.clone(), recipient.address()).await;
    assert!(status.is_success(), "{answer}");
    let hash = data_hash(&data);
    assert!(recipient.reads(&hash).await == data);
    recipient.verifies(&hash).await;
    hash
}

async fn erases(owner: &Node, others: &[&Node], hash: &str) {
    let (status, erased) = answer(owner.request(Method::DELETE, &format!("/data/{hash}"))).await;
    assert_eq!(status, StatusCode::OK, "{erased}");
    for node in others {
        eventually("the node has heard of the erasure", || async {
            (node.object(hash).await.0 == StatusCode::NOT_FOUND).then_some(())
        })
        .await;
    }
}

/// Neither version holds anything against the other.
async fn respects_all(node: &Node) {
    let (_, peers) = node.get("/network/peers").await;
    for peer in peers["peers"].as_array().unwrap() {
        let standing = [&peer["score"], &peer["last_offence"], &peer["banned_until"]];
        assert_eq!(standing, [&Value::from(0), &Value::Null, &Value::Null], "{peer}");
    }
}

#[tokio::test]
#[ignore = "needs the binary of an earlier version: .ci/run previous"]
async fn nodes_of_two_versions_share_read_repair_and_erase_side_by_side() {
    let mixed = Mixed::start().await;
    let (old, new) = (&mixed.old, &mixed.new);
    let hashes = [shares(old, new, 1).await, shares(new, old, 2).await];
    let all = [old, new, &mixed.old_replica, &mixed.new_replica];
    have_copies(all, &hashes, 3).await;

    // What a replica of either version had comes again on those that are left.
    mixed.old_replica.kill().await;
    let left = [old, new, &mixed.new_replica];
    have_copies(left, &hashes, 3).await;

    for node in left {
        respects_all(node).await;
    }
    erases(old, &left, &hashes[0]).await;
    erases(new, &left, &hashes[1]).await;
}

#[tokio::test]
#[ignore = "needs the binary of an earlier version: .ci/run previous"]
async fn this_version_goes_on_with_the_data_directory_of_an_earlier_one() {
    let homes = [tempdir().unwrap(), tempdir().unwrap()];
    let chain = Devnet::start(homes[0].path()).await;
    let setup = NodeSetup::new(homes[1].path()).on_chain(&chain.url, FUNDED_KEYS[0]);
    let old = setup.binary(&previous_node()).start().await;
    let before: Vec<Vec<u8>> = [10, 2000, SIZE].map(|size| bytes(size, size as u64)).into();
    for data in &before {
        let (status, answer) = old.put(data.clone(), old.address()).await;
        assert!(status.is_success(), "{answer}");
    }
    let (mut setup, status, errors) = old.stop().await;
    assert!(status.success(), "{errors}");

    setup.binary = None;
    let new = setup.start().await;
    for data in &before {
        let hash = data_hash(data);
        assert!(new.reads(&hash).await == *data);
        new.verifies(&hash).await;
    }
    let after = new.must_share("said later", new.address()).await;
    assert_eq!(new.reads(&after).await, b"said later");
}
