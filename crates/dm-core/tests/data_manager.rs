//! What sharing and reading promise, on in-memory ports.

mod support;

use bytes::Bytes;
use dm_core::{
    envelope::{CHUNK_SIZE, ObjectId},
    hash::DataHash,
    ports::{ComplianceLog, ObjectStore, ShareCatalog},
    services::ServiceError,
    share::{ShareRecord, ShareStatus},
    testing::{network::LyingStore, objects::MemoryObjectStore},
};
use futures::TryStreamExt;
use support::{World, data, eventually, holders, keyed, terms};

const CHUNK: usize = CHUNK_SIZE as usize;

#[tokio::test]
async fn a_recipient_reads_what_was_shared_with_it() {
    let world = World::new();
    let (owner, recipient) = (world.node(1).await, world.node(2).await);
    for len in [1, 1000, CHUNK, CHUNK + 1, 3 * CHUNK + 17] {
        let data = data(len);
        let outcome = owner
            .data
            .share_bytes(data.clone(), terms(recipient.address()))
            .await
            .unwrap();
        assert_eq!(outcome.data_hash, DataHash::of(&data));
        assert_eq!(outcome.status, ShareStatus::Anchored);
        assert!(!outcome.grant_pending);
        assert!(
            recipient.read(&outcome.data_hash).await.unwrap() == data,
            "{len} bytes"
        );
        assert!(
            owner.read(&outcome.data_hash).await.unwrap() == data,
            "{len} bytes"
        );
    }
}

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
async fn an_upload_in_pieces_is_the_same_share_as_the_whole() {
    let world = World::new();
    let (owner, recipient) = (world.node(1).await, world.node(2).await);
    let data = data(2 * CHUNK + 99);
    let mut upload = owner.data.begin_upload().await.unwrap();
    for piece in data.chunks(10_007) {
        upload.write(Bytes::copy_from_slice(piece)).await.unwrap();
    }
    let uploaded = upload.finish(terms(recipient.address())).await.unwrap();
    assert_eq!(uploaded.data_hash, DataHash::of(&data));
    assert!(recipient.read(&uploaded.data_hash).await.unwrap() == data);
    let again = owner
        .data
        .share_bytes(data, terms(recipient.address()))
        .await
        .unwrap();
    assert_eq!(again, uploaded);
}

#[tokio::test]
async fn nothing_is_no_data() {
    let world = World::new();
    let owner = world.node(1).await;
    let refused = owner.data.share_bytes(Bytes::new(), terms(owner.address())).await;
    assert!(matches!(
        refused,
        Err(ServiceError::Invalid { field: "data", .. })
    ));
    let upload = owner.data.begin_upload().await.unwrap();
    let refused = upload.finish(terms(owner.address())).await;
    assert!(matches!(
        refused,
        Err(ServiceError::Invalid { field: "data", .. })
    ));
    assert_eq!(owner.events().await, 0);
}

#[tokio::test]
async fn an_upload_that_is_dropped_leaves_nothing() {
    let world = World::new();
    let owner = world.node(1).await;
    let mut upload = owner.data.begin_upload().await.unwrap();
    upload.write(data(3 * CHUNK)).await.unwrap();
    drop(upload);
    assert_eq!(owner.objects.usage().await.unwrap().objects, 0);
}

#[tokio::test]
async fn the_same_share_is_stored_and_recorded_once_also_at_the_same_time() {
    let world = World::new();
    let (owner, recipient) = (world.node(1).await, world.node(2).await);
    let shares = (0..20).map(|_| owner.data.share_bytes(data(5000), terms(recipient.address())));
    let outcomes = futures::future::try_join_all(shares).await.unwrap();
    assert!(
        outcomes
            .iter()
            .all(|outcome| outcome.leaf_index == outcomes[0].leaf_index)
    );
    assert_eq!(owner.events().await, 1);
    assert_eq!(owner.objects.usage().await.unwrap().objects, 1);
}

#[tokio::test]
async fn a_further_recipient_needs_no_new_ciphertext() {
    let world = World::new();
    let (owner, first, second) = (world.node(1).await, world.node(2).await, world.node(3).await);
    let data = data(CHUNK + 5);
    let outcome = owner
        .data
        .share_bytes(data.clone(), terms(first.address()))
        .await
        .unwrap();
    let id = ObjectId {
        locator: outcome.data_hash.locator(),
        owner: owner.address(),
    };
    let before = owner.objects.envelope(&id).await.unwrap().unwrap();
    owner
        .data
        .share_bytes(data.clone(), terms(second.address()))
        .await
        .unwrap();
    let after = owner.objects.envelope(&id).await.unwrap().unwrap();
    assert_eq!(before.chunk_list, after.chunk_list);
    assert!(after.sequence > before.sequence);
    assert_eq!(owner.events().await, 2);
    assert!(second.read(&outcome.data_hash).await.unwrap() == data);
    assert!(first.read(&outcome.data_hash).await.unwrap() == data);
}

#[tokio::test]
async fn an_idempotency_key_stands_for_one_share() {
    let world = World::new();
    let owner = world.node(1).await;
    let first = owner
        .data
        .share_bytes(data(10), keyed(owner.address(), "k"))
        .await
        .unwrap();
    let again = owner
        .data
        .share_bytes(data(10), keyed(owner.address(), "k"))
        .await
        .unwrap();
    assert_eq!(first, again);
    let other = owner
        .data
        .share_bytes(data(11), keyed(owner.address(), "k"))
        .await;
    assert!(matches!(other, Err(ServiceError::IdempotencyKeyReused)));
    assert_eq!(owner.events().await, 1);
}

#[tokio::test]
async fn a_share_made_before_the_recipient_existed_becomes_readable() {
    let world = World::new();
    let owner = world.node(1).await;
    owner.spread();
    let later = dm_core::testing::signer::TestSigner::new(2);
    let recipient = dm_core::ports::Signer::address(&later);
    let outcome = owner.data.share_bytes(data(100), terms(recipient)).await.unwrap();
    assert!(outcome.grant_pending);

    let recipient = world.node(2).await;
    let read = eventually("the recipient can read", async || {
        recipient.read(&outcome.data_hash).await.ok()
    })
    .await;
    assert!(read == data(100));
    eventually("no grant is owed", async || {
        owner
            .catalog
            .owed_grants(10)
            .await
            .unwrap()
            .is_empty()
            .then_some(())
    })
    .await;
}

#[tokio::test]
async fn missing_copies_are_made_when_peers_appear() {
    let world = World::new();
    let owner = world.node(1).await;
    let outcome = owner
        .data
        .share_bytes(data(100), terms(owner.address()))
        .await
        .unwrap();
    assert_eq!(outcome.replicas, 0);
    owner.spread();
    let peer = world.node(2).await;
    eventually("the peer holds a copy", async || {
        (peer.objects.usage().await.unwrap().objects == 1).then_some(())
    })
    .await;
    eventually("the copy is counted", async || {
        let again = owner
            .data
            .share_bytes(data(100), terms(owner.address()))
            .await
            .unwrap();
        (again.replicas == 1).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_receipt_follows_its_object_and_convinces_another_node() {
    let world = World::new();
    let (owner, recipient, replica) = (world.node(1).await, world.node(2).await, world.node(3).await);
    owner.spread();
    let outcome = owner
        .data
        .share_bytes(data(100), terms(recipient.address()))
        .await
        .unwrap();
    for node in [&owner, &recipient, &replica] {
        let verified = eventually("the share is verified", async || {
            node.data
                .verify(&outcome.data_hash)
                .await
                .ok()
                .filter(|verified| verified.verified)
        })
        .await;
        assert_eq!(verified.anchor.unwrap().tx_hash, outcome.tx_hash.unwrap());
    }
    owner.network.set_online(false);
    let receipt = replica
        .data
        .receipt(&outcome.data_hash, Some(recipient.address()))
        .await
        .unwrap();
    assert_eq!(receipt.event.recipient, Some(recipient.address()));
    let nobody = replica
        .data
        .receipt(&outcome.data_hash, Some(replica.address()))
        .await;
    assert!(matches!(nobody, Err(ServiceError::NotFound)));
}

#[tokio::test]
async fn while_the_chain_is_away_a_share_is_pending_and_its_receipt_is_not_there() {
    let world = World::new();
    let owner = world.node(1).await;
    owner.log.set_chain_away(true);
    let outcome = owner
        .data
        .share_bytes(data(100), terms(owner.address()))
        .await
        .unwrap();
    assert_eq!((outcome.status, outcome.tx_hash), (ShareStatus::Pending, None));
    let receipt = owner.data.receipt(&outcome.data_hash, None).await;
    assert!(matches!(receipt, Err(ServiceError::NotAnchored)));
    assert!(!owner.data.verify(&outcome.data_hash).await.unwrap().verified);

    owner.log.set_chain_away(false);
    let outcome = owner
        .data
        .share_bytes(data(100), terms(owner.address()))
        .await
        .unwrap();
    assert_eq!(outcome.status, ShareStatus::Anchored);
    assert_eq!(owner.events().await, 1);
}

#[tokio::test]
async fn a_forked_log_takes_no_share_and_nothing_is_stored() {
    let world = World::new();
    let owner = world.node(1).await;
    owner.log.set_fault("the log has forked");
    let refused = owner.data.share_bytes(data(100), terms(owner.address())).await;
    assert!(matches!(refused, Err(ServiceError::Fault(_))), "{refused:?}");
    assert!(matches!(
        owner.data.begin_upload().await,
        Err(ServiceError::Fault(_))
    ));
    assert_eq!(owner.objects.usage().await.unwrap().objects, 0);
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

/// Publishes the object of `from` under the locator of `to`.
async fn forge(liar: &support::TestNode, from: &DataHash, to: &DataHash) {
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
    let key = liar.ports.readable.readable(from).await.unwrap().unwrap().key;
    let key = liar.ports.key_ring.unwrap(&key).unwrap();
    let mut forged = envelope.statement().clone();
    forged.id = target;
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
async fn a_share_that_the_node_was_stopped_in_is_recorded_once_at_the_next_start() {
    let world = World::new();
    let owner = world.node(1).await;
    let stored = owner
        .data
        .share_bytes(data(100), terms(owner.address()))
        .await
        .unwrap();
    // Stored, and not recorded: as if the node had stopped in between.
    let interrupted = world.node(9).await.address();
    let share = ShareRecord {
        data_hash: stored.data_hash,
        recipient: interrupted,
        idempotency_key: None,
        created_at: 1,
    };
    owner.catalog.insert_share(&share).await.unwrap();
    // And one whose data was not stored any more: nobody was told of it.
    let lost = ShareRecord {
        data_hash: DataHash::of(b"lost"),
        ..share.clone()
    };
    owner.catalog.insert_share(&lost).await.unwrap();
    owner.spread();
    eventually("the share is recorded", async || {
        (owner.events().await == 2).then_some(())
    })
    .await;
    let again = owner
        .data
        .share_bytes(data(100), terms(interrupted))
        .await
        .unwrap();
    assert_eq!(again.leaf_index, 1);
    let receipt = owner.log.receipt(1).await.unwrap().unwrap();
    assert_eq!(receipt.event.data_hash, Some(stored.data_hash));
    assert_eq!(owner.events().await, 2);
}
