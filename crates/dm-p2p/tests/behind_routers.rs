//! Nodes that nobody can dial are reached all the same.

use dm_core::{
    ports::{NetworkStatus, ObjectExchange},
    trace::Trace,
};
use dm_p2p::Identity;
use dm_testing::{objects::SampleObject, waiting::eventually};

use crate::common::{Node, config, start_changed, start_empty, start_plain};

async fn relay() -> Node {
    start_changed(Vec::new(), |network| network.relay_server = true).await
}

/// A node that opens no port, and its address at the relay.
async fn hidden_behind(relay: &Node) -> (Node, String) {
    let address = relay.address();
    let hidden = start_changed(Vec::new(), |network| {
        network.listen = false;
        network.relays = vec![address];
    })
    .await;
    let address = circuit_of(&hidden).await;
    (hidden, address)
}

/// Where the node is reached through a relay, as soon as it is.
async fn circuit_of(node: &Node) -> String {
    let circuit = || {
        let addresses = node.p2p.external_addresses();
        addresses
            .into_iter()
            .find(|address| address.contains("p2p-circuit"))
    };
    eventually("there is an address at the relay", async || circuit()).await
}

fn is_connected(node: &Node, with: &Node) -> bool {
    let peer = with.p2p.local_peer_id();
    let peers = node.p2p.peers();
    peers
        .iter()
        .any(|status| status.connected && status.record.peer_id == peer)
}

/// Whether the node has met the other at an address that is no relay's.
fn has_direct_address(node: &Node, other: &Node) -> bool {
    let peer = other.p2p.local_peer_id();
    let peers = node.p2p.peers();
    let addresses = peers
        .iter()
        .filter(|status| status.record.peer_id == peer)
        .flat_map(|status| &status.record.addresses);
    addresses
        .into_iter()
        .any(|address| !address.contains("p2p-circuit"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_opens_no_port_serves_an_object_through_a_relay() {
    let relay = relay().await;
    let (holder, address) = hidden_behind(&relay).await;
    let object = SampleObject::new(1, 7, 600_000);
    object.store_in(&*holder.store).await.unwrap();
    let reader = start_plain(vec![address]).await;
    eventually("the reader is connected with the holder", async || {
        is_connected(&reader, &holder).then_some(())
    })
    .await;
    reader.reads(&object).await;
    assert!(
        holder
            .p2p
            .listen_addresses()
            .iter()
            .all(|address| address.contains("p2p-circuit"))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_relay_that_comes_back_is_used_again() {
    let identity = Identity::generate();
    let relay = |port| {
        let mut config = config(identity.clone(), Vec::new());
        config.network.relay_server = true;
        config.port = port;
        start_empty(config)
    };
    let first = relay(0).await;
    let port: u16 = first.host_and_port().rsplit(':').next().unwrap().parse().unwrap();
    let (hidden, _) = hidden_behind(&first).await;
    first.stop().await;
    drop(first);
    eventually("the address at the relay is gone", async || {
        hidden.p2p.external_addresses().is_empty().then_some(())
    })
    .await;
    let second = relay(port).await;
    let address = circuit_of(&hidden).await;
    let reader = start_plain(vec![address]).await;
    eventually("the reader is connected with the hidden node", async || {
        is_connected(&reader, &hidden).then_some(())
    })
    .await;
    drop(second);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_direct_connection_takes_the_place_of_the_relay() {
    let relay = relay().await;
    let relay_address = relay.address();
    let holder = start_changed(Vec::new(), |network| network.relays = vec![relay_address]).await;
    let object = SampleObject::new(1, 7, 600_000);
    object.store_in(&*holder.store).await.unwrap();
    let reader = start_plain(vec![circuit_of(&holder).await]).await;
    eventually("one of them has a direct address of the other", async || {
        (has_direct_address(&reader, &holder) || has_direct_address(&holder, &reader)).then_some(())
    })
    .await;
    relay.stop().await;
    drop(relay);
    // What went over the relay ends with it, and is connected anew.
    eventually("the holder is found without the relay", async || {
        let found = reader
            .p2p
            .find(&object.id().locator, &[], &Trace::default())
            .await;
        (!found.unwrap().is_empty()).then_some(())
    })
    .await;
    reader.reads(&object).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_nobody_reaches_takes_a_relay_among_its_peers() {
    let relay = relay().await;
    let hidden = start_changed(vec![relay.address()], |network| network.listen = false).await;
    let reader = start_plain(vec![circuit_of(&hidden).await]).await;
    eventually("the reader is connected with the hidden node", async || {
        is_connected(&reader, &hidden).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn peers_confirm_to_a_node_under_which_address_they_reach_it() {
    let first = start_plain(Vec::new()).await;
    let second = start_plain(vec![first.address()]).await;
    let own = second.address();
    let own = own.rsplit_once("/p2p/").unwrap().0;
    eventually("the first node has confirmed the address", async || {
        let external = second.p2p.external_addresses();
        external.iter().any(|address| address == own).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn peers_learn_the_external_addresses_that_are_set() {
    let external = "/ip4/127.0.0.1/tcp/4001".to_owned();
    let set = external.clone();
    let forwarded = start_changed(Vec::new(), |network| network.external_addresses = vec![set]).await;
    assert_eq!(
        forwarded.p2p.external_addresses(),
        std::slice::from_ref(&external)
    );
    let peer = start_plain(vec![forwarded.address()]).await;
    eventually("the peer knows the address that was set", async || {
        let peers = peer.p2p.peers();
        peers
            .iter()
            .any(|status| status.record.addresses.contains(&external))
            .then_some(())
    })
    .await;
}
