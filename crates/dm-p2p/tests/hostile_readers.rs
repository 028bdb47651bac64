//! Peers that ask for much, and read or send nothing of it, hold up nobody else.

use dm_core::{
    Address,
    envelope::{CHUNK_SIZE, Envelope, MAX_ATTACHMENT},
    ports::NetworkStatus,
    signed::Signed,
};
use dm_testing::{objects::SampleObject, signer::TestSigner, waiting::PATIENCE};
use futures::AsyncReadExt;
use libp2p::Stream;

use crate::common::{
    Node,
    script::{self, Lie, OfferAnswer, Reply, Request, Scripted, receive, send, send_bytes},
    start_changed, start_plain,
};

/// As many as it takes to hold all that is set aside for strangers, and more.
const HOSTILE: usize = 8;
/// Streams of each.
const STREAMS: usize = 16;

/// A node that would wait long for each of them.
async fn patient_node() -> Node {
    start_changed(Vec::new(), |network| network.request_timeout_secs = 600).await
}

/// Peers that send this on all their streams, and nothing else.
async fn silent_peers(node: &Node, request: Request) -> (Vec<Scripted>, Vec<Stream>) {
    let (mut peers, mut streams) = (Vec::new(), Vec::new());
    for _ in 0..HOSTILE {
        let mut peer = script::connect(&node.address(), Lie::None, None).await;
        for _ in 0..STREAMS {
            let mut stream = peer.open(&node.address()).await;
            send(&mut stream, &request).await;
            streams.push(stream);
        }
        peers.push(peer);
    }
    (peers, streams)
}

async fn skip(stream: &mut Stream, len: u32) {
    let mut bytes = vec![0; len as usize];
    stream.read_exact(&mut bytes).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_reads_nothing_of_what_it_asks_for_holds_up_nobody_else() {
    let node = patient_node().await;
    let object = SampleObject::new(1, 7, 16 * CHUNK_SIZE);
    object.store_in(&*node.store).await.unwrap();
    let request = |count| Request::Chunks {
        id: object.id(),
        first: 0,
        count,
    };
    let _hostile = silent_peers(&node, request(16)).await;
    let mut honest = script::connect(&node.address(), Lie::None, None).await;
    let mut stream = honest.open(&node.address()).await;
    // The first ones may come before all memory is held.
    for _ in 0..20 {
        let read = async {
            send(&mut stream, &request(1)).await;
            let Some(Reply::Chunk { len }) = receive(&mut stream).await else {
                panic!("a chunk is sent");
            };
            skip(&mut stream, len).await;
        };
        tokio::time::timeout(PATIENCE, read).await.expect("it is served");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_announces_envelopes_that_never_come_keeps_nobody_from_offering() {
    let node = patient_node().await;
    let envelope_len = 512 * 1024;
    let _hostile = silent_peers(&node, Request::Offer { envelope_len }).await;
    let mut honest = script::connect(&node.address(), Lie::None, None).await;
    let object = SampleObject::new(1, 7, 100);
    let mut stream = honest.open(&node.address()).await;
    let offered = async {
        let envelope = object.envelope.bytes();
        let envelope_len = envelope.len() as u32;
        send(&mut stream, &Request::Offer { envelope_len }).await;
        send_bytes(&mut stream, envelope).await;
        receive(&mut stream).await
    };
    let answer = tokio::time::timeout(PATIENCE, offered)
        .await
        .expect("it is answered");
    assert_eq!(answer, Some(Reply::OfferAnswer(OfferAnswer::Wanted)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_reads_much_is_served_later_and_not_ignored() {
    let node = start_changed(Vec::new(), |network| {
        network.peer_requests_per_sec = 20;
        network.peer_requests_burst = 4;
    })
    .await;
    let object = SampleObject::new(1, 7, 16 * CHUNK_SIZE);
    object.store_in(&*node.store).await.unwrap();
    let mut peer = script::connect(&node.address(), Lie::None, None).await;
    let mut stream = peer.open(&node.address()).await;
    for _ in 0..3 {
        let request = Request::Chunks {
            id: object.id(),
            first: 0,
            count: 16,
        };
        send(&mut stream, &request).await;
        for _ in 0..16 {
            let Some(Reply::Chunk { len }) = receive(&mut stream).await else {
                panic!("each chunk is sent");
            };
            skip(&mut stream, len).await;
        }
    }
    let peers = node.p2p.peers();
    assert!(
        peers
            .iter()
            .all(|peer| peer.connected && peer.standing.score == 0)
    );
}

/// An object of this account whose envelope has 128 KiB.
fn with_large_envelope(account: u8) -> SampleObject {
    let object = SampleObject::new(account, 7, 100);
    let envelope = Envelope {
        attachments: vec![vec![0; MAX_ATTACHMENT].into(); 16],
        ..object.envelope.statement().clone()
    };
    SampleObject {
        envelope: Signed::sign(envelope, &TestSigner::new(account)).unwrap(),
        chunks: object.chunks,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_with_large_envelopes_is_bounded_and_all_come_page_by_page() {
    const OWNERS: u8 = 12;
    const MAX_PAGE: u32 = 1024 * 1024;
    let node = start_plain(Vec::new()).await;
    for account in 1..=OWNERS {
        with_large_envelope(account).store_in(&*node.store).await.unwrap();
    }
    let locator = with_large_envelope(1).id().locator;
    let mut peer = script::connect(&node.address(), Lie::None, None).await;
    let mut stream = peer.open_two(&node.address()).await;
    let (mut after, mut found, mut pages) = (None::<Address>, 0, 0);
    loop {
        let owners = Vec::new();
        send(
            &mut stream,
            &Request::FindEnvelopes {
                locator,
                owners,
                after,
            },
        )
        .await;
        let Some(Reply::EnvelopePage { lengths, next }) = receive(&mut stream).await else {
            panic!("a page is sent");
        };
        let bytes = lengths.iter().sum();
        assert!(bytes <= MAX_PAGE, "{bytes}");
        skip(&mut stream, bytes).await;
        (found, pages) = (found + lengths.len(), pages + 1);
        after = next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!((found, pages), (usize::from(OWNERS), 2));
    // Version 1 has no pages: what there is room for comes.
    let mut stream = peer.open(&node.address()).await;
    send(&mut stream, &Request::Envelopes { locator }).await;
    let Some(Reply::Envelopes { lengths }) = receive(&mut stream).await else {
        panic!("envelopes are sent");
    };
    assert!(lengths.iter().sum::<u32>() <= MAX_PAGE && lengths.len() > 6);
}
