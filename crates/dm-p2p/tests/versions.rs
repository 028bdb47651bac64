//! Peers of other versions: what they send in a later one is passed over and counted, and
//! nobody is scored for it; two nodes talk in the newest version that both know.

use dm_core::{
    Address,
    address_record::AddressRecord,
    ports::{AddressDirectory, NetworkStatus, ObjectExchange, Signer},
    trace::Trace,
};
use dm_testing::{objects::SampleObject, signer::TestSigner, waiting::eventually};
use libp2p::{Multiaddr, Stream, kad, swarm::SwarmEvent};

use crate::common::{
    Node,
    script::{
        self, Holding, Lie, OfferAnswer, Part, Refusal, Reply, Request, Scripted, receive, send, send_bytes,
    },
    start_plain,
};

/// More than it takes to ban a peer for breaches.
const OFTEN: u64 = 5;

/// A frame with a message of a kind that no version has yet.
const UNHEARD_OF: [u8; 4] = [0, 2, 99, 1];

fn object() -> SampleObject {
    SampleObject::new(1, 7, 1000)
}

/// The envelope of [`object`], as if it was of a version that is still to come.
fn later_envelope() -> bytes::Bytes {
    let mut bytes = object().envelope.bytes().to_vec();
    bytes[65] = 9;
    bytes.extend(b"a field that nobody knows");
    bytes.into()
}

async fn node_and_peer(holding: Option<Holding>, speaks_two: bool) -> (Node, Scripted) {
    let node = start_plain(Vec::new()).await;
    let part = Part {
        speaks_two,
        ..Part::default()
    };
    let peer = script::connect_as(&node.address(), Lie::None, holding, part).await;
    node.has_active_peers(1).await;
    (node, peer)
}

/// The peer is as welcome as before, and what it sent has been counted.
async fn is_passed_over(node: &Node, times: u64) {
    eventually("the messages are counted", async || {
        (node.p2p.stats().not_understood >= times).then_some(())
    })
    .await;
    let peers = node.p2p.peers();
    assert_eq!(peers[0].standing.score, 0);
    assert_eq!(peers[0].standing.last_offence, None);
    assert!(peers[0].connected);
}

async fn ends(stream: &mut Stream) -> bool {
    receive::<Reply>(stream).await.is_none()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_of_a_later_version_is_answered_or_ends_the_stream() {
    let (node, mut peer) = node_and_peer(None, false).await;
    for _ in 0..OFTEN {
        let mut stream = peer.open(&node.address()).await;
        send_bytes(&mut stream, &UNHEARD_OF).await;
        assert!(ends(&mut stream).await, "version 1 has no answer to it");
        let mut stream = peer.open_two(&node.address()).await;
        send_bytes(&mut stream, &UNHEARD_OF).await;
        assert_eq!(receive(&mut stream).await, Some(Reply::Unsupported));
        assert!(ends(&mut stream).await);
    }
    is_passed_over(&node, 2 * OFTEN).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_offer_of_a_later_version_is_not_taken_and_not_held_against_anybody() {
    let (node, mut peer) = node_and_peer(None, false).await;
    let envelope = later_envelope();
    let envelope_len = envelope.len() as u32;
    for _ in 0..OFTEN {
        let mut stream = peer.open(&node.address()).await;
        send(&mut stream, &Request::Offer { envelope_len }).await;
        send_bytes(&mut stream, &envelope).await;
        let refused = Reply::OfferAnswer(OfferAnswer::Refused(Refusal::Invalid));
        assert_eq!(receive(&mut stream).await, Some(refused));
        let mut stream = peer.open_two(&node.address()).await;
        send(&mut stream, &Request::Offer { envelope_len }).await;
        send_bytes(&mut stream, &envelope).await;
        assert_eq!(receive(&mut stream).await, Some(Reply::Unsupported));
    }
    is_passed_over(&node, 2 * OFTEN).await;
    assert!(node.store.list(None, 1).await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_envelope_of_a_later_version_does_not_hide_the_others_of_its_holder() {
    for speaks_two in [false, true] {
        let mut holding = Holding::new(&object().envelope, &object().chunks);
        holding.others = vec![later_envelope()];
        let (node, _peer) = node_and_peer(Some(holding), speaks_two).await;
        for _ in 0..OFTEN {
            node.reads(&object()).await;
        }
        is_passed_over(&node, OFTEN).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_record_of_a_later_version_is_not_kept_and_not_a_forgery() {
    let node = start_plain(Vec::new()).await;
    let address = TestSigner::new(1).address();
    let mut swarm = script::swarm();
    let peer = node.p2p.local_peer_id().parse().unwrap();
    let at: Multiaddr = node.address().parse().unwrap();
    swarm.behaviour_mut().kad.add_address(&peer, at);
    let mut value = vec![7; 400];
    value[65] = 9;
    for _ in 0..OFTEN {
        let key = kad::RecordKey::new(&AddressRecord::dht_key(address));
        let record = kad::Record::new(key, value.clone());
        let kad = &mut swarm.behaviour_mut().kad;
        kad.put_record_to(record, std::iter::once(peer), kad::Quorum::One);
    }
    let driving = tokio::spawn(async move {
        loop {
            let event = futures::StreamExt::select_next_some(&mut swarm).await;
            if let SwarmEvent::ConnectionClosed { .. } = event {
                return;
            }
        }
    });
    is_passed_over(&node, OFTEN).await;
    assert_eq!(node.p2p.find_address(address).await.unwrap(), None);
    driving.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_talk_in_the_newest_version_that_both_know() {
    // In version 2 this peer has no end of pages, in version 1 there are none.
    for speaks_two in [false, true] {
        let holding = Holding::new(&object().envelope, &object().chunks);
        let (node, _peer) = node_and_peer(Some(holding), speaks_two).await;
        let trace = Trace::default();
        let found = node.p2p.find(&object().id().locator, &[], &trace).await.unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].envelope, object().envelope);
        let peers = trace.report().peers;
        let envelopes: u64 = peers.iter().map(|peer| peer.items).sum();
        assert_eq!(envelopes, if speaks_two { 4 } else { 1 });
        assert_eq!(node.p2p.stats().not_understood, 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_speaks_version_1_alone_is_served() {
    let node = start_plain(Vec::new()).await;
    object().store_in(&*node.store).await.unwrap();
    let mut peer = script::connect(&node.address(), Lie::None, None).await;
    let mut stream = peer.open(&node.address()).await;
    let locator = object().id().locator;
    send(&mut stream, &Request::Envelopes { locator }).await;
    let lengths = vec![object().envelope.bytes().len() as u32];
    assert_eq!(receive(&mut stream).await, Some(Reply::Envelopes { lengths }));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_of_version_2_is_unknown_on_a_stream_of_version_1() {
    let (node, mut peer) = node_and_peer(None, true).await;
    let mut stream = peer.open(&node.address()).await;
    let request = Request::FindEnvelopes {
        locator: object().id().locator,
        owners: vec![Address::ZERO],
        after: None,
    };
    send(&mut stream, &request).await;
    assert!(ends(&mut stream).await);
    is_passed_over(&node, 1).await;
}
