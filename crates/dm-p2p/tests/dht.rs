//! What is planted on the DHT is refused.

use dm_core::{
    address_record::{AddressRecord, SignedAddressRecord},
    hash::DataHash,
    ports::{AddressDirectory, NetworkStatus, Signer},
    signed::Signed,
};
use dm_testing::{signer::TestSigner, waiting::eventually};
use futures::StreamExt;
use libp2p::{Multiaddr, kad, swarm::SwarmEvent};

use crate::common::{Node, script, start_plain};

fn record(account: u8, sequence: u64, peer: &str) -> SignedAddressRecord {
    let signer = TestSigner::new(account);
    let record = AddressRecord::new(signer.address(), [sequence as u8; 32], peer.to_owned(), sequence);
    Signed::sign(record, &signer).unwrap()
}

/// Puts a value on the DHT at a node, as a new peer that follows no rules and
/// makes the value for its peer id.
async fn plant(node: &Node, key: &[u8], value: impl FnOnce(&str) -> Vec<u8>) {
    let mut swarm = script::swarm();
    let value = value(&swarm.local_peer_id().to_base58());
    let address: Multiaddr = node.address().parse().unwrap();
    let peer = node.p2p.local_peer_id().parse().unwrap();
    swarm.behaviour_mut().kad.add_address(&peer, address);
    let mut record = kad::Record::new(kad::RecordKey::new(&key), value);
    record.publisher = None;
    swarm
        .behaviour_mut()
        .kad
        .put_record_to(record, std::iter::once(peer), kad::Quorum::One);
    loop {
        if let SwarmEvent::Behaviour(script::BehaviourEvent::Kad(kad::Event::OutboundQueryProgressed {
            result: kad::QueryResult::PutRecord(_),
            ..
        })) = swarm.select_next_some().await
        {
            return;
        }
    }
}

/// Waits until the node has checked what was planted: the sender is remembered.
async fn remembered_failures(node: &Node, count: u64) {
    eventually(&format!("{count} failures are remembered"), async || {
        let peers = node.p2p.peers();
        let failures: u64 = peers.iter().map(|peer| peer.record.failures).sum();
        (failures >= count).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_planted_record_is_refused_and_its_sender_remembered() {
    let node = start_plain(Vec::new()).await;
    let address = record(1, 1, "nobody").address;
    let key = AddressRecord::dht_key(address);
    let forged = |peer: &str| {
        let mut forged = record(1, 1, peer).bytes().to_vec();
        forged[7] ^= 1;
        forged
    };
    plant(&node, &key, forged).await;
    remembered_failures(&node, 1).await;
    plant(&node, &key, |peer| record(2, 1, peer).bytes().to_vec()).await;
    remembered_failures(&node, 2).await;
    plant(&node, &key, |_| vec![0; 10_000]).await;
    remembered_failures(&node, 3).await;
    plant(&node, b"any key", |_| b"any value".to_vec()).await;
    remembered_failures(&node, 4).await;
    assert_eq!(node.p2p.find_address(address).await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_that_names_another_peer_is_refused_and_its_sender_scored() {
    let (node, victim) = (start_plain(Vec::new()).await, start_plain(Vec::new()).await);
    let lie = record(1, 1, &victim.p2p.local_peer_id());
    let key = AddressRecord::dht_key(lie.address);
    plant(&node, &key, |_| lie.bytes().to_vec()).await;
    remembered_failures(&node, 1).await;
    let standing = &node.p2p.peers()[0].standing;
    assert_eq!(standing.score, 2);
    let offence = standing.last_offence.as_deref();
    assert_eq!(offence, Some("an address record that names another peer"));
    assert_eq!(node.p2p.find_address(lie.address).await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_older_record_does_not_replace_a_newer_one() {
    let node = start_plain(Vec::new()).await;
    let address = record(1, 1, "nobody").address;
    let key = AddressRecord::dht_key(address);
    plant(&node, &key, |peer| record(1, 2, peer).bytes().to_vec()).await;
    let other = start_plain(vec![node.host_and_port()]).await;
    other.knows_peers(1).await;
    let found = || async {
        let found = other.p2p.find_address(address).await.unwrap();
        found.map(|record| record.sequence)
    };
    while found().await != Some(2) {
        tokio::task::yield_now().await;
    }
    plant(&node, &key, |peer| record(1, 1, peer).bytes().to_vec()).await;
    remembered_failures(&node, 1).await;
    assert_eq!(found().await, Some(2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_joins_later_learns_an_address_that_was_announced_to_nobody() {
    let first = start_plain(Vec::new()).await;
    let announced = record(1, 1, &first.p2p.local_peer_id());
    first.p2p.announce(announced.clone().into()).await.unwrap();
    let second = start_plain(vec![first.host_and_port()]).await;
    second.knows_peers(1).await;
    let found = second.p2p.find_address(announced.address).await.unwrap();
    assert_eq!(found, Some(announced));
}

/// The peer listens on loopback, which a name does not stand for: where it was
/// dialled it is reached again, and nowhere else.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_was_dialled_by_its_name_serves_the_dht() {
    let named = start_plain(Vec::new()).await;
    let port = named.host_and_port().rsplit_once(':').unwrap().1.to_owned();
    let node = start_plain(vec![format!("localhost:{port}")]).await;
    node.has_active_peers(1).await;
    let announced = record(1, 1, &node.p2p.local_peer_id());
    let found = eventually("the other node finds the record", async || {
        node.p2p.announce(announced.clone().into()).await.unwrap();
        named.p2p.find_address(announced.address).await.unwrap()
    })
    .await;
    assert_eq!(found, announced);
    let known = &node.p2p.peers()[0].record.addresses;
    assert!(
        known.iter().all(|address| address.contains("localhost")),
        "{known:?}"
    );
}

/// As in a network whose routing tables have no room for most of its nodes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_is_found_through_a_node_that_has_it_in_no_routing_table() {
    let node = start_plain(Vec::new()).await;
    let reader = start_plain(vec![node.address()]).await;
    reader.knows_peers(1).await;

    let mut swarm = script::swarm();
    let provider = swarm.local_peer_id().to_base58();
    swarm.listen_on("/ip4/127.0.0.1/tcp/0".parse().unwrap()).unwrap();
    // Who does not serve the DHT comes into no routing table.
    swarm.behaviour_mut().kad.set_mode(Some(kad::Mode::Client));
    let address: Multiaddr = node.address().parse().unwrap();
    let peer = node.p2p.local_peer_id().parse().unwrap();
    swarm.behaviour_mut().kad.add_address(&peer, address.clone());
    swarm.dial(address).unwrap();
    let (announce, mut announced) = tokio::sync::mpsc::channel(1);
    let task = tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = swarm.select_next_some() => {}
                Some(key) = announced.recv() => {
                    swarm.behaviour_mut().kad.start_providing(key).unwrap();
                }
            }
        }
    });
    eventually("the provider's addresses are known", async || {
        let peers = node.p2p.peers();
        peers
            .iter()
            .any(|peer| peer.record.peer_id == provider && !peer.record.addresses.is_empty())
            .then_some(())
    })
    .await;

    let locator = DataHash::of(b"far away").locator();
    announce
        .send(kad::RecordKey::new(locator.as_bytes()))
        .await
        .unwrap();
    let found = eventually("a provider is found", async || {
        let trace = reader.p2p.trace_lookup(&locator).await.unwrap();
        (!trace.providers.is_empty()).then_some(trace.providers)
    })
    .await;
    assert_eq!(found, [provider]);
    task.abort();
}
