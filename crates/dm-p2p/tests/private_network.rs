//! With a list of allowed peers, or with a key, nobody else gets in.

use std::{collections::HashSet, path::PathBuf, pin::pin};

use dm_core::{news::News, ports::NetworkStatus};
use dm_p2p::{Identity, P2pError};
use dm_testing::{
    objects::SampleObject,
    waiting::{PATIENCE, eventually},
};
use futures::StreamExt;
use libp2p::{Multiaddr, swarm::SwarmEvent};

use crate::common::{Node, config, fault_of_start, script, start_changed, start_plain};

async fn private(initial_peers: Vec<String>, allowed: &[&Node]) -> Node {
    let allowed = allowed.iter().map(|node| node.p2p.local_peer_id()).collect();
    start_changed(initial_peers, |network| network.allowed_peers = allowed).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stranger_does_not_get_in_and_is_not_dialled() {
    let (friend, stranger) = (start_plain(Vec::new()).await, start_plain(Vec::new()).await);
    let known = vec![friend.address(), stranger.address()];
    let node = private(known, &[&friend]).await;
    node.knows_peers(1).await;
    for _ in 0..3 {
        hangs_up_on_strangers(&node.address()).await;
    }
    let met = |node: &Node| -> HashSet<String> {
        let events = node.bus.history(usize::MAX).into_iter();
        events
            .filter_map(|event| match event.news {
                News::PeerConnected { peer_id } => Some(peer_id),
                _ => None,
            })
            .collect()
    };
    assert_eq!(met(&node), HashSet::from([friend.p2p.local_peer_id()]));
    assert_eq!(met(&stranger), HashSet::new());
}

/// Dials as somebody who is not on the list. A stranger may learn who the node
/// is, and so have a connection for a moment; it returns once that is gone.
async fn hangs_up_on_strangers(node: &str) {
    let mut swarm = script::swarm();
    swarm.dial(node.parse::<Multiaddr>().unwrap()).unwrap();
    let end = swarm.filter(|event| {
        let is_end = matches!(
            event,
            SwarmEvent::ConnectionClosed { .. } | SwarmEvent::OutgoingConnectionError { .. }
        );
        std::future::ready(is_end)
    });
    let end = tokio::time::timeout(PATIENCE, pin!(end).next()).await;
    assert!(end.is_ok(), "the stranger is still connected");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_on_the_list_that_is_no_peer_is_an_error_of_the_start() {
    let mut config = config(Identity::generate(), Vec::new());
    config.network.allowed_peers = vec!["nobody".to_owned()];
    let error = fault_of_start(config).await;
    assert!(matches!(error, P2pError::Config(_)), "{error}");
    assert!(error.to_string().contains("nobody"));
}

/// A file with a swarm key that consists of this byte.
fn key_file(dir: &tempfile::TempDir, byte: u8) -> PathBuf {
    let path = dir.path().join(format!("{byte}.key"));
    let digits = format!("{byte:02x}").repeat(32);
    std::fs::write(&path, format!("/key/swarm/psk/1.0.0/\n/base16/\n{digits}\n")).unwrap();
    path
}

async fn with_key(file: PathBuf, initial_peers: Vec<String>) -> Node {
    start_changed(initial_peers, |network| network.swarm_key_file = Some(file)).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_with_one_key_share_objects() {
    let dir = tempfile::tempdir().unwrap();
    let holder = with_key(key_file(&dir, 7), Vec::new()).await;
    let object = SampleObject::new(1, 7, 300_000);
    object.store_in(&*holder.store).await.unwrap();
    let reader = with_key(key_file(&dir, 7), vec![holder.host_and_port()]).await;
    reader.has_active_peers(1).await;
    reader.reads(&object).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_key_nobody_gets_a_connection() {
    let dir = tempfile::tempdir().unwrap();
    let member = with_key(key_file(&dir, 7), Vec::new()).await;
    let without = start_plain(vec![member.host_and_port()]).await;
    let with_another = with_key(key_file(&dir, 8), vec![member.host_and_port()]).await;
    assert!(is_turned_away(&member.address()).await);
    // A member that comes last: by then the others have been turned away.
    let other = with_key(key_file(&dir, 7), vec![member.host_and_port()]).await;
    other.has_active_peers(1).await;
    eventually("the member knows one peer", async || {
        (member.p2p.peers().len() == 1).then_some(())
    })
    .await;
    for outsider in [&without, &with_another] {
        assert_eq!(outsider.p2p.stats().total_peers, 0);
    }
}

/// Whether a dial by somebody without the key fails.
async fn is_turned_away(member: &str) -> bool {
    let mut swarm = script::swarm();
    swarm.dial(member.parse::<Multiaddr>().unwrap()).unwrap();
    loop {
        match swarm.select_next_some().await {
            SwarmEvent::ConnectionEstablished { .. } => return false,
            SwarmEvent::OutgoingConnectionError { .. } => return true,
            _ => {}
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_a_key_a_node_listens_on_tcp_alone() {
    let dir = tempfile::tempdir().unwrap();
    let node = with_key(key_file(&dir, 7), Vec::new()).await;
    let addresses = node.p2p.listen_addresses();
    assert!(!addresses.is_empty() && addresses.iter().all(|address| address.contains("/tcp/")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_key_file_and_quic_beside_a_key_are_errors_of_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let damaged = dir.path().join("damaged.key");
    std::fs::write(&damaged, "/key/swarm/psk/1.0.0/\n/base16/\nabc\n").unwrap();
    let quic = vec!["/ip4/127.0.0.1/udp/9000/quic-v1".to_owned()];
    for (file, initial_peers, expected) in [
        (damaged, Vec::new(), "network.swarm_key_file: "),
        (key_file(&dir, 7), quic, "initial_peers: "),
    ] {
        let mut config = config(Identity::generate(), initial_peers);
        config.network.swarm_key_file = Some(file);
        let error = fault_of_start(config).await.to_string();
        assert!(error.starts_with(expected) && !error.contains("abc"), "{error}");
    }
}
