//! What a node stores is announced, many locators in one message, and what is announced to
//! it takes no more than its part.

use dm_core::{
    hash::{DataHash, Locator},
    ports::{NetworkStatus, ObjectExchange},
};
use dm_p2p::SweepTrace;
use dm_testing::{
    objects::{MemoryObjectStore, SampleObject},
    waiting::eventually,
};

use crate::common::{
    Node,
    script::{self, Lie, Part, Reply, Request, receive, send, send_bytes},
    start_over, start_plain,
};

/// More than fit into one message.
const OBJECTS: u64 = 1200;

async fn holder(objects: u64, initial_peers: Vec<String>) -> Node {
    let store = MemoryObjectStore::new();
    for number in 0..objects {
        SampleObject::new(1, number, 10).store_in(&store).await.unwrap();
    }
    start_over(&store, initial_peers).await
}

async fn providers(node: &Node, locator: &Locator) -> Vec<String> {
    node.p2p.trace_lookup(locator).await.unwrap().providers
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_that_is_stored_is_found_after_a_few_messages() {
    let first = start_plain(Vec::new()).await;
    let second = start_plain(vec![first.address()]).await;
    let holder = holder(OBJECTS, vec![first.address(), second.address()]).await;
    holder.knows_peers(2).await;
    let expected = SweepTrace {
        locators: OBJECTS,
        lookups: 1,
        messages: 4,
        one_by_one: 0,
    };
    assert_eq!(holder.p2p.announce_stored().await.unwrap(), expected);
    let reader = start_plain(vec![first.address(), second.address()]).await;
    reader.knows_peers(2).await;
    for number in [0, 1, OBJECTS / 2, OBJECTS - 1] {
        let locator = SampleObject::new(1, number, 10).id().locator;
        assert_eq!(providers(&reader, &locator).await, [holder.p2p.local_peer_id()]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn new_objects_that_come_together_are_all_found() {
    let first = start_plain(Vec::new()).await;
    let store = MemoryObjectStore::new();
    let holder = start_over(&store, vec![first.address()]).await;
    holder.knows_peers(1).await;
    let samples: Vec<SampleObject> = (0..40).map(|number| SampleObject::new(1, number, 10)).collect();
    for sample in &samples {
        sample.store_in(&store).await.unwrap();
    }
    let pushes = samples
        .iter()
        .map(async |sample| holder.p2p.push(&sample.id(), 1).await.unwrap());
    futures::future::join_all(pushes).await;
    let reader = start_plain(vec![first.address()]).await;
    reader.knows_peers(1).await;
    let holder = holder.p2p.local_peer_id();
    for sample in &samples {
        eventually("the owner is found", async || {
            let providers = providers(&reader, &sample.id().locator).await;
            providers.contains(&holder).then_some(())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn peers_that_speak_version_1_alone_are_told_one_locator_at_a_time() {
    let holder = holder(3, Vec::new()).await;
    let _peer = script::connect(&holder.address(), Lie::None, None).await;
    eventually("the peer's addresses are known", async || {
        let peers = holder.p2p.peers();
        peers
            .iter()
            .any(|peer| !peer.record.addresses.is_empty())
            .then_some(())
    })
    .await;
    let swept = holder.p2p.announce_stored().await.unwrap();
    assert_eq!((swept.locators, swept.messages, swept.one_by_one), (3, 0, 3));
    assert_eq!(holder.p2p.stats().not_understood, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_announces_too_much_at_once_is_scored() {
    let node = start_plain(Vec::new()).await;
    let mut peer = script::connect(&node.address(), Lie::None, None).await;
    let mut stream = peer.open_two(&node.address()).await;
    send(&mut stream, &Request::Announce { count: u32::MAX }).await;
    assert_eq!(receive::<Reply>(&mut stream).await, None);
    eventually("the offence is scored", async || {
        (node.p2p.peers()[0].standing.score == 2).then_some(())
    })
    .await;
}

/// The record store is full of announcements of a few identities; an honest holder, whose
/// announcement comes last, is found all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_few_identities_do_not_fill_the_provider_records() {
    let node = start_plain(Vec::new()).await;
    let part = || Part {
        speaks_two: true,
        ..Part::default()
    };
    for identity in 0..5u32 {
        let mut flooder = script::connect_as(&node.address(), Lie::None, None, part()).await;
        let mut stream = flooder.open_two(&node.address()).await;
        for message in 0..33u32 {
            let locators: Vec<u8> = (0..1000u32)
                .flat_map(|number| {
                    let invented = [identity, message, number].map(u32::to_be_bytes).concat();
                    *DataHash::of(&invented).locator().as_bytes()
                })
                .collect();
            send(&mut stream, &Request::Announce { count: 1000 }).await;
            send_bytes(&mut stream, &locators).await;
            let kept = receive::<Reply>(&mut stream).await;
            assert!(matches!(kept, Some(Reply::Announced { .. })), "{kept:?}");
        }
    }
    let holder = holder(10, vec![node.address()]).await;
    holder.knows_peers(1).await;
    assert_eq!(holder.p2p.announce_stored().await.unwrap().locators, 10);
    let reader = start_plain(vec![node.address()]).await;
    reader.knows_peers(1).await;
    for number in 0..10 {
        let locator = SampleObject::new(1, number, 10).id().locator;
        assert_eq!(providers(&reader, &locator).await, [holder.p2p.local_peer_id()]);
    }
}
