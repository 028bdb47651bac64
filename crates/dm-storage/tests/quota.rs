//! What may be kept is counted in the transaction that keeps it.

use std::path::Path;

use dm_core::{
    Address,
    config::StorageConfig,
    envelope::{CHUNK_SIZE, Envelope, SignedEnvelope},
    ports::{Kept, KeptLimits, Signer, StoreError, storage_cost},
};
use dm_storage::Storage;
use dm_testing::{objects::SampleObject, signer::TestSigner};

/// The account of sample objects with this owner number.
fn account(owner: u8) -> Address {
    TestSigner::new(owner).address()
}

fn open(folder: &Path, own: u64, foreign: u64) -> Storage {
    let limits = KeptLimits {
        account: account(1),
        own,
        foreign,
    };
    Storage::open_within(folder, &StorageConfig::default(), limits).unwrap()
}

fn cost(object: &SampleObject) -> u64 {
    storage_cost(&object.envelope)
}

#[tokio::test]
async fn own_and_foreign_objects_have_limits_of_their_own() {
    let folder = tempfile::tempdir().unwrap();
    let sizes = [900, 2 * CHUNK_SIZE];
    let own: Vec<_> = (0..)
        .zip(sizes)
        .map(|(seed, size)| SampleObject::new(1, seed, size))
        .collect();
    let foreign: Vec<_> = (0..)
        .zip(sizes)
        .map(|(seed, size)| SampleObject::new(2, seed, size))
        .collect();
    let room = |objects: &[SampleObject]| objects.iter().map(cost).sum::<u64>();
    let storage = open(folder.path(), room(&own), room(&foreign) - 1);
    let store = storage.objects();
    for object in &own {
        object.store_in(&*store).await.unwrap();
    }
    foreign[0].store_in(&*store).await.unwrap();
    let refused = foreign[1].store_in(&*store).await;
    assert!(matches!(refused, Err(StoreError::Full)), "{refused:?}");
    assert_eq!(store.envelope(&foreign[1].id()).await.unwrap(), None);
    assert!(matches!(
        SampleObject::new(1, 9, 1).store_in(&*store).await,
        Err(StoreError::Full)
    ));
    let kept = Kept {
        own: room(&own),
        foreign: cost(&foreign[0]),
    };
    assert_eq!(storage.quota().kept(), kept);

    // What is removed makes room.
    assert!(store.remove(&foreign[0].id()).await.unwrap());
    foreign[1].store_in(&*store).await.unwrap();
    assert_eq!(storage.quota().kept().foreign, cost(&foreign[1]));
}

#[tokio::test]
async fn concurrent_writers_do_not_get_past_the_limit_together() {
    let folder = tempfile::tempdir().unwrap();
    let objects: Vec<_> = (0..40).map(|seed| SampleObject::new(2, seed, 500)).collect();
    let storage = open(folder.path(), 0, 10 * cost(&objects[0]));
    let store = storage.objects();
    let stored = futures::future::join_all(objects.iter().map(|object| object.store_in(&*store))).await;
    assert_eq!(stored.iter().filter(|outcome| outcome.is_ok()).count(), 10);
    assert_eq!(storage.quota().kept().foreign, 10 * cost(&objects[0]));
}

#[tokio::test]
async fn a_larger_envelope_counts() {
    let folder = tempfile::tempdir().unwrap();
    let object = SampleObject::new(1, 1, 500);
    let storage = open(folder.path(), u64::MAX, 0);
    let store = storage.objects();
    object.store_in(&*store).await.unwrap();
    let newer = object.envelope_with_sequence(1, 1 << 40);
    assert!(store.replace_envelope(&newer).await.unwrap());
    assert_eq!(storage.quota().kept().own, storage_cost(&newer));
    assert!(storage.quota().kept().own > cost(&object));
}

#[tokio::test]
async fn the_count_survives_a_restart_and_is_made_anew_for_another_account() {
    let folder = tempfile::tempdir().unwrap();
    let (own, foreign) = (SampleObject::new(1, 1, 500), SampleObject::new(2, 2, 70_000));
    {
        // Opened without an account, nobody's objects are told apart.
        let storage = Storage::open(folder.path(), &StorageConfig::default()).unwrap();
        own.store_in(&*storage.objects()).await.unwrap();
        foreign.store_in(&*storage.objects()).await.unwrap();
        storage.close().await.unwrap();
    }
    for _ in 0..2 {
        let storage = open(folder.path(), u64::MAX, u64::MAX);
        let kept = Kept {
            own: cost(&own),
            foreign: cost(&foreign),
        };
        assert_eq!(storage.quota().kept(), kept);
        storage.close().await.unwrap();
    }
}

#[tokio::test]
async fn what_takes_less_than_it_replaces_is_taken_beyond_a_limit_that_was_lowered() {
    let folder = tempfile::tempdir().unwrap();
    let object = SampleObject::new(1, 1, 3 * CHUNK_SIZE);
    let storage = open(folder.path(), 10 << 20, 0);
    object.store_in(&*storage.objects()).await.unwrap();
    storage.close().await.unwrap();
    drop(storage);

    let storage = open(folder.path(), 10, 0);
    let store = storage.objects();
    let tombstone = Envelope::tombstone(object.id(), object.envelope.sequence + 1, 1);
    let tombstone = SignedEnvelope::sign(tombstone, &TestSigner::new(1)).unwrap();
    store.create().await.unwrap().finish(&tombstone).await.unwrap();
    assert!(
        store
            .envelope(&object.id())
            .await
            .unwrap()
            .unwrap()
            .is_tombstone()
    );
    assert!(store.chunk(&object.id(), 0).await.is_err());
    assert_eq!(storage.quota().kept().own, storage_cost(&tombstone));
    assert!(matches!(
        SampleObject::new(1, 9, 1).store_in(&*store).await,
        Err(StoreError::Full)
    ));
}
