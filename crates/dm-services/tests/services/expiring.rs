//! Data whose time ends, on in-memory ports.

use std::time::Duration;

use dm_core::{
    Address,
    clock::now_ms,
    hash::DataHash,
    ports::{
        ComplianceLog, Erasures, EventFilter, ObjectExchange, ObjectStore, ReadableObjects, Recorded,
        ShareCatalog,
    },
    share::{NewShare, ShareOutcome, ShareRecord, ShareTerms},
};
use dm_services::ServiceError;

use crate::support::{TestNode, World, eventually, terms};

const LONG: u64 = 3_600_000;

async fn share(
    owner: &TestNode,
    recipient: Address,
    expires_at: Option<u64>,
) -> Result<ShareOutcome, ServiceError> {
    let terms = ShareTerms {
        expires_at,
        ..ShareTerms::with(recipient)
    };
    owner.data.share_bytes(b"for a while"[..].into(), terms).await
}

fn data_hash() -> DataHash {
    DataHash::of(b"for a while")
}

async fn waits_until(at: u64) {
    while now_ms() < at {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn is_not_found(node: &TestNode) -> bool {
    matches!(node.read(&data_hash()).await, Err(ServiceError::NotFound))
}

async fn erasure_event(node: &TestNode) -> Option<Recorded> {
    node.log.find(&EventFilter::erasure(data_hash())).await.unwrap()
}

/// When the object that a node stores ends.
async fn end_at(node: &TestNode) -> Option<u64> {
    let envelopes = node.objects.envelopes(&data_hash().locator()).await.unwrap();
    envelopes[0].expires_at
}

#[tokio::test]
async fn after_its_time_data_is_gone_and_its_owner_and_reader_erase_it() {
    let world = World::new();
    let (owner, reader) = (world.node(1).await, world.node(2).await);
    let at = now_ms() + 400;
    let shared = share(&owner, reader.address(), Some(at)).await.unwrap();
    assert_eq!(shared.expires_at, Some(at));
    assert!(reader.read(&data_hash()).await.is_ok());
    waits_until(at).await;
    // Nobody has erased anything yet.
    for node in [&owner, &reader] {
        assert!(is_not_found(node).await);
    }
    for node in [&owner, &reader] {
        node.spread();
        eventually("the key is destroyed and the event recorded", async || {
            let key = node.catalog.readable(&data_hash()).await.unwrap();
            (key.is_none() && erasure_event(node).await.is_some()).then_some(())
        })
        .await;
        eventually("nothing is due any more", async || {
            let due = node.catalog.due_erasures(u64::MAX, None, 1).await.unwrap();
            let unfinished = node.catalog.unfinished_erasures(None, 1).await.unwrap();
            (due.is_empty() && unfinished.is_empty()).then_some(())
        })
        .await;
        let left = node.objects.envelopes(&data_hash().locator()).await.unwrap();
        assert_eq!(left, [], "expired data leaves no tombstone");
    }
}

#[tokio::test]
async fn a_share_for_longer_puts_the_end_off_and_a_shorter_one_does_not() {
    let world = World::new();
    let (owner, reader, third) = (world.node(1).await, world.node(2).await, world.node(3).await);
    let soon = now_ms() + LONG;
    share(&owner, reader.address(), Some(soon)).await.unwrap();
    for (recipient, asked, expected) in [
        (third.address(), Some(soon - 1000), Some(soon)),
        (reader.address(), Some(soon + 1000), Some(soon + 1000)),
        (third.address(), Some(soon + 2000), Some(soon + 2000)),
        (third.address(), None, None),
        (reader.address(), Some(soon), None),
    ] {
        let outcome = share(&owner, recipient, asked).await.unwrap();
        assert_eq!(outcome.expires_at, expected);
        assert_eq!(end_at(&owner).await, expected);
    }
    assert_eq!(owner.catalog.due_erasures(u64::MAX, None, 1).await.unwrap(), []);
}

#[tokio::test]
async fn a_grant_does_not_change_when_data_ends() {
    let world = World::new();
    let (owner, reader, third) = (world.node(1).await, world.node(2).await, world.node(3).await);
    let at = now_ms() + LONG;
    share(&owner, reader.address(), Some(at)).await.unwrap();
    owner
        .data
        .grant(&data_hash(), terms(third.address()))
        .await
        .unwrap();
    assert_eq!(end_at(&owner).await, Some(at));
    owner.data.revoke(&data_hash(), third.address()).await.unwrap();
    assert_eq!(end_at(&owner).await, Some(at));
}

#[tokio::test]
async fn data_that_was_put_off_is_not_erased_at_its_first_time() {
    let world = World::new();
    let (owner, reader) = (world.node(1).await, world.node(2).await);
    let at = now_ms() + 200;
    share(&owner, reader.address(), Some(at)).await.unwrap();
    share(&owner, reader.address(), Some(at + LONG)).await.unwrap();
    // As where the node was stopped before it took note.
    owner
        .catalog
        .schedule_erasure(&data_hash(), Some(at))
        .await
        .unwrap();
    waits_until(at).await;
    owner.spread();
    eventually("the time is corrected", async || {
        let due = owner.catalog.due_erasures(at + LONG - 1, None, 1).await.unwrap();
        due.is_empty().then_some(())
    })
    .await;
    assert_eq!(
        owner.catalog.due_erasures(at + LONG, None, 1).await.unwrap(),
        [(at + LONG, data_hash())]
    );
    assert!(owner.read(&data_hash()).await.is_ok());
    assert!(erasure_event(&owner).await.is_none());
}

#[tokio::test]
async fn data_that_is_shared_after_its_time_is_new_data() {
    let world = World::new();
    let (owner, reader, third) = (world.node(1).await, world.node(2).await, world.node(3).await);
    let at = now_ms() + 200;
    let first = share(&owner, reader.address(), Some(at)).await.unwrap();
    waits_until(at).await;
    let second = share(&owner, third.address(), None).await.unwrap();
    assert!(
        second.leaf_index.unwrap() > first.leaf_index.unwrap() + 1,
        "the erasure lies between them"
    );
    assert_eq!(second.expires_at, None);
    assert!(third.read(&data_hash()).await.is_ok());
    let readers = owner.data.readers(&data_hash()).await.unwrap();
    assert_eq!(readers, [third.address()], "the first share ended");
}

#[tokio::test]
async fn a_later_end_that_an_interrupted_share_has_asked_for_holds() {
    for is_shared_again in [false, true] {
        let world = World::new();
        let (owner, first) = (world.node(1).await, world.node(2).await);
        let (second, third) = (world.node(3).await, world.node(4).await);
        let (at, later) = (now_ms() + 200, now_ms() + LONG);
        share(&owner, first.address(), Some(at)).await.unwrap();
        // Killed between its commit and its envelope.
        let interrupted = ShareRecord {
            expires_at: Some(later),
            ..ShareRecord::new(data_hash(), second.address(), now_ms())
        };
        let committed = NewShare {
            grant_owed: true,
            ..interrupted.into()
        };
        owner.catalog.commit_share(&committed).await.unwrap();
        waits_until(at + 1).await;
        if is_shared_again {
            share(&owner, third.address(), Some(later)).await.unwrap();
        }
        owner.data.catch_up().await;
        assert_eq!(erasure_event(&owner).await, None);
        assert_eq!(end_at(&owner).await, Some(later));
        assert!(second.read(&data_hash()).await.is_ok());
        assert!(first.read(&data_hash()).await.is_ok());
    }
}

#[tokio::test]
async fn a_time_that_is_over_is_refused_and_nothing_is_stored() {
    let world = World::new();
    let owner = world.node(1).await;
    for at in [0, now_ms(), u64::MAX] {
        let refused = share(&owner, owner.address(), Some(at)).await;
        assert!(
            matches!(
                refused,
                Err(ServiceError::Invalid {
                    field: "expires_at",
                    ..
                })
            ),
            "{refused:?}"
        );
    }
    assert_eq!(owner.events().await, 0);
    let stored = owner.objects.envelopes(&data_hash().locator()).await.unwrap();
    assert!(stored.is_empty());
}

#[tokio::test]
async fn nobody_takes_an_object_whose_time_is_over() {
    let world = World::new();
    let (owner, peer) = (world.node(1).await, world.node(2).await);
    peer.network.set_online(false);
    let at = now_ms() + 200;
    let shared = share(&owner, owner.address(), Some(at)).await.unwrap();
    assert_eq!(shared.replicas, 0);
    waits_until(at).await;
    peer.network.set_online(true);
    let id = owner.objects.envelopes(&data_hash().locator()).await.unwrap()[0].id;
    let pushed = owner.network.push(&id, 3).await.unwrap();
    assert_eq!(pushed.holders.len(), 0);
    assert!(peer.objects.envelope(&id).await.unwrap().is_none());
}
