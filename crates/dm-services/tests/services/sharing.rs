//! What sharing promises, on in-memory ports.

use std::time::Duration;

use bytes::Bytes;
use dm_core::{
    address_record::AddressRecord,
    envelope::{CHUNK_SIZE, ObjectId},
    hash::DataHash,
    ports::{ComplianceLog, ObjectStore, Replication, ShareCatalog, Signer},
    share::{NewShare, ShareRecord, ShareStatus},
    signed::Signed,
};
use dm_services::ServiceError;
use dm_testing::signer::TestSigner;
use tokio::time::timeout;

use crate::support::{World, data, eventually, keyed, terms};

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
    let recipient = TestSigner::new(2).address();
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
            .owed_recipients(None, 10)
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
    let share = ShareRecord::new(stored.data_hash, interrupted, 1);
    owner
        .catalog
        .commit_share(&NewShare::from(share.clone()))
        .await
        .unwrap();
    // And one whose data was not stored any more: nobody was told of it.
    let lost = ShareRecord {
        data_hash: DataHash::of(b"lost"),
        ..share.clone()
    };
    owner
        .catalog
        .commit_share(&NewShare::from(lost.clone()))
        .await
        .unwrap();
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
    assert_eq!(again.leaf_index, Some(1));
    let receipt = owner.log.receipt(1).await.unwrap().unwrap();
    assert_eq!(receipt.event.data_hash, Some(stored.data_hash));
    assert_eq!(owner.events().await, 2);
}

#[tokio::test]
async fn copies_that_were_missed_are_made_when_the_same_peer_comes_back() {
    let world = World::new();
    let (owner, peer) = (world.node(1).await, world.node(2).await);
    owner.spread();
    owner
        .data
        .share_bytes(data(10), terms(owner.address()))
        .await
        .unwrap();
    peer.network.set_online(false);
    let missed = owner
        .data
        .share_bytes(data(11), terms(owner.address()))
        .await
        .unwrap();
    assert_eq!(missed.replicas, 0);
    peer.network.set_online(true);
    eventually("the peer holds both", async || {
        (peer.objects.usage().await.unwrap().objects == 2).then_some(())
    })
    .await;
}

#[tokio::test]
async fn what_all_peers_hold_is_not_offered_again_when_copies_of_others_are_missing() {
    let world = World::new();
    let (owner, peer) = (world.node(1).await, world.node(2).await);
    owner.spread();
    let share = async |n| {
        let shared = owner.data.share_bytes(data(n), terms(owner.address())).await;
        shared.unwrap().data_hash.locator()
    };
    let held = share(10).await;
    eventually("its receipt has followed it", async || {
        let is_spread = owner.catalog.is_receipt_spread(&held, owner.address()).await;
        is_spread.unwrap().then_some(())
    })
    .await;
    let offered_after_a_miss = async |n| {
        peer.network.set_online(false);
        let missed = share(n).await;
        while timeout(Duration::from_millis(50), owner.network.next_news())
            .await
            .is_ok()
        {}
        peer.network.set_online(true);
        let mut offered = Vec::new();
        while offered.last() != Some(&missed) {
            offered.push(owner.network.next_news().await.object.locator);
        }
        offered
    };
    // The first time, the peer itself may be new to the owner.
    offered_after_a_miss(11).await;
    assert!(!offered_after_a_miss(12).await.contains(&held));
}

#[tokio::test]
async fn a_client_that_goes_away_leaves_a_whole_share() {
    let world = World::new();
    let owner = world.node(1).await;
    for polls in 0..12 {
        let data = data(20_000 + polls);
        let mut share = Box::pin(owner.data.share_bytes(data.clone(), terms(owner.address())));
        for _ in 0..polls {
            if futures::poll!(&mut share).is_ready() {
                break;
            }
            tokio::task::yield_now().await;
        }
        drop(share);
        let hash = DataHash::of(&data);
        // Either nothing was begun, or everything is done.
        eventually("the share is whole or not there", async || {
            let recorded = owner.data.receipt(&hash, None).await.is_ok();
            let readable = owner.read(&hash).await.is_ok();
            (recorded == readable).then_some(())
        })
        .await;
        owner
            .data
            .share_bytes(data, terms(owner.address()))
            .await
            .unwrap();
    }
    assert_eq!(owner.events().await, 12);
}

#[tokio::test]
async fn a_recipient_with_an_unusable_key_does_not_keep_others_from_their_grants() {
    let world = World::new();
    let owner = world.node(1).await;
    owner.spread();
    let (hostile, honest) = (TestSigner::new(7), TestSigner::new(8));
    owner
        .data
        .share_bytes(data(1), terms(hostile.address()))
        .await
        .unwrap();
    let outcome = owner
        .data
        .share_bytes(data(2), terms(honest.address()))
        .await
        .unwrap();
    let record = AddressRecord::new(hostile.address(), [0; 32], "nobody".to_owned(), u64::MAX);
    let record = Signed::sign(record, &hostile).unwrap();
    owner.ports.network.announce(record.into()).await.unwrap();
    let recipient = world.node(8).await;
    let read = eventually("the honest one reads", async || {
        recipient.read(&outcome.data_hash).await.ok()
    })
    .await;
    assert!(read == data(2));
}
