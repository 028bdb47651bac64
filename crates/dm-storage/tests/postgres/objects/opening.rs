//! Where the index of the objects is.

use dm_core::{config::StorageConfig, ports::KeptLimits};
use dm_storage::Storage;
use tempfile::tempdir;

use super::{Shared, assert_stored, large, middle, open, small};

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_folder_has_everything_small_and_large() {
    let (shared, folder) = (Shared::new().await, tempdir().unwrap());
    let storage = shared.open(folder.path()).await;
    let objects = [small(1), middle(2), large(3)];
    for object in &objects {
        object.store_in(&*storage.objects()).await.unwrap();
    }
    storage.close().await.unwrap();
    drop((storage, folder));

    let folder = tempdir().unwrap();
    let storage = shared.open(folder.path()).await;
    for object in &objects {
        assert_stored(&storage, object).await;
    }
    assert_eq!(storage.objects().usage().await.unwrap().objects, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_bucket_objects_stay_in_the_folder() {
    let (shared, folder) = (Shared::new().await, tempdir().unwrap());
    let reopen = || {
        let database = shared.database.options();
        open(
            folder.path(),
            StorageConfig::default(),
            KeptLimits::NONE,
            database,
        )
    };
    let storage = reopen().await.unwrap();
    large(1).store_in(&*storage.objects()).await.unwrap();
    storage.close().await.unwrap();
    drop(storage);
    assert!(folder.path().join("fjall").exists());

    // Also where there is a bucket from now on: one index alone knows what is stored.
    let storage = shared.open(folder.path()).await;
    assert_stored(&storage, &large(1)).await;
    small(2).store_in(&*storage.objects()).await.unwrap();
    storage.close().await.unwrap();
    drop(storage);
    let storage = reopen().await.unwrap();
    assert_stored(&storage, &small(2)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_in_the_database_is_refused_without_its_bucket_and_beside_another() {
    let (shared, folder) = (Shared::new().await, tempdir().unwrap());
    let storage = shared.open(folder.path()).await;
    small(1).store_in(&*storage.objects()).await.unwrap();
    storage.close().await.unwrap();
    drop(storage);
    let (local, database) = (StorageConfig::default(), shared.database.options());
    let refused = open(folder.path(), local.clone(), KeptLimits::NONE, database).await;
    let refused = refused.err().unwrap().to_string();
    assert!(refused.contains("set `storage.objects_url`"), "{refused}");

    let other = tempdir().unwrap();
    let storage = Storage::open(other.path(), &local).unwrap();
    small(2).store_in(&*storage.objects()).await.unwrap();
    storage.close().await.unwrap();
    drop(storage);
    let database = shared.database.options();
    let refused = open(other.path(), shared.config(), KeptLimits::NONE, database).await;
    let refused = refused.err().unwrap().to_string();
    assert!(refused.contains("an index of objects of its own"), "{refused}");
    // Nothing of either is lost.
    assert_stored(&Storage::open(other.path(), &local).unwrap(), &small(2)).await;
    assert_stored(&shared.open(folder.path()).await, &small(1)).await;
}

/// The database as it was before the last objects, and the bucket as it is now.
#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_was_restored_takes_large_objects_back() {
    let (shared, folder) = (Shared::new().await, tempdir().unwrap());
    let storage = shared.open(folder.path()).await;
    small(1).store_in(&*storage.objects()).await.unwrap();
    storage.close().await.unwrap();
    drop(storage);
    let mut raw = shared.database.raw().await;
    let run = |statement: &'static str| sqlx::raw_sql(statement);
    run("CREATE TABLE earlier AS SELECT * FROM object_entries")
        .execute(&mut raw)
        .await
        .unwrap();
    let storage = shared.open(folder.path()).await;
    large(2).store_in(&*storage.objects()).await.unwrap();
    let usage = storage.objects().usage().await.unwrap();
    storage.close().await.unwrap();
    drop(storage);
    run("DELETE FROM object_entries; INSERT INTO object_entries SELECT * FROM earlier")
        .execute(&mut raw)
        .await
        .unwrap();
    let storage = shared.open(folder.path()).await;
    assert_stored(&storage, &small(1)).await;
    assert_stored(&storage, &large(2)).await;
    assert_eq!(storage.objects().usage().await.unwrap(), usage);
}
