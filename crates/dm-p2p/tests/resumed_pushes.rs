//! A push that is cut off goes on where it was.

use std::sync::Arc;

use dm_core::{
    Address,
    bus::EventBus,
    envelope::CHUNK_SIZE,
    ports::{ObjectExchange, OwnerStanding},
};
use dm_p2p::{Identity, P2pDeps};
use dm_testing::{
    catalog::MemoryCatalog,
    objects::{MemoryObjectStore, SampleObject},
    waiting::eventually,
};
use libp2p::Stream;

use crate::common::{
    Node, config,
    script::{self, Lie, OfferAnswer, Refusal, Reply, Request, Scripted, receive, send, send_bytes},
    start_changed, start_with,
};

const CHUNKS: u64 = 12;

fn object(seed: u64) -> SampleObject {
    SampleObject::new(1, seed, CHUNKS * CHUNK_SIZE)
}

/// Nobody has anything at stake.
struct Strangers;

#[async_trait::async_trait]
impl OwnerStanding for Strangers {
    async fn is_established(&self, _: Address) -> bool {
        false
    }
}

/// A node with so much room for others, of which a stranger gets an eighth.
async fn node_with_room(bytes: u64) -> Node {
    let mut config = config(Identity::generate(), Vec::new());
    config.network.max_foreign_bytes = bytes;
    let store = Arc::new(MemoryObjectStore::new());
    let deps = P2pDeps {
        quota: Some(store.clone()),
        standing: Some(Arc::new(Strangers)),
        ..P2pDeps::new(store, Arc::new(MemoryCatalog::new()), EventBus::new())
    };
    start_with(config, deps).await
}

async fn offer(stream: &mut Stream, object: &SampleObject) -> Option<Reply> {
    let envelope = object.envelope.bytes();
    let envelope_len = envelope.len() as u32;
    send(stream, &Request::Offer { envelope_len }).await;
    send_bytes(stream, envelope).await;
    receive(stream).await
}

async fn send_names(stream: &mut Stream, object: &SampleObject) {
    for chunk in &object.chunks {
        send_bytes(stream, chunk.name().as_bytes()).await;
    }
}

async fn send_chunks(stream: &mut Stream, object: &SampleObject, first: usize, end: usize) {
    for chunk in &object.chunks[first..end] {
        let len = chunk.bytes().len() as u32;
        send(stream, &Reply::Chunk { len }).await;
        send_bytes(stream, chunk.bytes()).await;
    }
}

fn wanted() -> Option<Reply> {
    Some(Reply::OfferAnswer(OfferAnswer::Wanted))
}

/// Sends the first chunks of an object and is cut off.
async fn send_part(peer: &mut Scripted, node: &Node, object: &SampleObject, chunks: usize) {
    let mut stream = peer.open_three(&node.address()).await;
    assert_eq!(offer(&mut stream, object).await, wanted());
    send_names(&mut stream, object).await;
    send_chunks(&mut stream, object, 0, chunks).await;
}

/// Offers the object until the node goes on with it; the first chunk that it wants.
async fn goes_on(peer: &mut Scripted, node: &Node, object: &SampleObject) -> (Stream, u64) {
    let mut stream = peer.open_three(&node.address()).await;
    assert_eq!(offer(&mut stream, object).await, Some(Reply::Resumes));
    send_names(&mut stream, object).await;
    let Some(Reply::WantedFrom { first }) = receive(&mut stream).await else {
        panic!("the first chunk is named");
    };
    (stream, first)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_push_that_was_cut_off_goes_on_where_it_was() {
    let node = node_with_room(1 << 30).await;
    let mut peer = script::connect(&node.address(), Lie::None, None).await;
    let object = object(7);
    send_part(&mut peer, &node, &object, 5).await;
    let (mut stream, first) = goes_on(&mut peer, &node, &object).await;
    assert!((1..=5).contains(&first), "{first}");
    send_chunks(&mut stream, &object, first as usize, CHUNKS as usize).await;
    let held = Some(Reply::OfferAnswer(OfferAnswer::Held));
    assert_eq!(receive(&mut stream).await, held);
    assert!(object.is_in(&*node.store).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_sent_of_an_object_counts_for_the_peer_that_sent_it() {
    // A stranger gets room for one such object, and hardly more.
    let node = node_with_room(8 * (CHUNKS + 2) * CHUNK_SIZE).await;
    let mut peer = script::connect(&node.address(), Lie::None, None).await;
    send_part(&mut peer, &node, &object(7), 5).await;
    let full = Some(Reply::OfferAnswer(OfferAnswer::Refused(Refusal::Full)));
    let mut stream = peer.open_three(&node.address()).await;
    assert_eq!(offer(&mut stream, &object(8)).await, full);
    // The object itself has its room.
    let (_, first) = goes_on(&mut peer, &node, &object(7)).await;
    assert!(first > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_leaves_a_bounded_number_of_unfinished_objects() {
    let node = node_with_room(1 << 40).await;
    let mut peer = script::connect(&node.address(), Lie::None, None).await;
    for seed in 0..4 {
        send_part(&mut peer, &node, &object(seed), 5).await;
        // The node has noticed that the stream has ended.
        let _ = goes_on(&mut peer, &node, &object(seed)).await;
    }
    let mut stream = peer.open_three(&node.address()).await;
    assert_eq!(offer(&mut stream, &object(0)).await, wanted());
    let _ = goes_on(&mut peer, &node, &object(3)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_bytes_do_not_undo_what_another_peer_has_sent() {
    let node = node_with_room(1 << 30).await;
    let mut honest = script::connect(&node.address(), Lie::None, None).await;
    let object = object(7);
    send_part(&mut honest, &node, &object, 5).await;
    let (stream, _) = goes_on(&mut honest, &node, &object).await;
    drop(stream);
    let mut hostile = script::connect(&node.address(), Lie::None, None).await;
    let mut stream = hostile.open_three(&node.address()).await;
    let answer = offer(&mut stream, &object).await;
    send_names(&mut stream, &object).await;
    if answer == Some(Reply::Resumes) {
        assert!(matches!(
            receive(&mut stream).await,
            Some(Reply::WantedFrom { .. })
        ));
    }
    send(&mut stream, &Reply::Chunk { len: 7 }).await;
    let invalid = Some(Reply::OfferAnswer(OfferAnswer::Refused(Refusal::Invalid)));
    assert_eq!(receive(&mut stream).await, invalid);
    let (_, first) = goes_on(&mut honest, &node, &object).await;
    assert!(first > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_push_goes_on_over_the_next_circuit_of_a_relay_that_ends_each() {
    let relay = start_changed(Vec::new(), |network| {
        network.relay_server = true;
        // It takes no copy itself.
        network.bootstrap_only = true;
        network.relay_circuit_bytes = 1 << 20;
    })
    .await;
    let hidden = |address: String| {
        start_changed(Vec::new(), |network| {
            network.listen = false;
            network.relays = vec![address];
        })
    };
    let receiver = hidden(relay.address()).await;
    let circuit = eventually("the receiver is reached through the relay", async || {
        let addresses = receiver.p2p.external_addresses();
        addresses
            .into_iter()
            .find(|address| address.contains("p2p-circuit"))
    });
    let sender = start_changed(vec![circuit.await], |network| network.listen = false).await;
    let object = object(7);
    object.store_in(&*sender.store).await.unwrap();
    // A push ends where there is no circuit at the moment; the next one goes on.
    eventually("the object has arrived", async || {
        let report = sender.p2p.push(&object.id(), 1).await.unwrap();
        (!report.holders.is_empty()).then_some(())
    })
    .await;
    assert!(object.is_in(&*receiver.store).await);
}
