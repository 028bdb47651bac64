//! What failed on the way to a share is not there afterwards, and what was interrupted is
//! completed or collected.

use dm_core::{
    Address, U256,
    event::EventKind,
    hash::DataHash,
    payment::PaymentTerms,
    ports::{
        ComplianceLog, EventFilter, HistoryQuery, ObjectStore, ReadableObjects, ShareCatalog, UsedMandates,
    },
    share::{NewShare, ShareRecord, ShareTerms},
};
use dm_services::ServiceError;
use dm_testing::faults::{Fault, Faults};

use crate::{
    ordered::Ordered,
    support::{TestNode, World, data, eventually, keyed, terms},
};

#[tokio::test]
async fn a_share_that_failed_never_comes_alive() {
    let world = World::new();
    let (owner, refused, other) = (world.node(1).await, world.node(2).await, world.node(3).await);
    owner.objects.set_quota(Some(3000));
    let large = data(6000);
    let hash = DataHash::of(&large);
    let full = owner
        .data
        .share_bytes(large.clone(), terms(refused.address()))
        .await;
    assert!(matches!(full, Err(ServiceError::StorageFull)), "{full:?}");
    assert_eq!(owner.catalog.readable(&hash).await.unwrap(), None);
    owner.objects.set_quota(None);
    owner.spread();
    owner
        .data
        .share_bytes(large.clone(), terms(other.address()))
        .await
        .unwrap();
    owner.data.catch_up().await;
    assert!(other.read(&hash).await.unwrap() == large);
    assert!(refused.read(&hash).await.is_err());
    assert_eq!(owner.data.readers(&hash).await.unwrap(), [other.address()]);
    assert_eq!(owner.events().await, 1);
}

/// What versions before could leave of a share whose object found no room.
async fn leave_row_and_key_without_an_object(owner: &TestNode, record: ShareRecord) {
    let scratch = World::new().node(1).await;
    let stored = scratch
        .data
        .share_bytes(data(100), terms(record.recipient))
        .await
        .unwrap();
    let object = scratch.catalog.readable(&stored.data_hash).await.unwrap();
    let left = NewShare {
        record,
        object,
        grant_owed: false,
        listing: None,
        upload: None,
        trace: None,
    };
    owner.catalog.commit_share(&left).await.unwrap();
}

#[tokio::test]
async fn what_earlier_versions_left_of_a_failed_share_is_collected() {
    let world = World::new();
    let ordered = Ordered::new(&world, false).await;
    let (owner, refused, other) = (&ordered.node, world.node(2).await, world.node(3).await);
    let hash = DataHash::of(&data(100));
    let order = ordered.sign(&ordered.statement(hash, refused.address()));
    let admitted = ordered
        .authorization
        .admit(Some(order.clone()), keyed(refused.address(), "key"))
        .await
        .unwrap();
    let record = ShareRecord {
        idempotency_key: admitted.idempotency_key.clone(),
        mandate: admitted
            .mandate
            .as_deref()
            .map(|mandate| Box::new(mandate.into())),
        ..ShareRecord::new(hash, refused.address(), 1)
    };
    let digest = record.mandate.as_ref().unwrap().mandate.digest();
    for shares_at_once in [false, true] {
        leave_row_and_key_without_an_object(owner, record.clone()).await;
        assert!(owner.catalog.is_mandate_used(digest).await.unwrap());
        if shares_at_once {
            // Before the upkeep has come to it.
            owner
                .data
                .share_bytes(data(100), terms(other.address()))
                .await
                .unwrap();
        }
        owner.data.catch_up().await;
        let kept = owner.catalog.share(&hash, refused.address()).await.unwrap();
        assert_eq!(kept, None);
        assert!(!owner.catalog.is_mandate_used(digest).await.unwrap());
        assert!(refused.read(&hash).await.is_err());
        let has_key = owner.catalog.readable(&hash).await.unwrap().is_some();
        assert_eq!(has_key, shares_at_once);
        assert_eq!(owner.events().await, u64::from(shares_at_once));
    }
    // Order and key are as good as new.
    let shared = ordered
        .share(100, Some(order), keyed(refused.address(), "key"))
        .await
        .unwrap();
    assert!(ordered.event(shared.leaf_index.unwrap()).await.mandate.is_some());
    assert!(refused.read(&hash).await.unwrap() == data(100));
}

#[tokio::test]
async fn an_own_object_without_a_key_is_seen_by_nobody_and_collected() {
    let world = World::new();
    let (owner, reader) = (world.node(1).await, world.node(2).await);
    let shared = owner
        .data
        .share_bytes(data(100), terms(reader.address()))
        .await
        .unwrap();
    let hash = shared.data_hash;
    // As a kill between the object and its key would leave it, though copies exist.
    owner.catalog.remove_readable(&hash).await.unwrap();
    let id = dm_core::envelope::ObjectId {
        locator: hash.locator(),
        owner: owner.address(),
    };
    assert_eq!(owner.ports.network.push(&id, 1).await.ok().map(|_| ()), None);
    assert!(owner.data.readers(&hash).await.is_err());
    let erased = owner.data.erase(&hash).await;
    assert!(matches!(erased, Err(ServiceError::NotFound)), "{erased:?}");
    owner.spread();
    eventually("a tombstone is in its place, here and at peers", async || {
        // The log goes on.
        let size = 200 + usize::try_from(owner.events().await).unwrap();
        let shared = owner.data.share_bytes(data(size), terms(reader.address()));
        shared.await.unwrap();
        owner.data.catch_up().await;
        for node in [&owner, &reader] {
            let envelope = node.objects.envelope(&id).await.unwrap()?;
            if !envelope.is_tombstone() {
                return None;
            }
        }
        Some(())
    })
    .await;
}

#[tokio::test]
async fn what_was_erased_stays_erased_when_its_next_share_fails() {
    let world = World::new();
    let faults = Faults::new();
    let (owner, reader) = (world.node_with(1, &faults).await, world.node(2).await);
    let shared = owner
        .data
        .share_bytes(data(100), terms(reader.address()))
        .await
        .unwrap();
    owner.data.erase(&shared.data_hash).await.unwrap();
    let id = dm_core::envelope::ObjectId {
        locator: shared.data_hash.locator(),
        owner: owner.address(),
    };
    let before = owner.objects.envelope(&id).await.unwrap().unwrap().sequence;
    // The object is stored, and the commit fails.
    faults.after(1, Fault::Refused);
    let failed = owner.data.share_bytes(data(100), terms(reader.address())).await;
    assert!(failed.is_err());
    let tombstone = owner.objects.envelope(&id).await.unwrap().unwrap();
    assert!(tombstone.is_tombstone() && tombstone.sequence > before);
}

#[tokio::test]
async fn a_share_that_cannot_be_recorded_now_is_accepted_and_recorded_later() {
    let world = World::new();
    let (owner, reader) = (world.node(1).await, world.node(2).await);
    owner.log.set_overloaded(true);
    let outcome = owner
        .data
        .share_bytes(data(100), terms(reader.address()))
        .await
        .unwrap();
    assert_eq!((outcome.leaf_index, outcome.tx_hash), (None, None));
    assert!(reader.read(&outcome.data_hash).await.unwrap() == data(100));
    owner.log.set_overloaded(false);
    owner.data.catch_up().await;
    assert_eq!(owner.events().await, 1);
    let again = owner
        .data
        .share_bytes(data(100), terms(reader.address()))
        .await
        .unwrap();
    assert_eq!(again.leaf_index, Some(0));
}

#[tokio::test]
async fn an_accepted_share_is_recorded_before_what_ends_it() {
    let world = World::new();
    let (owner, reader) = (world.node(1).await, world.node(2).await);
    for ends_all in [true, false] {
        owner.log.set_overloaded(true);
        let content = data(if ends_all { 100 } else { 200 });
        let shared = owner.data.share_bytes(content, terms(reader.address())).await;
        let data_hash = shared.unwrap().data_hash;
        owner.log.set_overloaded(false);
        match ends_all {
            true => drop(owner.data.erase(&data_hash).await.unwrap()),
            false => drop(owner.data.revoke(&data_hash, reader.address()).await.unwrap()),
        }
        owner.data.catch_up().await;
        let of_data = HistoryQuery {
            filter: EventFilter {
                data_hash: Some(data_hash),
                ..EventFilter::default()
            },
            before: None,
            limit: 9,
        };
        let recorded = owner.log.history(&of_data).await.unwrap().entries;
        let kinds: Vec<EventKind> = recorded
            .iter()
            .rev()
            .map(|entry| entry.event.event_type)
            .collect();
        let end = if ends_all {
            EventKind::DataDelete
        } else {
            EventKind::Revoke
        };
        assert_eq!(kinds, [EventKind::DataShare, end]);
    }
}

#[tokio::test]
async fn an_interrupted_grant_is_recorded_as_a_grant() {
    let world = World::new();
    let (owner, reader) = (world.node(1).await, world.node(2).await);
    let shared = owner
        .data
        .share_bytes(data(100), terms(owner.address()))
        .await
        .unwrap();
    owner.log.set_overloaded(true);
    let granted = owner
        .data
        .grant(&shared.data_hash, terms(reader.address()))
        .await
        .unwrap();
    assert_eq!(granted.leaf_index, None);
    owner.log.set_overloaded(false);
    owner.data.catch_up().await;
    let receipt = owner.log.receipt(1).await.unwrap().unwrap();
    assert_eq!(receipt.event.event_type, EventKind::Grant);
    assert_eq!(receipt.event.recipient, Some(reader.address()));
}

#[tokio::test]
async fn a_share_that_fails_does_not_put_off_the_end_of_the_data() {
    let world = World::new();
    let faults = Faults::new();
    let (owner, reader) = (world.node_with(1, &faults).await, world.node(2).await);
    let ends = dm_core::clock::now_ms() + 3_600_000;
    let until = |at| ShareTerms {
        expires_at: at,
        ..terms(reader.address())
    };
    let first = ShareTerms {
        expires_at: Some(ends),
        ..terms(owner.address())
    };
    owner.data.share_bytes(data(100), first.clone()).await.unwrap();
    faults.after(0, Fault::Refused);
    let failed = owner.data.share_bytes(data(100), until(None)).await;
    assert!(failed.is_err());
    let again = owner.data.share_bytes(data(100), first).await.unwrap();
    assert_eq!(again.expires_at, Some(ends));
    let later = owner
        .data
        .share_bytes(data(100), until(Some(ends + 1)))
        .await
        .unwrap();
    assert_eq!(later.expires_at, Some(ends + 1));
}

#[tokio::test]
async fn an_idempotency_key_accepts_the_same_request_only() {
    let world = World::new();
    let (owner, reader) = (world.node(1).await, world.node(2).await);
    let first = keyed(reader.address(), "key");
    let made = owner.data.share_bytes(data(100), first.clone()).await.unwrap();
    let again = owner.data.share_bytes(data(100), first.clone()).await.unwrap();
    assert_eq!(made.leaf_index, again.leaf_index);
    let priced = ShareTerms {
        payment: Some(PaymentTerms {
            token: Address::repeat_byte(7),
            amount: U256::from(5),
            consent: None,
        }),
        ..first.clone()
    };
    let ending = ShareTerms {
        expires_at: Some(dm_core::clock::now_ms() + 3_600_000),
        ..first
    };
    for other in [priced, ending] {
        let refused = owner.data.share_bytes(data(100), other).await;
        assert!(
            matches!(refused, Err(ServiceError::IdempotencyKeyReused)),
            "{refused:?}"
        );
    }
}
