//! Starting, stopping, and finding each other again.

use std::sync::Arc;

use dm_core::{
    news::News,
    ports::{NetworkError, NetworkStatus, ObjectExchange, PeerCatalog},
    trace::Trace,
};
use dm_p2p::{Identity, P2pError};
use dm_testing::{
    catalog::MemoryCatalog,
    objects::{MemoryObjectStore, SampleObject},
    waiting::eventually,
};

use crate::common::{Node, config, fault_of_start, start, start_changed, start_empty, start_plain};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_form_of_initial_peer_connects() {
    let first = start_plain(Vec::new()).await;
    let without_id = first.address().rsplit_once("/p2p/").unwrap().0.to_owned();
    let quic = first
        .p2p
        .listen_addresses()
        .into_iter()
        .find(|address| address.contains("quic-v1"))
        .unwrap();
    let forms = [
        first.address(),
        without_id,
        quic,
        first.host_and_port(),
        format!("http://{}", first.host_and_port()),
    ];
    for form in forms {
        let node = start_plain(vec![form.clone()]).await;
        node.knows_peers(1).await;
        assert_eq!(
            node.p2p.peers()[0].record.peer_id,
            first.p2p.local_peer_id(),
            "{form}"
        );
        node.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_initial_peer_is_named_and_nothing_starts() {
    let peers = vec!["127.0.0.1:9000".into(), "no peer".into()];
    let error = fault_of_start(config(Identity::generate(), peers)).await;
    assert!(matches!(error, P2pError::Config(_)));
    assert!(error.to_string().contains("'no peer'"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_taken_port_is_an_error_of_the_start() {
    let taken = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut config = config(Identity::generate(), Vec::new());
    config.port = taken.local_addr().unwrap().port();
    let error = fault_of_start(config).await;
    assert!(matches!(error, P2pError::Listen { .. }), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restarted_node_is_the_same_peer_and_dials_its_peer_book() {
    let friend = start_plain(Vec::new()).await;
    let store = Arc::new(MemoryObjectStore::new());
    let catalog = Arc::new(MemoryCatalog::new());
    let identity = Identity::generate();
    let first_run = start(
        config(identity.clone(), vec![friend.address()]),
        store.clone(),
        catalog.clone(),
    )
    .await;
    first_run.knows_peers(1).await;
    first_run.stop().await;
    let book = PeerCatalog::peers(&*catalog).await.unwrap();
    assert_eq!(book.len(), 1);
    assert_eq!(book[0].peer_id, friend.p2p.local_peer_id());

    let identity = Identity::from_bytes(&identity.to_bytes().unwrap()).unwrap();
    let second_run = start(config(identity, Vec::new()), store, catalog).await;
    second_run.knows_peers(1).await;
    assert_eq!(second_run.p2p.local_peer_id(), first_run.p2p.local_peer_id());
    let known = &second_run.p2p.peers()[0].record;
    assert_eq!(known.first_seen, book[0].first_seen);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_initial_peer_that_comes_later_is_found() {
    let early = start_plain(Vec::new()).await;
    let (address, port) = (early.host_and_port(), early.host_and_port());
    early.stop().await;
    drop(early);
    let waiting = start_plain(vec![address]).await;
    let mut late = config(Identity::generate(), Vec::new());
    late.port = port.rsplit_once(':').unwrap().1.parse().unwrap();
    let _late = start_empty(late).await;
    waiting.knows_peers(1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_are_told_to_the_bus() {
    let first = start_plain(Vec::new()).await;
    let mut events = first.bus.subscribe();
    let second = start_plain(vec![first.address()]).await;
    let connected = events.recv().await.unwrap();
    let peer_id = second.p2p.local_peer_id();
    assert_eq!(connected.news, News::PeerConnected { peer_id });
    second.stop().await;
    drop(second);
    loop {
        if matches!(events.recv().await.unwrap().news, News::PeerDisconnected { .. }) {
            break;
        }
    }
    first.has_active_peers(0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_network_says_so() {
    let node = start_plain(Vec::new()).await;
    let object = SampleObject::new(1, 7, 10);
    object.store_in(&*node.store).await.unwrap();
    assert!(node.p2p.is_running());
    node.stop().await;
    assert!(!node.p2p.is_running());
    assert!(matches!(
        node.p2p.find(&object.id().locator, &[], &Trace::default()).await,
        Err(NetworkError::Stopped)
    ));
    assert!(matches!(
        node.p2p.push(&object.id(), 1).await,
        Err(NetworkError::Stopped)
    ));
    assert!(node.p2p.listen_addresses().is_empty() || !node.p2p.is_running());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn traffic_is_counted() {
    let first = start_plain(Vec::new()).await;
    let second = start_plain(vec![first.address()]).await;
    second.knows_peers(1).await;
    let object = SampleObject::new(1, 7, 100_000);
    object.store_in(&*second.store).await.unwrap();
    second.p2p.push(&object.id(), 1).await.unwrap();
    let sent: fn(&Node) -> u64 = |node| node.p2p.stats().data_sent;
    assert!(sent(&second) > 100_000);
    assert!(first.p2p.stats().data_received > 100_000);
    assert!(sent(&first) < 10_000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_falls_silent_is_told_to_the_bus_and_forgotten_after_its_time() {
    let watcher = start_changed(Vec::new(), |network| {
        network.health_check_interval_secs = 1;
        network.forget_peers_after_secs = 1;
    })
    .await;
    let mut events = watcher.bus.subscribe();
    let peer = start_plain(vec![watcher.address()]).await;
    watcher.knows_peers(1).await;
    let health = loop {
        let event = events.recv().await.unwrap();
        if let News::PeerHealth(health) = event.news {
            break health;
        }
    };
    assert_eq!(health.peer_id, peer.p2p.local_peer_id());
    assert!(health.healthy);
    peer.stop().await;
    drop(peer);
    // Each second it is dialled in vain, until it has mostly failed.
    eventually("the peer has failed more often than not", async || {
        let peers = watcher.p2p.peers();
        (peers[0].record.failures > peers[0].record.successes).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn peers_that_share_no_initial_peer_meet_through_one_that_both_know() {
    let start_eager =
        |initial_peers| start_changed(initial_peers, |network| network.peer_exchange_interval_secs = 1);
    let middle = start_eager(Vec::new()).await;
    let left = start_eager(vec![middle.address()]).await;
    let right = start_eager(vec![middle.address()]).await;
    left.knows_peers(2).await;
    right.knows_peers(2).await;
}
