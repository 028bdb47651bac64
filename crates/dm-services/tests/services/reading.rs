//! What reading promises, on in-memory ports.

use bytes::Bytes;
use dm_core::{
    envelope::{CHUNK_SIZE, ObjectId},
    hash::DataHash,
    ports::{InboxCatalog, ObjectStore},
    share::ReadableObject,
    signed::Signed,
    trace::{AskedFor, TraceReport, TraceSource},
};
use dm_services::ServiceError;
use dm_testing::{
    catalog::samples,
    network::LyingStore,
    objects::{MemoryObjectStore, SampleObject},
    signer::TestSigner,
};
use futures::{StreamExt, TryStreamExt};

use crate::support::{TestNode, World, data, holders, terms};

const CHUNK: usize = CHUNK_SIZE as usize;

#[tokio::test]
async fn a_stranger_is_refused_and_knows_that_the_data_exists() {
    let world = World::new();
    let (owner, recipient, stranger) = (world.node(1).await, world.node(2).await, world.node(3).await);
    let outcome = owner
        .data
        .share_bytes(data(100), terms(recipient.address()))
        .await
        .unwrap();
    assert!(matches!(
        stranger.read(&outcome.data_hash).await,
        Err(ServiceError::NotGranted)
    ));
    let unknown = DataHash::of(b"never shared");
    assert!(matches!(
        stranger.read(&unknown).await,
        Err(ServiceError::NotFound)
    ));
}

#[tokio::test]
async fn parts_are_read_from_any_place_checked_or_not() {
    let world = World::new();
    let (owner, recipient) = (world.node(1).await, world.node(2).await);
    let data = data(2 * CHUNK + 1000);
    let outcome = owner
        .data
        .share_bytes(data.clone(), terms(recipient.address()))
        .await
        .unwrap();
    let end = data.len() as u64;
    for (start, stop) in [
        (0, 1),
        (CHUNK_SIZE - 1, CHUNK_SIZE + 1),
        (5, end),
        (end - 1, end + 100),
        (end, end + 1),
    ] {
        let expected = &data[start.min(end) as usize..stop.min(end) as usize];
        for node in [&owner, &recipient] {
            assert!(
                node.read_part(&outcome.data_hash, start..stop).await.unwrap() == expected,
                "{start}..{stop}"
            );
        }
    }
}

#[tokio::test]
async fn what_was_read_from_the_network_is_kept_encrypted_and_read_again_without_it() {
    let world = World::new();
    let (owner, recipient) = (world.node(1).await, world.node(2).await);
    let secret = Bytes::from_static(b"a plaintext that must not lie about on any disk");
    let outcome = owner
        .data
        .share_bytes(secret.clone(), terms(recipient.address()))
        .await
        .unwrap();
    recipient.read(&outcome.data_hash).await.unwrap();
    owner.network.set_online(false);
    assert!(recipient.read(&outcome.data_hash).await.unwrap() == secret);
    let id = ObjectId {
        locator: outcome.data_hash.locator(),
        owner: owner.address(),
    };
    let chunk = recipient.objects.chunk(&id, 0).await.unwrap();
    assert!(!chunk.bytes().windows(9).any(|window| window == b"plaintext"));
}

#[tokio::test]
async fn a_lying_provider_cannot_make_a_reader_accept_wrong_bytes() {
    let world = World::new();
    let honest = std::sync::Arc::new(MemoryObjectStore::new());
    let lying = std::sync::Arc::new(LyingStore::new(honest.clone()));
    let owner = world.node_over(1, honest, lying).await;
    // The recipient has announced itself and is away while the object spreads.
    let recipient = world.node(2).await;
    recipient.network.set_online(false);
    let outcome = owner
        .data
        .share_bytes(data(2 * CHUNK), terms(recipient.address()))
        .await
        .unwrap();
    recipient.network.set_online(true);
    assert!(recipient.read(&outcome.data_hash).await.is_err());
    assert_eq!(recipient.objects.usage().await.unwrap().objects, 0);
}

#[tokio::test]
async fn an_object_that_is_not_what_it_was_found_under_is_never_delivered_whole() {
    let world = World::new();
    let (liar, honest, reader) = (world.node(1).await, world.node(2).await, world.node(3).await);
    let (asked, other) = (data(CHUNK + 1), data(CHUNK + 2));
    // The liar's object holds other data than its locator says.
    let outcome = liar
        .data
        .share_bytes(other.clone(), terms(reader.address()))
        .await
        .unwrap();
    forge(&liar, &outcome.data_hash, &DataHash::of(&asked)).await;

    let mut pieces = reader
        .data
        .open(&DataHash::of(&asked))
        .await
        .unwrap()
        .read(0..u64::MAX);
    let mut received = 0;
    let failure = loop {
        match pieces.try_next().await {
            Ok(Some(piece)) => received += piece.len(),
            Ok(None) => panic!("the forged object was delivered"),
            Err(failure) => break failure,
        }
    };
    assert!(matches!(failure, ServiceError::Damaged(_)), "{failure}");
    assert!(received < other.len());

    // Another owner's honest object is found in its place.
    honest
        .data
        .share_bytes(asked.clone(), terms(reader.address()))
        .await
        .unwrap();
    assert!(reader.read(&DataHash::of(&asked)).await.unwrap() == asked);
}

#[tokio::test]
async fn what_a_sender_was_listed_with_is_found_among_any_number_of_other_owners() {
    let world = World::new();
    let (sender, crowd, reader) = (world.node(1).await, world.node(2).await, world.node(3).await);
    reader.network.set_online(false);
    let shared = sender.data.share_bytes(data(100), terms(reader.address())).await;
    let data_hash = shared.unwrap().data_hash;
    let locator = data_hash.locator();
    reader.network.set_online(true);
    // The owners that a network names of its own accord are those with the lowest addresses.
    for number in 4..=u8::MAX {
        let object = SampleObject::new(number, 1, 100);
        let mut envelope = object.envelope.statement().clone();
        envelope.id.locator = locator;
        let envelope = Signed::sign(envelope, &TestSigner::new(number)).unwrap();
        object.store_under(&*crowd.objects, &envelope).await.unwrap();
    }
    assert!(
        matches!(reader.read(&data_hash).await, Err(ServiceError::NotGranted)),
        "who knows nothing of the sender"
    );

    let item = samples::inbox_item(data_hash, sender.address());
    reader.catalog.list_item(&item, &[]).await.unwrap();
    assert!(reader.read(&data_hash).await.unwrap() == data(100));
}

/// Publishes the object of `from` under the locator of `to`.
async fn forge(liar: &TestNode, from: &DataHash, to: &DataHash) {
    let owner = liar.address();
    let source = ObjectId {
        locator: from.locator(),
        owner,
    };
    let target = ObjectId {
        locator: to.locator(),
        owner,
    };
    let envelope = liar.objects.envelope(&source).await.unwrap().unwrap();
    let entry = liar.ports.catalog.readable(from).await.unwrap().unwrap();
    let key = liar.ports.key_ring.unwrap(&entry.key).unwrap();
    // A node shows others no object of its own that it does not know itself.
    let known = ReadableObject {
        data_hash: *to,
        id: target,
        ..entry
    };
    liar.ports.catalog.put_readable(&known).await.unwrap();
    let mut forged = envelope.statement().clone();
    forged.id = target;
    forged.sequence += 1_000_000;
    for grant in &mut forged.grants {
        let record = liar
            .ports
            .network
            .find_address(grant.recipient)
            .await
            .unwrap()
            .unwrap();
        *grant = liar.ports.grants.grant(&key, &target, &record).unwrap();
    }
    let mut writer = liar.objects.create().await.unwrap();
    for index in 0..envelope.chunk_count() {
        writer
            .append(liar.objects.chunk(&source, index).await.unwrap())
            .await
            .unwrap();
    }
    let forged = dm_core::signed::Signed::sign(forged, liar.ports.signer.as_ref()).unwrap();
    writer.finish(&forged).await.unwrap();
    assert!(holders(liar, to).await <= 1);
}

#[tokio::test]
async fn an_owner_that_replaces_its_object_cannot_change_what_a_hash_stands_for() {
    let world = World::new();
    let (owner, reader) = (world.node(1).await, world.node(2).await);
    let (promised, other) = (data(1000), data(2000));
    let outcome = owner
        .data
        .share_bytes(promised.clone(), terms(reader.address()))
        .await
        .unwrap();
    assert!(reader.read(&outcome.data_hash).await.unwrap() == promised);
    // The owner puts other data in its place, here and at the reader.
    let replacement = owner
        .data
        .share_bytes(other, terms(reader.address()))
        .await
        .unwrap();
    forge(&owner, &replacement.data_hash, &outcome.data_hash).await;
    let id = ObjectId {
        locator: outcome.data_hash.locator(),
        owner: owner.address(),
    };
    let envelope = owner.objects.envelope(&id).await.unwrap().unwrap();
    let mut writer = reader.objects.create().await.unwrap();
    writer
        .append(owner.objects.chunk(&id, 0).await.unwrap())
        .await
        .unwrap();
    writer.finish(&envelope).await.unwrap();
    let read = reader.read(&outcome.data_hash).await;
    assert!(matches!(read, Err(ServiceError::Damaged(_))), "{read:?}");
}

/// Chunks that peers have sent for this retrieval, and those that were here.
fn chunks_asked_and_kept(trace: &TraceReport) -> (u64, u64) {
    let chunks = trace
        .peers
        .iter()
        .filter(|peer| peer.asked_for == AskedFor::Chunks);
    (chunks.map(|peer| peer.items).sum(), trace.chunks_kept)
}

#[tokio::test]
async fn an_interrupted_retrieval_asks_for_the_rest_alone() {
    let world = World::new();
    let (owner, recipient) = (world.node(1).await, world.node(2).await);
    // Away while the object spreads, so that it has to fetch it.
    recipient.network.set_online(false);
    let data = data(30 * CHUNK);
    let outcome = owner
        .data
        .share_bytes(data.clone(), terms(recipient.address()))
        .await
        .unwrap();
    recipient.network.set_online(true);

    let object = recipient.data.open(&outcome.data_hash).await.unwrap();
    let trace = object.trace();
    let mut pieces = object.read(0..u64::MAX);
    for _ in 0..10 {
        pieces.try_next().await.unwrap().unwrap();
    }
    drop(pieces);
    assert!(!trace.report().complete);

    let object = recipient.data.open(&outcome.data_hash).await.unwrap();
    let trace = object.trace();
    let pieces: Vec<Bytes> = object.read(0..u64::MAX).try_collect().await.unwrap();
    assert!(pieces.concat() == data);
    let report = trace.report();
    let (asked, kept) = chunks_asked_and_kept(&report);
    assert!(kept >= 10, "{kept} were kept");
    assert_eq!(asked, 30 - kept);
    assert_eq!(
        (report.source, report.chunks, report.complete),
        (TraceSource::Network, 30, true)
    );

    // And now nothing is asked of anybody.
    let object = recipient.data.open(&outcome.data_hash).await.unwrap();
    let trace = object.trace();
    let _: Vec<Bytes> = object.read(0..u64::MAX).try_collect().await.unwrap();
    assert_eq!(trace.report().source, TraceSource::Store);
    assert_eq!(chunks_asked_and_kept(&trace.report()), (0, 0));
}

#[tokio::test]
async fn an_interrupted_object_that_lies_is_not_gone_on_with() {
    let world = World::new();
    let (liar, reader) = (world.node(1).await, world.node(3).await);
    reader.network.set_online(false);
    let (asked, other) = (data(3 * CHUNK), data(3 * CHUNK + 2));
    let outcome = liar
        .data
        .share_bytes(other, terms(reader.address()))
        .await
        .unwrap();
    forge(&liar, &outcome.data_hash, &DataHash::of(&asked)).await;
    reader.network.set_online(true);
    let object = reader.data.open(&DataHash::of(&asked)).await.unwrap();
    let failed: Result<Vec<Bytes>, _> = object.read(0..u64::MAX).try_collect().await;
    assert!(matches!(failed, Err(ServiceError::Damaged(_))));
    let id = ObjectId {
        locator: DataHash::of(&asked).locator(),
        owner: liar.address(),
    };
    let envelope = liar.objects.envelope(&id).await.unwrap().unwrap();
    let mut kept = reader.objects.resume(&envelope).await.unwrap().kept;
    assert!(kept.next().await.is_none());
}
