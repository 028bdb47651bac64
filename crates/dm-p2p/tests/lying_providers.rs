//! A lying provider cannot make a reader accept wrong bytes, nor keep the
//! right ones from it while an honest holder exists.

use dm_core::{
    envelope::CHUNK_SIZE,
    ports::{FetchError, Found, NetworkStatus, ObjectExchange},
    trace::Trace,
};
use dm_testing::objects::{MemoryObjectStore, SampleObject};
use futures::TryStreamExt;

use crate::common::{
    Node,
    script::{self, Holding, Lie, Part, Scripted},
    start_over, start_plain,
};

fn object() -> SampleObject {
    SampleObject::new(1, 7, 10 * CHUNK_SIZE + 3)
}

/// A reader, an honest holder, and a peer that lies.
async fn reader_holder_and_liar(lie: Lie, holding: Option<Holding>) -> (Node, Node, Scripted) {
    let store = MemoryObjectStore::new();
    object().store_in(&store).await.unwrap();
    let holder = start_over(&store, Vec::new()).await;
    let reader = start_plain(vec![holder.address()]).await;
    reader.knows_peers(1).await;
    let liar = script::connect(&reader.address(), lie, holding).await;
    reader.has_active_peers(2).await;
    (reader, holder, liar)
}

/// Fetches with the liar as the first choice.
async fn assert_reads_past(lie: Lie) {
    let object = object();
    let holding = Holding::new(&object.envelope, &object.chunks);
    let (reader, holder, liar) = reader_holder_and_liar(lie, Some(holding)).await;
    let found = Found {
        envelope: object.envelope.clone(),
        holders: vec![liar.peer.to_base58(), holder.p2p.local_peer_id()],
    };
    let chunks: Vec<_> = reader
        .p2p
        .fetch(&found, 0, &Trace::default())
        .try_collect()
        .await
        .unwrap();
    assert!(chunks == object.chunks, "{lie:?}");
    if lie != Lie::Stalls {
        let peers = reader.p2p.peers();
        let liar = peers
            .iter()
            .find(|peer| peer.record.peer_id == liar.peer.to_base58())
            .unwrap();
        assert!(
            liar.record.failures > 0 || lie == Lie::Withholds,
            "{lie:?} is remembered"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_chunks_are_fetched_again_from_an_honest_holder() {
    assert_reads_past(Lie::WrongChunks).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_names_are_fetched_again_from_an_honest_holder() {
    assert_reads_past(Lie::WrongNames).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_withholds_is_replaced() {
    assert_reads_past(Lie::Withholds).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_stalls_is_overtaken() {
    assert_reads_past(Lie::Stalls).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_hangs_up_is_replaced() {
    assert_reads_past(Lie::HangsUp).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_breaks_the_protocol_is_replaced() {
    assert_reads_past(Lie::Rubbish).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scripted_peer_that_does_not_lie_is_read_from() {
    let object = object();
    let reader = start_plain(Vec::new()).await;
    let holding = Holding::new(&object.envelope, &object.chunks);
    let _peer = script::connect(&reader.address(), Lie::None, Some(holding)).await;
    reader.has_active_peers(1).await;
    reader.reads(&object).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_envelope_with_a_foreign_signature_is_not_found() {
    let object = object();
    let mut holding = Holding::new(&object.envelope_with_sequence(1, 9), &object.chunks);
    let mut forged = holding.envelope.to_vec();
    forged[5] ^= 1;
    holding.envelope = forged.into();
    let (reader, holder, _liar) = reader_holder_and_liar(Lie::None, Some(holding)).await;
    let found = reader
        .p2p
        .find(&object.id().locator, &[], &Trace::default())
        .await
        .unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].envelope, object.envelope);
    assert_eq!(found[0].holders, [holder.p2p.local_peer_id()]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_envelope_of_another_locator_is_not_found() {
    let (object, other) = (object(), SampleObject::new(1, 8, 100));
    let holding = Holding::new(&other.envelope, &other.chunks);
    let (reader, _holder, _liar) = reader_holder_and_liar(Lie::None, Some(holding)).await;
    let found = reader
        .p2p
        .find(&object.id().locator, &[], &Trace::default())
        .await
        .unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].envelope, object.envelope);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_older_envelope_does_not_hide_the_newer_one() {
    let object = object();
    let holding = Holding::new(&object.envelope, &object.chunks);
    let (reader, holder, liar) = reader_holder_and_liar(Lie::None, Some(holding)).await;
    let newer = object.envelope_with_sequence(1, 2);
    assert!(holder.store.replace_envelope(&newer).await.unwrap());
    let found = reader
        .p2p
        .find(&object.id().locator, &[], &Trace::default())
        .await
        .unwrap();
    assert_eq!(found[0].envelope, newer);
    let mut holders = found[0].holders.clone();
    holders.sort();
    let mut expected = vec![holder.p2p.local_peer_id(), liar.peer.to_base58()];
    expected.sort();
    assert_eq!(holders, expected, "the same chunks serve");
}

/// A liar that holds the locator under so many accounts that it made up, from this one on.
async fn inventor(reader: &Node, first: u8, speaks_two: bool) -> Scripted {
    let mut invented = (first..first + 16).map(|owner| SampleObject::new(owner, 7, 100));
    let last = invented.next_back().unwrap();
    let mut holding = Holding::new(&last.envelope, &last.chunks);
    holding.others = invented.map(|object| object.envelope.bytes().clone()).collect();
    let part = Part {
        speaks_two,
        ..Part::default()
    };
    script::connect_as(&reader.address(), Lie::None, Some(holding), part).await
}

/// Invented owners come first, and in the order of addresses as well as by number they
/// would leave no place for the true one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn invented_owners_hide_nobody() {
    let object = object();
    let store = MemoryObjectStore::new();
    object.store_in(&store).await.unwrap();
    let holder = start_over(&store, Vec::new()).await;
    let reader = start_plain(vec![holder.address()]).await;
    reader.knows_peers(1).await;
    let mut inventors = Vec::new();
    for number in 0..8u8 {
        inventors.push(inventor(&reader, 10 + number * 16, number % 2 == 0).await);
    }
    reader.has_active_peers(9).await;
    let (locator, owner) = (object.id().locator, object.id().owner);
    let trace = Trace::default();
    let found = reader.p2p.find(&locator, &[], &trace).await.unwrap();
    assert!(found.iter().any(|found| found.envelope == object.envelope));
    let named = reader.p2p.find(&locator, &[owner], &trace).await.unwrap();
    assert_eq!(named[0].envelope, object.envelope);
    assert_eq!(named[0].holders, [holder.p2p.local_peer_id()]);
}

/// A holder with more owners than one answer has room for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_owner_beyond_the_first_page_of_its_holder_is_found() {
    let store = MemoryObjectStore::new();
    let mut objects: Vec<SampleObject> = (1..=40).map(|owner| SampleObject::new(owner, 7, 100)).collect();
    for object in &objects {
        object.store_in(&store).await.unwrap();
    }
    let holder = start_over(&store, Vec::new()).await;
    let reader = start_plain(vec![holder.address()]).await;
    reader.knows_peers(1).await;
    objects.sort_by_key(|object| object.id().owner);
    let last = objects.last().unwrap();
    let (locator, trace) = (last.id().locator, Trace::default());
    let pages = reader.p2p.find(&locator, &[], &trace).await.unwrap();
    assert_eq!(pages.len(), 32, "what one peer may bring");
    let named = reader
        .p2p
        .find(&locator, &[last.id().owner], &trace)
        .await
        .unwrap();
    assert_eq!(named[0].envelope, last.envelope);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_everybody_lies_the_reader_gets_an_error_and_no_bytes() {
    let object = object();
    let reader = start_plain(Vec::new()).await;
    let holding = Holding::new(&object.envelope, &object.chunks);
    let _liar = script::connect(&reader.address(), Lie::WrongChunks, Some(holding)).await;
    reader.has_active_peers(1).await;
    let found = reader
        .p2p
        .find(&object.id().locator, &[], &Trace::default())
        .await
        .unwrap();
    let fetched: Result<Vec<_>, _> = reader
        .p2p
        .fetch(&found[0], 0, &Trace::default())
        .try_collect()
        .await;
    assert!(matches!(fetched, Err(FetchError::NoHolder(_))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_keeps_breaking_the_protocol_is_banned() {
    let object = object();
    let reader = start_plain(Vec::new()).await;
    let holding = Holding::new(&object.envelope, &object.chunks);
    let liar = script::connect(&reader.address(), Lie::Rubbish, Some(holding)).await;
    reader.has_active_peers(1).await;
    let failures = || reader.p2p.peers()[0].record.failures;
    for _ in 0..6 {
        assert!(
            reader
                .p2p
                .find(&object.id().locator, &[], &Trace::default())
                .await
                .unwrap()
                .is_empty()
        );
    }
    assert_eq!(failures(), 3, "{} is not asked again", liar.peer);
}
