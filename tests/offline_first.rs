//! What is done without peers, or on one side of a split network, is made good
//! when the nodes meet.

use reqwest::StatusCode;
use tempfile::{TempDir, tempdir};

use crate::support::{
    Devnet, FUNDED_KEYS, Node, NodeSetup, SOMEBODY, bytes,
    copies::{have_copies, watchful},
    data_hash,
};

/// Shares an object; its hash.
async fn put(node: &Node, seed: u64, recipient: &str) -> String {
    let data = bytes(50_000, seed);
    let (status, answer) = node.put(data.clone(), recipient).await;
    assert!(
        status == StatusCode::CREATED || status == StatusCode::ACCEPTED,
        "{status} {answer}"
    );
    data_hash(&data)
}

#[tokio::test]
async fn a_share_made_with_no_peer_is_distributed_when_one_appears() {
    let (chain_home, owner_home, peer_home) = (tempdir().unwrap(), tempdir().unwrap(), tempdir().unwrap());
    let chain = Devnet::start(chain_home.path()).await;
    let owner = watchful(&owner_home, &chain, FUNDED_KEYS[0]).start().await;
    let hashes = vec![put(&owner, 1, SOMEBODY).await, put(&owner, 2, SOMEBODY).await];
    let peer = watchful(&peer_home, &chain, FUNDED_KEYS[1])
        .peer(&owner)
        .start()
        .await;
    have_copies([&peer], &hashes, 1).await;
}

#[tokio::test]
async fn a_node_that_was_away_catches_up() {
    let (chain_home, owner_home, away_home) = (tempdir().unwrap(), tempdir().unwrap(), tempdir().unwrap());
    let chain = Devnet::start(chain_home.path()).await;
    let owner = watchful(&owner_home, &chain, FUNDED_KEYS[0]).start().await;
    let away = watchful(&away_home, &chain, FUNDED_KEYS[1])
        .peer(&owner)
        .start()
        .await;
    owner.has_peers(1).await;
    let address = away.address().to_owned();
    let mut hashes = vec![put(&owner, 1, &address).await];
    have_copies([&away], &hashes, 1).await;
    let setup = away.kill().await;
    // New objects, and an old one of which it holds an envelope without the
    // newest grant.
    for seed in 2..5 {
        hashes.push(put(&owner, seed, &address).await);
    }
    put(&owner, 1, SOMEBODY).await;
    let back = setup.start().await;
    have_copies([&back], &hashes, 1).await;
    for (seed, hash) in (1..).zip(&hashes) {
        assert!(back.reads(hash).await == bytes(50_000, seed), "{hash}");
    }
}

#[tokio::test]
async fn two_halves_of_a_split_network_converge_after_they_meet() {
    let chain_home = tempdir().unwrap();
    let chain = Devnet::start(chain_home.path()).await;
    let homes: Vec<TempDir> = FUNDED_KEYS.iter().map(|_| tempdir().unwrap()).collect();
    let half = |index: usize| -> NodeSetup { watchful(&homes[index], &chain, FUNDED_KEYS[index]) };
    let left = half(0).start().await;
    let left_replica = half(1).peer(&left).start().await;
    let right = half(2).start().await;
    let right_replica = half(3).peer(&right).start().await;
    left.has_peers(1).await;
    right.has_peers(1).await;
    // Each side shares with the other, whose key it cannot know yet.
    let from_left = put(&left, 1, right.address()).await;
    let from_right = put(&right, 2, left.address()).await;
    have_copies([&left_replica], std::slice::from_ref(&from_left), 1).await;
    have_copies([&right_replica], std::slice::from_ref(&from_right), 1).await;
    let (status, _) = right.object(&from_left).await;
    assert_eq!(status, StatusCode::NOT_FOUND);

    // A node that knows both sides is enough for them to meet.
    let bridge = half(4).peer(&left).peer(&right).start().await;
    for node in [&left, &left_replica, &right, &right_replica, &bridge] {
        node.has_peers(4).await;
    }
    // The owner and two others.
    let everybody = [&left, &left_replica, &right, &right_replica, &bridge];
    have_copies(everybody, &[from_left.clone(), from_right.clone()], 3).await;
    assert!(right.reads(&from_left).await == bytes(50_000, 1));
    assert!(left.reads(&from_right).await == bytes(50_000, 2));
}
