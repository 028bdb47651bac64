//! What is offered is checked and limited before it is kept.

use std::sync::Arc;

use dm_core::{
    bus::EventBus,
    envelope::{CHUNK_SIZE, Envelope, MAX_ATTACHMENT, SignedEnvelope},
    signed::Signed,
};
use dm_p2p::{Identity, P2pDeps};
use dm_testing::{
    catalog::MemoryCatalog,
    objects::{MemoryObjectStore, SampleObject},
    signer::TestSigner,
};
use libp2p::Stream;

use crate::common::{
    Node, config,
    script::{self, Lie, OfferAnswer, Refusal, Reply, Request, Scripted, receive, send, send_bytes},
    start_with,
};

const MAX_OBJECT: u64 = 8 * CHUNK_SIZE;

/// A node that keeps little for others, and a peer that is connected with it.
async fn node_and_peer() -> (Node, Scripted) {
    let mut config = config(Identity::generate(), Vec::new());
    config.network.max_foreign_object = MAX_OBJECT;
    config.network.max_foreign_bytes = MAX_OBJECT;
    let store = Arc::new(MemoryObjectStore::new());
    let deps = P2pDeps {
        quota: Some(store.clone()),
        ..P2pDeps::new(store, Arc::new(MemoryCatalog::new()), EventBus::new())
    };
    let node = start_with(config, deps).await;
    let peer = script::connect(&node.address(), Lie::None, None).await;
    (node, peer)
}

async fn offer(stream: &mut Stream, envelope: &[u8]) -> Option<Reply> {
    send(
        stream,
        &Request::Offer {
            envelope_len: envelope.len() as u32,
        },
    )
    .await;
    send_bytes(stream, envelope).await;
    receive(stream).await
}

async fn send_object(stream: &mut Stream, object: &SampleObject) {
    for chunk in &object.chunks {
        send_bytes(stream, chunk.name().as_bytes()).await;
    }
    for chunk in &object.chunks {
        send(
            stream,
            &Reply::Chunk {
                len: chunk.bytes().len() as u32,
            },
        )
        .await;
        send_bytes(stream, chunk.bytes()).await;
    }
}

/// Offers an object that is taken.
async fn push(stream: &mut Stream, object: &SampleObject) {
    assert_eq!(
        offer(stream, object.envelope.bytes()).await,
        Some(Reply::OfferAnswer(OfferAnswer::Wanted))
    );
    send_object(stream, object).await;
    assert_eq!(receive(stream).await, Some(Reply::OfferAnswer(OfferAnswer::Held)));
}

/// The object of account number 1 under an envelope with this many of the
/// largest attachments.
fn with_attachments(object: &SampleObject, sequence: u64, count: usize) -> SampleObject {
    let envelope = Envelope {
        sequence,
        attachments: vec![vec![0; MAX_ATTACHMENT].into(); count],
        ..object.envelope.statement().clone()
    };
    SampleObject {
        envelope: Signed::sign(envelope, &TestSigner::new(1)).unwrap(),
        chunks: object.chunks.clone(),
    }
}

fn refused(refusal: Refusal) -> Option<Reply> {
    Some(Reply::OfferAnswer(OfferAnswer::Refused(refusal)))
}

async fn is_empty(node: &Node) -> bool {
    node.store.list(None, 10).await.unwrap().is_empty()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_offered_object_is_kept() {
    let (node, mut peer) = node_and_peer().await;
    let object = SampleObject::new(1, 7, 2 * CHUNK_SIZE + 1);
    let mut stream = peer.open(&node.address()).await;
    assert_eq!(
        offer(&mut stream, object.envelope.bytes()).await,
        Some(Reply::OfferAnswer(OfferAnswer::Wanted))
    );
    send_object(&mut stream, &object).await;
    assert_eq!(
        receive(&mut stream).await,
        Some(Reply::OfferAnswer(OfferAnswer::Held))
    );
    assert!(object.is_in(&*node.store).await);
    // The same stream serves the next offer.
    assert_eq!(
        offer(&mut stream, object.envelope.bytes()).await,
        Some(Reply::OfferAnswer(OfferAnswer::Held))
    );
    let newer = object.envelope_with_sequence(1, 2);
    assert_eq!(
        offer(&mut stream, newer.bytes()).await,
        Some(Reply::OfferAnswer(OfferAnswer::Held))
    );
    assert_eq!(
        offer(&mut stream, object.envelope.bytes()).await,
        refused(Refusal::Stale)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_envelope_with_a_foreign_signature_is_refused() {
    let (node, mut peer) = node_and_peer().await;
    let mut forged = SampleObject::new(1, 7, 100).envelope.bytes().to_vec();
    forged[9] ^= 1;
    let mut stream = peer.open(&node.address()).await;
    assert_eq!(offer(&mut stream, &forged).await, refused(Refusal::Invalid));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_object_above_the_limit_is_refused() {
    let (node, mut peer) = node_and_peer().await;
    let envelope: SignedEnvelope = SampleObject::sign_list(1, 7, MAX_OBJECT * 2, [0; 32], 1);
    let mut stream = peer.open(&node.address()).await;
    assert_eq!(
        offer(&mut stream, envelope.bytes()).await,
        refused(Refusal::TooLarge)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn objects_above_the_quota_are_refused() {
    let (node, mut peer) = node_and_peer().await;
    let mut stream = peer.open(&node.address()).await;
    let object = SampleObject::new(1, 7, MAX_OBJECT / 2);
    offer(&mut stream, object.envelope.bytes()).await;
    send_object(&mut stream, &object).await;
    assert_eq!(
        receive(&mut stream).await,
        Some(Reply::OfferAnswer(OfferAnswer::Held))
    );
    let second = SampleObject::new(1, 8, MAX_OBJECT / 2);
    assert_eq!(
        offer(&mut stream, second.envelope.bytes()).await,
        refused(Refusal::Full)
    );
    let held = node.store.envelope(&second.id()).await.unwrap();
    assert_eq!(held, None, "nothing of it is kept");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn throw_away_owners_cannot_crowd_one_locator() {
    let (node, mut peer) = node_and_peer().await;
    let mut stream = peer.open(&node.address()).await;
    for owner in 1..=16 {
        push(&mut stream, &SampleObject::new(owner, 7, 1)).await;
    }
    let one_more = SampleObject::new(17, 7, 1);
    assert_eq!(
        offer(&mut stream, one_more.envelope.bytes()).await,
        refused(Refusal::Full)
    );
    // Those that are kept can be replaced, and other locators have room.
    let mut newer = SampleObject::new(1, 7, 2);
    newer.envelope = newer.envelope_with_sequence(1, 2);
    push(&mut stream, &newer).await;
    push(&mut stream, &SampleObject::new(17, 8, 1)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_envelopes_of_small_objects_use_up_the_quota() {
    let (node, mut peer) = node_and_peer().await;
    let mut stream = peer.open(&node.address()).await;
    let mut kept = 0;
    loop {
        let object = with_attachments(&SampleObject::new(1, kept, 1), 1, 16);
        match offer(&mut stream, object.envelope.bytes()).await {
            Some(Reply::OfferAnswer(OfferAnswer::Wanted)) => send_object(&mut stream, &object).await,
            answer => {
                assert_eq!(answer, refused(Refusal::Full));
                break;
            }
        }
        assert_eq!(
            receive(&mut stream).await,
            Some(Reply::OfferAnswer(OfferAnswer::Held))
        );
        kept += 1;
    }
    assert!(
        (8..=16).contains(&kept),
        "{kept} envelopes of 128 KiB within 2 MiB"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_envelope_that_grows_beyond_the_quota_is_refused() {
    let (node, mut peer) = node_and_peer().await;
    let mut stream = peer.open(&node.address()).await;
    let large = SampleObject::new(1, 7, 7 * CHUNK_SIZE);
    push(&mut stream, &large).await;
    let small = [8, 9].map(|seed| SampleObject::new(1, seed, 1));
    for object in &small {
        push(&mut stream, object).await;
    }
    // There is room for one envelope of 128 KiB, not for two.
    let [first, second] = small.map(|object| with_attachments(&object, 2, 16));
    assert_eq!(
        offer(&mut stream, first.envelope.bytes()).await,
        Some(Reply::OfferAnswer(OfferAnswer::Held))
    );
    assert_eq!(
        offer(&mut stream, second.envelope.bytes()).await,
        refused(Refusal::Full)
    );
    let held = node.store.envelope(&second.id()).await.unwrap();
    assert_eq!(held, None, "what its owner has replaced is served to nobody");
    // The chunks are there already: one that does not grow needs no space for them.
    let newer = large.envelope_with_sequence(1, 2);
    assert_eq!(
        offer(&mut stream, newer.bytes()).await,
        Some(Reply::OfferAnswer(OfferAnswer::Held))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_chunks_and_wrong_names_leave_nothing_behind() {
    let (node, mut peer) = node_and_peer().await;
    let object = SampleObject::new(1, 7, 2 * CHUNK_SIZE);

    let mut stream = peer.open(&node.address()).await;
    offer(&mut stream, object.envelope.bytes()).await;
    send_bytes(&mut stream, &[7; 64]).await;
    assert_eq!(receive(&mut stream).await, refused(Refusal::Invalid));

    let mut stream = peer.open(&node.address()).await;
    offer(&mut stream, object.envelope.bytes()).await;
    let mut wrong = object.clone();
    wrong.chunks.swap(0, 1);
    for chunk in &object.chunks {
        send_bytes(&mut stream, chunk.name().as_bytes()).await;
    }
    let bytes = wrong.chunks[0].bytes();
    send(
        &mut stream,
        &Reply::Chunk {
            len: bytes.len() as u32,
        },
    )
    .await;
    send_bytes(&mut stream, bytes).await;
    assert_eq!(receive(&mut stream).await, refused(Refusal::Invalid));
    assert!(is_empty(&node).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_enormous_length_is_refused_before_memory_is_set_aside() {
    let (node, mut peer) = node_and_peer().await;
    let mut stream = peer.open(&node.address()).await;
    send(
        &mut stream,
        &Request::Offer {
            envelope_len: u32::MAX,
        },
    )
    .await;
    assert_eq!(receive::<Reply>(&mut stream).await, None);
    let mut stream = peer.open(&node.address()).await;
    let id = SampleObject::new(1, 7, 1).id();
    send(
        &mut stream,
        &Request::Chunks {
            id,
            first: u64::MAX,
            count: u32::MAX,
        },
    )
    .await;
    assert_eq!(receive::<Reply>(&mut stream).await, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_beyond_the_end_of_an_object_are_answered() {
    let (node, mut peer) = node_and_peer().await;
    let object = SampleObject::new(1, 7, 100);
    object.store_in(&*node.store).await.unwrap();
    let mut stream = peer.open(&node.address()).await;
    let id = object.id();
    for request in [
        Request::Chunks {
            id,
            first: u64::MAX,
            count: 1,
        },
        Request::Chunks {
            id,
            first: 1,
            count: 16,
        },
        Request::Names {
            id,
            first: 5,
            count: 1,
        },
    ] {
        send(&mut stream, &request).await;
        assert_eq!(receive(&mut stream).await, Some(Reply::Missing), "{request:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sender_that_goes_away_leaves_nothing_behind() {
    let (node, mut peer) = node_and_peer().await;
    let object = SampleObject::new(1, 7, 2 * CHUNK_SIZE);
    let mut stream = peer.open(&node.address()).await;
    offer(&mut stream, object.envelope.bytes()).await;
    for chunk in &object.chunks {
        send_bytes(&mut stream, chunk.name().as_bytes()).await;
    }
    drop(stream);
    drop(peer);
    node.stop().await;
    assert!(is_empty(&node).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_has_a_bounded_number_of_streams() {
    let (node, mut peer) = node_and_peer().await;
    let locator = SampleObject::new(1, 7, 1).id().locator;
    let mut answered = Vec::new();
    for _ in 0..30 {
        let mut stream = peer.open(&node.address()).await;
        send(&mut stream, &Request::Envelopes { locator }).await;
        if receive::<Reply>(&mut stream).await.is_some() {
            answered.push(stream);
        }
    }
    assert_eq!(answered.len(), 24);
}

#[tokio::test]
async fn an_object_whose_time_is_over_is_refused_and_not_shown() {
    let (node, mut peer) = node_and_peer().await;
    let object = SampleObject::new(1, 7, 100_000);
    let over = object.envelope_that_ends(1, 1);
    let mut stream = peer.open(&node.address()).await;
    assert_eq!(offer(&mut stream, over.bytes()).await, refused(Refusal::Stale));
    assert!(is_empty(&node).await);
}
