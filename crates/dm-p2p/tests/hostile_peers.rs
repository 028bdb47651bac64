//! A peer that lies, floods, stalls or takes the place of others is found out,
//! and ignored for some time.

use dm_core::{
    address_record::AddressRecord,
    clock::now_ms,
    config::NetworkConfig,
    envelope::CHUNK_SIZE,
    news::News,
    peer::{PeerStanding, PeerStatus},
    ports::{Found, NetworkStatus, ObjectExchange, Signer},
    signed::Signed,
    trace::Trace,
};
use dm_testing::{objects::SampleObject, signer::TestSigner, waiting::eventually};
use futures::{AsyncReadExt, StreamExt, TryStreamExt};
use libp2p::{Multiaddr, PeerId, kad};

use crate::common::{
    Node,
    script::{self, Holding, Lie, OfferAnswer, Part, Reply, Request, Scripted, receive, send, send_bytes},
    start_changed, start_plain,
};

/// Few requests are a flood.
fn strict(network: &mut NetworkConfig) {
    network.peer_requests_per_sec = 1;
    network.peer_requests_burst = 4;
}

fn status(node: &Node, peer: PeerId) -> Option<PeerStatus> {
    let mut peers = node.p2p.peers().into_iter();
    peers.find(|status| status.record.peer_id == peer.to_base58())
}

fn standing(node: &Node, peer: PeerId) -> PeerStanding {
    status(node, peer).unwrap().standing
}

fn failures(node: &Node, peer: PeerId) -> u64 {
    status(node, peer).map_or(0, |status| status.record.failures)
}

fn is_connected(node: &Node, peer: PeerId) -> bool {
    status(node, peer).is_some_and(|status| status.connected)
}

/// Waits until the node has hung up on a peer that it scored.
async fn is_banned(node: &Node, peer: PeerId) {
    eventually("the peer is banned", async || {
        (failures(node, peer) >= 3 && !is_connected(node, peer)).then_some(())
    })
    .await;
}

/// Whether the node still answers a request of somebody else.
async fn serves_others(node: &Node) {
    let mut other = script::connect(&node.address(), Lie::None, None).await;
    let mut stream = other.open(&node.address()).await;
    send(&mut stream, &Request::Peers).await;
    assert!(matches!(receive(&mut stream).await, Some(Reply::Peers { .. })));
}

async fn connected(node: &Node, lie: Lie, holding: Option<Holding>, part: Part) -> Scripted {
    let peer = script::connect_as(&node.address(), lie, holding, part).await;
    eventually("the peer is connected", async || {
        is_connected(node, peer.peer).then_some(())
    })
    .await;
    peer
}

/// Reads an object from nobody but a liar, until it is ignored.
async fn is_found_out(lie: Lie) {
    let object = SampleObject::new(1, 7, 2 * CHUNK_SIZE);
    let reader = start_plain(Vec::new()).await;
    let holding = Holding::new(&object.envelope, &object.chunks);
    let liar = connected(&reader, lie, Some(holding), Part::default()).await;
    let found = Found {
        envelope: object.envelope.clone(),
        holders: vec![liar.peer.to_base58()],
    };
    for _ in 0..6 {
        let read: Result<Vec<_>, _> = reader.p2p.fetch(&found, 0, &Trace::default()).try_collect().await;
        assert!(read.is_err());
    }
    is_banned(&reader, liar.peer).await;
    is_shown_as_banned(&reader, liar.peer);
}

/// The operator sees who is banned, until when and why, in the peer book and
/// by an event.
fn is_shown_as_banned(node: &Node, peer: PeerId) {
    let standing = standing(node, peer);
    let until = standing.banned_until.unwrap();
    assert!(until > now_ms() && standing.score >= 6, "{standing:?}");
    let events = node.bus.history(usize::MAX);
    let ban = events
        .iter()
        .find_map(|event| match &event.news {
            News::PeerHealth(health) if health.banned_until.is_some() => Some(health),
            _ => None,
        })
        .unwrap();
    assert_eq!((&ban.peer_id, ban.healthy), (&peer.to_base58(), false));
    assert_eq!(ban.reason, standing.last_offence);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_serves_wrong_bytes_is_ignored() {
    is_found_out(Lie::WrongChunks).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_claims_what_it_does_not_have_is_ignored() {
    is_found_out(Lie::Withholds).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_withholds_chunks_is_ignored() {
    is_found_out(Lie::WithholdsChunks).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_stalls_within_a_fetch_is_scored_although_another_delivers() {
    let object = SampleObject::new(1, 7, 20 * CHUNK_SIZE);
    let holder = start_plain(Vec::new()).await;
    object.store_in(&*holder.store).await.unwrap();
    let reader = start_changed(vec![holder.address()], |network| {
        network.request_timeout_secs = 1;
        // Pings show that it is there all the same.
        network.health_check_interval_secs = 1;
    })
    .await;
    reader.knows_peers(1).await;
    let holding = Holding::new(&object.envelope, &object.chunks);
    let liar = connected(&reader, Lie::Stalls, Some(holding), Part::default()).await;
    let found = Found {
        envelope: object.envelope.clone(),
        holders: vec![holder.p2p.local_peer_id(), liar.peer.to_base58()],
    };
    let read: Vec<_> = reader
        .p2p
        .fetch(&found, 0, &Trace::default())
        .try_collect()
        .await
        .unwrap();
    assert!(read == object.chunks);
    eventually("the liar is scored", async || {
        (standing(&reader, liar.peer).score > 0).then_some(())
    })
    .await;
    let offence = standing(&reader, liar.peer).last_offence;
    assert_eq!(offence.as_deref(), Some("a stalled stream"));
    let honest = holder.p2p.local_peer_id().parse().unwrap();
    assert_eq!(standing(&reader, honest).score, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_floods_with_streams_is_ignored_and_others_are_served() {
    let node = start_changed(Vec::new(), strict).await;
    let mut flood = connected(&node, Lie::None, None, Part::default()).await;
    let peer: PeerId = node.p2p.local_peer_id().parse().unwrap();
    let protocol = libp2p::StreamProtocol::new("/datamgmt/objects/1");
    let mut open = Vec::new();
    while let Ok(mut stream) = flood.control.open_stream(peer, protocol.clone()).await {
        send(&mut stream, &Request::Peers).await;
        open.push(stream);
    }
    is_banned(&node, flood.peer).await;
    serves_others(&node).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_asks_faster_than_its_rate_is_answered_later_and_not_ignored() {
    let node = start_changed(Vec::new(), |network| {
        network.peer_requests_per_sec = 5;
        network.peer_requests_burst = 2;
    })
    .await;
    let mut peer = connected(&node, Lie::None, None, Part::default()).await;
    let mut stream = peer.open(&node.address()).await;
    // All at once, before the first is answered.
    for _ in 0..8 {
        send(&mut stream, &Request::Peers).await;
    }
    for _ in 0..8 {
        let Some(Reply::Peers { len }) = receive(&mut stream).await else {
            panic!("each request is answered");
        };
        let mut bytes = vec![0; len as usize];
        stream.read_exact(&mut bytes).await.unwrap();
    }
    assert_eq!(failures(&node, peer.peer), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_floods_with_records_is_ignored_and_others_are_served() {
    let node = start_changed(Vec::new(), strict).await;
    let mut flood = script::swarm();
    let signer = TestSigner::new(1);
    let record = AddressRecord::new(signer.address(), [1; 32], flood.local_peer_id().to_base58(), 1);
    let key = kad::RecordKey::new(&AddressRecord::dht_key(record.address));
    let value = Signed::sign(record, &signer).unwrap().bytes().to_vec();
    let peer: PeerId = node.p2p.local_peer_id().parse().unwrap();
    let address: Multiaddr = node.address().parse().unwrap();
    flood.behaviour_mut().kad.add_address(&peer, address);
    // A good record, again and again.
    for _ in 0..60 {
        let record = kad::Record::new(key.clone(), value.clone());
        let kad = &mut flood.behaviour_mut().kad;
        kad.put_record_to(record, std::iter::once(peer), kad::Quorum::One);
    }
    let local = *flood.local_peer_id();
    let running = tokio::spawn(async move { while flood.next().await.is_some() {} });
    is_banned(&node, local).await;
    running.abort();
    serves_others(&node).await;
}

/// Begins to bring an object, and stalls when it is to send the chunks.
async fn stall_a_stream(node: &Node, peer: &mut Scripted, seed: u64) -> libp2p::Stream {
    let object = SampleObject::new(1, seed, 100);
    let mut stream = peer.open(&node.address()).await;
    let envelope = object.envelope.bytes();
    let envelope_len = envelope.len() as u32;
    send(&mut stream, &Request::Offer { envelope_len }).await;
    send_bytes(&mut stream, envelope).await;
    let wanted = Some(Reply::OfferAnswer(OfferAnswer::Wanted));
    assert_eq!(receive::<Reply>(&mut stream).await, wanted);
    stream
}

async fn has_score(node: &Node, peer: PeerId, score: u32) {
    eventually("the stall is scored", async || {
        (standing(node, peer).score >= score).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_stalls_its_streams_again_and_again_is_ignored() {
    let node = start_changed(Vec::new(), |network| {
        network.request_timeout_secs = 2;
        // Pings show that it is there all the same.
        network.health_check_interval_secs = 1;
    })
    .await;
    let mut peer = connected(&node, Lie::None, None, Part::default()).await;
    let mut stalled = Vec::new();
    for seed in 0..3 {
        stalled.push(stall_a_stream(&node, &mut peer, seed).await);
        has_score(&node, peer.peer, seed as u32 + 1).await;
    }
    is_banned(&node, peer.peer).await;
    assert!(standing(&node, peer.peer).banned_until.is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_busy_peer_all_of_whose_streams_stall_at_once_keeps_its_place() {
    let node = start_changed(Vec::new(), |network| {
        network.request_timeout_secs = 2;
        network.health_check_interval_secs = 1;
    })
    .await;
    let mut peer = connected(&node, Lie::None, None, Part::default()).await;
    let mut stalled = Vec::new();
    for seed in 0..6 {
        stalled.push(stall_a_stream(&node, &mut peer, seed).await);
    }
    // The node gives each of them up.
    for stream in &mut stalled {
        while receive::<Reply>(stream).await.is_some() {}
    }
    has_score(&node, peer.peer, 1).await;
    assert!(is_connected(&node, peer.peer));
    let standing = standing(&node, peer.peer);
    assert_eq!((standing.score, standing.banned_until), (1, None));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_announces_addresses_of_others_is_ignored_and_not_believed() {
    let victim = start_plain(Vec::new()).await;
    let node = start_changed(vec![victim.address()], |_| {}).await;
    node.knows_peers(1).await;
    // The victim's, and both of the node itself.
    let mut announces: Vec<Multiaddr> = vec![victim.address().parse().unwrap()];
    announces.extend(
        node.p2p
            .listen_addresses()
            .iter()
            .map(|own| own.parse::<Multiaddr>().unwrap()),
    );
    for address in &mut announces {
        address.pop();
    }
    let part = Part {
        announces: announces.clone(),
        ..Part::default()
    };
    let liar = script::connect_as(&node.address(), Lie::None, None, part).await;
    is_banned(&node, liar.peer).await;
    let peers = node.p2p.peers();
    let line = peers
        .iter()
        .find(|status| status.record.peer_id == liar.peer.to_base58())
        .unwrap();
    let believed = |address: &Multiaddr| line.record.addresses.contains(&address.to_string());
    assert!(!announces.iter().any(believed), "{:?}", line.record.addresses);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_names_peers_at_addresses_of_others_is_scored() {
    let victim = start_plain(Vec::new()).await;
    let node = start_changed(vec![victim.address()], |network| {
        network.peer_exchange_interval_secs = 1;
    })
    .await;
    node.knows_peers(1).await;
    let mut place: Multiaddr = victim.address().parse().unwrap();
    place.pop();
    let part = Part {
        names: vec![(PeerId::random(), place)],
        ..Part::default()
    };
    let liar = connected(&node, Lie::None, None, part).await;
    eventually("the liar has failed", async || {
        (failures(&node, liar.peer) > 0).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ban_ends() {
    let node = start_changed(Vec::new(), |network| network.ban_secs = 1).await;
    let object = SampleObject::new(1, 7, 100);
    let holding = Holding::new(&object.envelope, &object.chunks);
    let liar = connected(&node, Lie::Rubbish, Some(holding), Part::default()).await;
    // The node knows where to find it again.
    eventually("the address of the liar is known", async || {
        (!node.p2p.peers()[0].record.addresses.is_empty()).then_some(())
    })
    .await;
    for _ in 0..3 {
        assert!(
            node.p2p
                .find(&object.id().locator, &[], &Trace::default())
                .await
                .unwrap()
                .is_empty()
        );
    }
    is_banned(&node, liar.peer).await;
    // The node itself looks whether the peer is there again.
    eventually("the liar is connected again", async || {
        is_connected(&node, liar.peer).then_some(())
    })
    .await;
}
