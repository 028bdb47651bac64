//! What an interrupted store leaves in the bucket is collected, and nothing else.

use std::{mem, time::Duration};

use dm_core::{
    envelope::CHUNK_SIZE,
    ports::{KeptLimits, StoreError},
};
use dm_storage::Storage;
use dm_testing::{
    objects::SampleObject,
    s3::{FaultProxy, S3Double, Trouble, storage_config},
    waiting::eventually,
};

use super::{URL, assert_stored, bodies, copy, impatient, large, middle, open};

/// Where a body of this epoch would be that no writer has.
fn stray(epoch: u64) -> String {
    format!("/bucket/node/bodies/ff/{epoch:016x}00000000000000ff")
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_of_earlier_epochs_without_an_object_go_and_others_stay() {
    let store = S3Double::start(None);
    let folder = tempfile::tempdir().unwrap();
    let storage = open(folder.path(), &store.url()).unwrap();
    for seed in [1, 2] {
        middle(seed).store_in(&*storage.objects()).await.unwrap();
    }
    storage.close().await.unwrap();
    drop(storage);
    // Stored, and not committed: once before the end of the first epoch, and once by the
    // store that is opened now.
    let body = store.object(&bodies(&store)[0]).unwrap();
    for epoch in [1, 2] {
        store.set_object(&stray(epoch), Some(body.clone()));
    }
    store.set_object("/bucket/node/bodies/README", Some(b"mine".to_vec()));
    let storage = open(folder.path(), &store.url()).unwrap();
    eventually("the orphan is collected", async || {
        store.object(&stray(1)).is_none().then_some(())
    })
    .await;
    storage.close().await.unwrap();
    assert!(store.object(&stray(2)).is_some(), "a writer may be at it");
    assert!(store.object("/bucket/node/bodies/README").is_some());
    for seed in [1, 2] {
        assert_stored(&*storage.objects(), &middle(seed)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_a_crash_has_interrupted_is_ended_by_the_next_start() {
    let store = S3Double::start(None);
    let folder = tempfile::tempdir().unwrap();
    let storage = open(folder.path(), &store.url()).unwrap();
    let mut writer = storage.objects().create().await.unwrap();
    for chunk in &large(1).chunks {
        writer.append(chunk.clone()).await.unwrap();
    }
    assert_eq!(store.uploads(), 1, "parts are sent while more is coming");
    // As a process that is killed: nobody tidies up.
    mem::forget(writer);
    storage.close().await.unwrap();
    mem::forget(storage);
    assert_eq!(store.uploads(), 1);

    // Its lock is held for as long as this process lives.
    let later = tempfile::tempdir().unwrap();
    copy(folder.path(), later.path());
    let storage = open(later.path(), &store.url()).unwrap();
    eventually("the upload is ended", async || {
        (store.uploads() == 0).then_some(())
    })
    .await;
    assert!(bodies(&store).is_empty());
    storage.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_writer_that_is_given_up_leaves_nothing_in_the_bucket() {
    let store = S3Double::start(None);
    let folder = tempfile::tempdir().unwrap();
    let storage = open(folder.path(), &store.url()).unwrap();
    let mut writer = storage.objects().create().await.unwrap();
    for chunk in &large(1).chunks {
        writer.append(chunk.clone()).await.unwrap();
    }
    drop(writer);
    eventually("the upload is ended", async || {
        (store.uploads() == 0).then_some(())
    })
    .await;
    assert!(bodies(&store).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_is_refused_leaves_nothing_in_the_bucket() {
    let store = S3Double::start(None);
    let folder = tempfile::tempdir().unwrap();
    let limits = KeptLimits {
        foreign: 20 * CHUNK_SIZE,
        ..KeptLimits::NONE
    };
    let storage = Storage::open_within(folder.path(), &storage_config(&store.url(), URL), limits).unwrap();
    middle(1).store_in(&*storage.objects()).await.unwrap();
    let refused = large(2).store_in(&*storage.objects()).await;
    assert!(matches!(refused, Err(StoreError::Full)), "{refused:?}");
    let stale = middle(1).store_in(&*storage.objects()).await;
    assert!(matches!(stale, Err(StoreError::Stale { .. })), "{stale:?}");
    eventually("what was refused is deleted", async || {
        (bodies(&store).len() == 1).then_some(())
    })
    .await;
    assert_eq!(store.uploads(), 0);
    assert_stored(&*storage.objects(), &middle(1)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_could_not_be_deleted_goes_with_the_next_start() {
    let store = S3Double::start(None);
    let proxy = FaultProxy::before(&store.url());
    let folder = tempfile::tempdir().unwrap();
    let storage = Storage::open(folder.path(), &impatient(&proxy.url())).unwrap();
    middle(1).store_in(&*storage.objects()).await.unwrap();
    proxy.set(|request| (request.method == "DELETE").then_some(Trouble::Refused));
    assert!(storage.objects().remove(&middle(1).id()).await.unwrap());
    assert!(
        storage
            .objects()
            .envelope(&middle(1).id())
            .await
            .unwrap()
            .is_none()
    );
    assert_eq!(bodies(&store).len(), 1);
    storage.close().await.unwrap();
    drop(storage);
    proxy.clear();
    let storage = Storage::open(folder.path(), &impatient(&proxy.url())).unwrap();
    eventually("the body is deleted", async || {
        bodies(&store).is_empty().then_some(())
    })
    .await;
    storage.close().await.unwrap();
}

/// The names of chunks stand before the chunks of their group, so the part with the names
/// is sent when the group is complete.
#[tokio::test(flavor = "multi_thread")]
async fn an_object_of_more_than_one_group_is_read_back() {
    let store = S3Double::start(None);
    let folder = tempfile::tempdir().unwrap();
    let storage = open(folder.path(), &store.url()).unwrap();
    let object = SampleObject::new(1, 1, 530 * CHUNK_SIZE + 1);
    object.store_in(&*storage.objects()).await.unwrap();
    assert_stored(&*storage.objects(), &object).await;
    tokio::time::timeout(Duration::from_secs(60), storage.close())
        .await
        .unwrap()
        .unwrap();
}
