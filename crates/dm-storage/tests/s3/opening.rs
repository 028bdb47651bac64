//! Which bucket a store is opened over, and which not.

use std::fs;

use dm_core::{
    Address,
    config::StorageConfig,
    envelope::CHUNK_SIZE,
    ports::{KeptLimits, StoreError},
};
use dm_storage::Storage;
use dm_testing::{
    objects::SampleObject,
    s3::{FaultProxy, Lie, S3Double, storage_config},
};

use super::{URL, assert_stored, bodies, copy, impatient, large, middle, open};

fn refused(opened: Result<Storage, StoreError>) -> String {
    opened.err().expect("it is refused").to_string()
}

#[test]
fn a_store_that_breaks_a_promise_is_refused_with_what_it_did() {
    for (lie, expected) in [
        (
            Lie::IgnoresRanges,
            "answers the request for a part with the whole",
        ),
        (Lie::ShiftsRanges, "gave back another part of an object"),
        (Lie::ReadsOldVersions, "gave back an earlier version"),
        (Lie::ForgetsWrites, "does not give back what it has taken"),
        (
            Lie::MixesParts,
            "what it made of the parts of an object is not what was sent",
        ),
        (Lie::KnowsNoParts, "does not take an object in parts"),
        (Lie::ListsNothing, "does not list an object that was just written"),
        (Lie::KeepsDeleted, "gave back an object that was deleted"),
    ] {
        let store = S3Double::start(Some(lie));
        let folder = tempfile::tempdir().unwrap();
        let refused = refused(open(folder.path(), &store.url()));
        assert!(
            refused.contains(URL) && refused.contains(expected),
            "{lie:?}: {refused}"
        );
        assert_eq!(store.uploads(), 0, "{lie:?}");
    }
    let store = S3Double::start(None);
    let folder = tempfile::tempdir().unwrap();
    let storage = open(folder.path(), &store.url()).unwrap();
    assert_eq!(
        store.paths(),
        ["/bucket/node/store.json"],
        "the probe leaves nothing"
    );
    drop(storage);
}

#[test]
fn a_store_that_does_not_answer_is_named() {
    let store = S3Double::start(None);
    let proxy = FaultProxy::before(&store.url());
    proxy.cut_off();
    let folder = tempfile::tempdir().unwrap();
    let refused = Storage::open(folder.path(), &impatient(&proxy.url()))
        .err()
        .unwrap();
    assert!(
        matches!(&refused, StoreError::Unavailable(reason) if reason.contains(URL)),
        "{refused}"
    );
}

#[test]
fn two_accounts_do_not_share_a_prefix() {
    let store = S3Double::start(None);
    let config = storage_config(&store.url(), URL);
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let limits = |byte| KeptLimits {
        account: Address::repeat_byte(byte),
        ..KeptLimits::NONE
    };
    drop(Storage::open_within(folders[0].path(), &config, limits(1)).unwrap());
    let refused = refused(Storage::open_within(folders[1].path(), &config, limits(2)));
    let owner = Address::repeat_byte(1).to_string();
    assert!(refused.contains(URL) && refused.contains(&owner), "{refused}");
    drop(Storage::open_within(folders[0].path(), &config, limits(1)).unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_is_not_opened_without_its_bucket() {
    let store = S3Double::start(None);
    let folder = tempfile::tempdir().unwrap();
    let storage = open(folder.path(), &store.url()).unwrap();
    middle(1).store_in(&*storage.objects()).await.unwrap();
    storage.close().await.unwrap();
    drop(storage);

    let without = refused(Storage::open(folder.path(), &StorageConfig::default()));
    assert!(without.contains("set `storage.objects_url`"), "{without}");
    let elsewhere = storage_config(&store.url(), "s3://bucket/elsewhere");
    let other = refused(Storage::open(folder.path(), &elsewhere));
    assert!(other.contains("s3://bucket/elsewhere is not that one"), "{other}");

    let storage = open(folder.path(), &store.url()).unwrap();
    assert_stored(&*storage.objects(), &middle(1)).await;
    storage.objects().remove(&middle(1).id()).await.unwrap();
    assert!(bodies(&store).is_empty());
    storage.close().await.unwrap();
    drop(storage);
    drop(Storage::open(folder.path(), &StorageConfig::default()).unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_takes_what_is_new_and_files_stay_where_they_are() {
    let store = S3Double::start(None);
    let folder = tempfile::tempdir().unwrap();
    let storage = Storage::open(folder.path(), &StorageConfig::default()).unwrap();
    middle(1).store_in(&*storage.objects()).await.unwrap();
    storage.close().await.unwrap();
    drop(storage);
    let storage = open(folder.path(), &store.url()).unwrap();
    middle(2).store_in(&*storage.objects()).await.unwrap();
    for seed in [1, 2] {
        assert_stored(&*storage.objects(), &middle(seed)).await;
    }
    assert_eq!(bodies(&store).len(), 1);
    assert_eq!(fs::read_dir(folder.path().join("files")).unwrap().count(), 1);
    let small = SampleObject::new(1, 3, CHUNK_SIZE / 2);
    small.store_in(&*storage.objects()).await.unwrap();
    assert_eq!(bodies(&store).len(), 1, "a small object is in the engine");
}

#[tokio::test(flavor = "multi_thread")]
async fn large_objects_come_back_from_the_bucket_when_the_folder_is_lost() {
    let store = S3Double::start(None);
    let folder = tempfile::tempdir().unwrap();
    let storage = open(folder.path(), &store.url()).unwrap();
    for object in [middle(1), large(2), middle(3)] {
        object.store_in(&*storage.objects()).await.unwrap();
    }
    let removed = middle(3).id();
    storage.objects().remove(&removed).await.unwrap();
    let usage = storage.objects().usage().await.unwrap();
    storage.close().await.unwrap();
    drop(storage);

    let folder = tempfile::tempdir().unwrap();
    let storage = open(folder.path(), &store.url()).unwrap();
    for object in [middle(1), large(2)] {
        assert_stored(&*storage.objects(), &object).await;
    }
    assert!(storage.objects().envelope(&removed).await.unwrap().is_none());
    assert_eq!(storage.objects().usage().await.unwrap(), usage);
    // Bodies of the new store do not take the names of the old ones.
    large(4).store_in(&*storage.objects()).await.unwrap();
    assert_stored(&*storage.objects(), &large(2)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_is_older_than_the_bucket_loses_nothing() {
    let store = S3Double::start(None);
    let folder = tempfile::tempdir().unwrap();
    let old = tempfile::tempdir().unwrap();
    let storage = open(folder.path(), &store.url()).unwrap();
    middle(1).store_in(&*storage.objects()).await.unwrap();
    storage.close().await.unwrap();
    drop(storage);
    copy(folder.path(), old.path());
    for seed in [2, 3] {
        let storage = open(folder.path(), &store.url()).unwrap();
        middle(seed).store_in(&*storage.objects()).await.unwrap();
        storage.close().await.unwrap();
    }
    let storage = open(old.path(), &store.url()).unwrap();
    for seed in [1, 2, 3] {
        assert_stored(&*storage.objects(), &middle(seed)).await;
    }
    assert_eq!(storage.objects().usage().await.unwrap().objects, 3);
}
