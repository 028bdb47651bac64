//! With a list of allowed peers nobody else gets in.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::{sync::Arc, time::Duration};

use common::{Node, options, start, start_plain};
use dm_core::{
    bus::EventBus,
    ports::Network,
    tasks::Supervisor,
    testing::{catalog::MemoryCatalog, objects::MemoryObjectStore},
};
use dm_p2p::{Identity, P2p, P2pError};

async fn private(initial_peers: Vec<String>, allowed: &[&Node]) -> Node {
    let mut options = options(Identity::generate(), initial_peers);
    options.network.allowed_peers = allowed.iter().map(|node| node.p2p.local_peer_id()).collect();
    start(
        options,
        Arc::new(MemoryObjectStore::new()),
        Arc::new(MemoryCatalog::new()),
    )
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stranger_does_not_get_in_and_is_not_dialled() {
    let (friend, stranger) = (start_plain(Vec::new()).await, start_plain(Vec::new()).await);
    let known = vec![friend.address(), stranger.address()];
    let node = private(known, &[&friend]).await;
    node.knows_peers(1).await;
    // It dials, and is turned away.
    let intruder = start_plain(vec![node.address()]).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let peers = node.p2p.peers();
    let connected: Vec<&str> = peers
        .iter()
        .filter(|peer| peer.connected)
        .map(|peer| peer.record.peer_id.as_str())
        .collect();
    assert_eq!(connected, [friend.p2p.local_peer_id()]);
    assert_eq!(intruder.p2p.stats().active_peers, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_on_the_list_that_is_no_peer_is_an_error_of_the_start() {
    let mut options = options(Identity::generate(), Vec::new());
    options.network.allowed_peers = vec!["nobody".to_owned()];
    let supervisor = Supervisor::new();
    let started = P2p::start(
        options,
        Arc::new(MemoryObjectStore::new()),
        Arc::new(MemoryCatalog::new()),
        EventBus::new(),
        &supervisor,
    );
    let error = started.await.err().unwrap();
    assert!(matches!(error, P2pError::AllowedPeer(_)), "{error}");
    assert!(error.to_string().contains("nobody"));
}
