//! What erasing promises, on in-memory ports.

use dm_core::{
    Address,
    envelope::ObjectId,
    event::EventKind,
    hash::DataHash,
    ports::{ComplianceLog, ErasureCause, Erasures, EventFilter, ObjectStore, ReadableObjects},
    share::ShareOutcome,
};
use dm_services::ServiceError;

use crate::support::{TestNode, World, eventually, terms};

async fn share(owner: &TestNode, data: &'static [u8], recipient: Address) -> ShareOutcome {
    owner
        .data
        .share_bytes(data.into(), terms(recipient))
        .await
        .unwrap()
}

fn own_id(node: &TestNode, data_hash: &DataHash) -> ObjectId {
    ObjectId {
        locator: data_hash.locator(),
        owner: node.address(),
    }
}

#[tokio::test]
async fn erased_data_is_gone_here_and_at_the_peers() {
    let world = World::new();
    let (owner, peer) = (world.node(1).await, world.node(2).await);
    let data = b"to be forgotten";
    let shared = share(&owner, data, peer.address()).await;
    assert!(peer.read(&shared.data_hash).await.is_ok());
    let erased = owner.data.erase(&shared.data_hash).await.unwrap();
    assert!(erased.tx_hash.is_some());
    for node in [&owner, &peer] {
        let error = node.read(&shared.data_hash).await.unwrap_err();
        assert!(matches!(error, ServiceError::NotFound), "{error}");
        let envelopes = node.objects.envelopes(&shared.data_hash.locator()).await.unwrap();
        assert!(
            envelopes.iter().all(|envelope| envelope.is_tombstone()),
            "{envelopes:?}"
        );
    }
    assert_eq!(owner.catalog.readable(&shared.data_hash).await.unwrap(), None);
    let filter = EventFilter {
        kinds: [EventKind::DataDelete].into(),
        ..EventFilter::default()
    };
    let event = owner.log.find(&filter).await.unwrap().unwrap();
    assert_eq!(event.index, erased.leaf_index);
    assert_eq!(event.event.data_hash, Some(shared.data_hash));
}

#[tokio::test]
async fn erasing_again_is_the_same_erasure() {
    let world = World::new();
    let owner = world.node(1).await;
    let shared = share(&owner, b"once", world.node(2).await.address()).await;
    let first = owner.data.erase(&shared.data_hash).await.unwrap();
    let second = owner.data.erase(&shared.data_hash).await.unwrap();
    assert_eq!(
        (first.leaf_index, first.erased_at),
        (second.leaf_index, second.erased_at)
    );
    let unknown = owner.data.erase(&DataHash::of(b"nobody has this")).await;
    assert!(matches!(unknown, Err(ServiceError::NotFound)));
}

#[tokio::test]
async fn an_erasure_that_was_interrupted_is_finished() {
    let world = World::new();
    let owner = world.node(1).await;
    let shared = share(&owner, b"interrupted", world.node(2).await.address()).await;
    owner
        .catalog
        .begin_erasure(&shared.data_hash, ErasureCause::Ordered)
        .await
        .unwrap();
    owner.spread();
    eventually("the erasure is finished", async || {
        let left = owner.catalog.unfinished_erasures(None, 1).await.unwrap();
        left.is_empty().then_some(())
    })
    .await;
    let found = owner
        .log
        .find(&EventFilter::erasure(shared.data_hash))
        .await
        .unwrap();
    assert!(found.is_some());
    assert!(matches!(
        owner.read(&shared.data_hash).await,
        Err(ServiceError::NotFound)
    ));
}

#[tokio::test]
async fn erased_data_can_be_shared_anew() {
    let world = World::new();
    let (owner, peer) = (world.node(1).await, world.node(2).await);
    let first = share(&owner, b"again", peer.address()).await;
    owner.data.erase(&first.data_hash).await.unwrap();
    let second = share(&owner, b"again", peer.address()).await;
    assert!(
        second.leaf_index.unwrap() > first.leaf_index.unwrap() + 1,
        "an event of its own"
    );
    assert_eq!(peer.read(&first.data_hash).await.unwrap(), b"again");
}

#[tokio::test]
async fn a_reader_erases_what_it_has_and_nothing_of_the_owner() {
    let world = World::new();
    let (owner, reader) = (world.node(1).await, world.node(2).await);
    let shared = share(&owner, b"two have it", reader.address()).await;
    assert!(reader.read(&shared.data_hash).await.is_ok());
    reader.data.erase(&shared.data_hash).await.unwrap();
    assert_eq!(reader.catalog.readable(&shared.data_hash).await.unwrap(), None);
    assert_eq!(owner.read(&shared.data_hash).await.unwrap(), b"two have it");
}

#[tokio::test]
async fn a_grant_needs_no_new_ciphertext_and_has_an_event_of_its_own() {
    let world = World::new();
    let (owner, first, second) = (world.node(1).await, world.node(2).await, world.node(3).await);
    let shared = share(&owner, b"for two", first.address()).await;
    let id = own_id(&owner, &shared.data_hash);
    let before = owner.objects.envelope(&id).await.unwrap().unwrap();
    for _ in 0..2 {
        let granted = owner
            .data
            .grant(&shared.data_hash, terms(second.address()))
            .await
            .unwrap();
        assert_eq!(granted.recipient, second.address());
        let event = owner
            .log
            .receipt(granted.leaf_index.unwrap())
            .await
            .unwrap()
            .unwrap()
            .event;
        assert_eq!(event.event_type, EventKind::Grant);
    }
    let after = owner.objects.envelope(&id).await.unwrap().unwrap();
    assert_eq!(after.chunk_list, before.chunk_list);
    assert_eq!(second.read(&shared.data_hash).await.unwrap(), b"for two");
    let readers = owner.data.readers(&shared.data_hash).await.unwrap();
    assert_eq!(readers, [first.address(), second.address()]);
    let own = second.data.readers(&shared.data_hash).await.unwrap();
    assert_eq!(own, [second.address()]);
    let nothing = owner
        .data
        .grant(&DataHash::of(b"nothing"), terms(second.address()))
        .await;
    assert!(matches!(nothing, Err(ServiceError::NotFound)));
}
