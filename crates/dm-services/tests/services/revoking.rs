//! What revoking promises, on in-memory ports.

use dm_core::{
    Address,
    envelope::{ObjectId, SignedEnvelope},
    event::EventKind,
    hash::DataHash,
    ports::{ComplianceLog, EventFilter, ObjectStore, ReadableObjects, Revocations},
};
use dm_services::ServiceError;

use crate::support::{TestNode, World, eventually, terms};

/// Shares data with everybody in `readers`.
async fn share(owner: &TestNode, data: &'static [u8], readers: &[&TestNode]) -> DataHash {
    for reader in readers {
        let shared = owner.data.share_bytes(data.into(), terms(reader.address()));
        shared.await.unwrap();
    }
    DataHash::of(data)
}

async fn own_envelope(owner: &TestNode, data_hash: &DataHash) -> SignedEnvelope {
    let id = ObjectId {
        locator: data_hash.locator(),
        owner: owner.address(),
    };
    owner.objects.envelope(&id).await.unwrap().unwrap()
}

async fn revocations(node: &TestNode, data_hash: DataHash, recipient: Address) -> usize {
    let filter = EventFilter::revocation(data_hash, recipient);
    let mut found = 0;
    let newest = node.log.find(&filter).await.unwrap();
    for index in 0..=newest.map_or(0, |recorded| recorded.index) {
        let receipt = node.log.receipt(index).await.unwrap();
        let is_one = |event: &dm_core::event::Event| {
            event.event_type == EventKind::Revoke
                && (event.data_hash, event.recipient) == (Some(data_hash), Some(recipient))
        };
        found += usize::from(receipt.is_some_and(|receipt| is_one(&receipt.event)));
    }
    found
}

#[tokio::test]
async fn who_lost_access_cannot_read_and_the_others_can() {
    let world = World::new();
    let (owner, stays, goes) = (world.node(1).await, world.node(2).await, world.node(3).await);
    let data = b"for two, then for one";
    let hash = share(&owner, data, &[&stays, &goes]).await;
    let before = own_envelope(&owner, &hash).await;
    let revoked = owner.data.revoke(&hash, goes.address()).await.unwrap();
    assert!(revoked.tx_hash.is_some());
    assert!(revoked.waiting.is_empty());

    let after = own_envelope(&owner, &hash).await;
    assert_ne!(after.chunk_list, before.chunk_list, "encrypted again");
    assert_eq!(owner.read(&hash).await.unwrap(), data);
    assert_eq!(stays.read(&hash).await.unwrap(), data);
    let error = goes.read(&hash).await.unwrap_err();
    assert!(matches!(error, ServiceError::NotGranted), "{error}");
    assert_eq!(owner.data.readers(&hash).await.unwrap(), [stays.address()]);
}

#[tokio::test]
async fn a_reader_whose_node_had_the_data_cannot_read_it_there_any_more() {
    let world = World::new();
    let (owner, goes) = (world.node(1).await, world.node(2).await);
    let hash = share(&owner, b"read once", &[&goes]).await;
    assert!(goes.read(&hash).await.is_ok());
    owner.data.revoke(&hash, goes.address()).await.unwrap();
    let error = goes.read(&hash).await.unwrap_err();
    assert!(matches!(error, ServiceError::NotGranted), "{error}");
}

#[tokio::test]
async fn revoking_again_is_the_same_revocation() {
    let world = World::new();
    let (owner, goes) = (world.node(1).await, world.node(2).await);
    let hash = share(&owner, b"once", &[&goes]).await;
    let first = owner.data.revoke(&hash, goes.address()).await.unwrap();
    let second = owner.data.revoke(&hash, goes.address()).await.unwrap();
    assert_eq!(
        (first.leaf_index, first.revoked_at),
        (second.leaf_index, second.revoked_at)
    );
    assert_eq!(revocations(&owner, hash, goes.address()).await, 1);
}

#[tokio::test]
async fn only_who_has_access_can_lose_it() {
    let world = World::new();
    let (owner, reader, stranger) = (world.node(1).await, world.node(2).await, world.node(3).await);
    let hash = share(&owner, b"for one", &[&reader]).await;
    for nobody in [stranger.address(), owner.address()] {
        let error = owner.data.revoke(&hash, nobody).await.unwrap_err();
        assert!(
            matches!(
                &error,
                ServiceError::Invalid {
                    field: "recipient",
                    ..
                }
            ),
            "{error}"
        );
    }
    let unknown = DataHash::of(b"nobody has this");
    for (node, hash) in [(&owner, unknown), (&reader, hash)] {
        let error = node.data.revoke(&hash, stranger.address()).await.unwrap_err();
        assert!(matches!(error, ServiceError::NotFound), "{error}");
    }
    assert!(reader.read(&hash).await.is_ok());
}

#[tokio::test]
async fn who_lost_access_can_be_given_it_anew() {
    let world = World::new();
    let (owner, reader) = (world.node(1).await, world.node(2).await);
    let hash = share(&owner, b"off and on", &[&reader]).await;
    owner.data.revoke(&hash, reader.address()).await.unwrap();
    let granted = owner.data.grant(&hash, terms(reader.address())).await.unwrap();
    assert_eq!(reader.read(&hash).await.unwrap(), b"off and on");
    let again = owner.data.revoke(&hash, reader.address()).await.unwrap();
    assert!(
        again.leaf_index > granted.leaf_index.unwrap(),
        "an event of its own"
    );
    assert!(reader.read(&hash).await.is_err());
}

#[tokio::test]
async fn a_share_whose_grant_is_owed_is_forgotten() {
    let world = World::new();
    let owner = world.node(1).await;
    let absent = Address::repeat_byte(0x77);
    let shared = owner
        .data
        .share_bytes(b"nobody yet".as_slice().into(), terms(absent));
    let hash = shared.await.unwrap().data_hash;
    let before = own_envelope(&owner, &hash).await;
    owner.data.revoke(&hash, absent).await.unwrap();
    let after = own_envelope(&owner, &hash).await;
    assert_eq!(
        after.chunk_list, before.chunk_list,
        "nobody had the key, so the data stays as it is"
    );
    assert_eq!(revocations(&owner, hash, absent).await, 1);
}

/// Stops a revocation at each of its steps, and finishes it as a restarted node does.
#[tokio::test]
async fn a_revocation_that_was_interrupted_is_finished_and_the_data_is_readable_meanwhile() {
    let world = World::new();
    let (owner, stays, goes) = (world.node(1).await, world.node(2).await, world.node(3).await);
    let data = b"interrupted";
    let hash = share(&owner, data, &[&stays, &goes]).await;
    let readable = owner.catalog.readable(&hash).await.unwrap().unwrap();

    // Stopped after the share was forgotten, and a key was prepared that no chunks have.
    owner
        .catalog
        .begin_revocation(&hash, goes.address())
        .await
        .unwrap();
    let mut unused = readable.clone();
    unused.chunk_list = [9; 32];
    owner.catalog.prepare_key(&unused).await.unwrap();
    assert_eq!(owner.read(&hash).await.unwrap(), data);

    owner.spread();
    let finished = async || {
        let left = owner.catalog.unfinished_revocations(None, 1).await.unwrap();
        left.is_empty().then_some(())
    };
    eventually("the revocation is finished", finished).await;
    assert_eq!(revocations(&owner, hash, goes.address()).await, 1);
    assert_eq!(stays.read(&hash).await.unwrap(), data);
    assert!(goes.read(&hash).await.is_err());

    // Stopped after the chunks were replaced, and before their key was adopted.
    let adopted = owner.catalog.readable(&hash).await.unwrap().unwrap();
    owner.catalog.put_readable(&readable).await.unwrap();
    owner.catalog.prepare_key(&adopted).await.unwrap();
    assert_eq!(owner.read(&hash).await.unwrap(), data);
    owner
        .catalog
        .begin_revocation(&hash, goes.address())
        .await
        .unwrap();
    eventually("the key is adopted", finished).await;
    assert_eq!(owner.catalog.readable(&hash).await.unwrap(), Some(adopted));
    assert_eq!(owner.catalog.prepared_key(&hash).await.unwrap(), None);
    assert_eq!(revocations(&owner, hash, goes.address()).await, 1);
}
