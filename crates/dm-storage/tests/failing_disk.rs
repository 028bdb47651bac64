//! A disk that fails for a moment: everything goes on without a restart, what was
//! acknowledged is there after a crash, and nothing that was refused is.

use dm_core::{
    config::StorageConfig,
    health::{Finding, HealthLevel, PartHealth},
    ports::{CatalogError, ErasureCause, Erasures, HealthCheck, ReadableObjects, ShareCatalog, StoreError},
};
use dm_storage::{SqliteCatalog, Storage};
use dm_testing::{
    catalog::samples::{address, data_hash, readable, share},
    objects::SampleObject,
};

use crate::common::faulty_disk::{FaultyDisk, killed_after};

async fn catalog(folder: &std::path::Path) -> SqliteCatalog {
    SqliteCatalog::open(folder.join("catalog.db")).await.unwrap()
}

fn storage(folder: &std::path::Path) -> Storage {
    Storage::open(&folder.join("objects"), &StorageConfig::default()).unwrap()
}

fn level(finding: Finding) -> HealthLevel {
    PartHealth::after(finding, None, 1).status
}

async fn has_share(catalog: &SqliteCatalog, number: u64) -> bool {
    let found = catalog.share(&data_hash(number), address(1)).await.unwrap();
    found.is_some()
}

/// Every way in which the disk fails for a moment.
const WAYS: [&str; 3] = ["fsync", "full", "readonly"];

#[test]
fn a_share_whose_commit_failed_is_dead_after_a_crash() {
    killed_after(
        "failing_disk::a_share_whose_commit_failed_is_dead_after_a_crash",
        |disk| async move {
            let catalog = catalog(disk.folder()).await;
            catalog.commit_share(&share(1, 1).into()).await.unwrap();
            disk.fails("fsync once");
            let refused = catalog.commit_share(&share(2, 1).into()).await;
            assert!(
                matches!(refused, Err(CatalogError::Unavailable(_))),
                "{refused:?}"
            );
            assert!(!has_share(&catalog, 2).await);
        },
        async |folder| {
            let catalog = catalog(folder).await;
            assert!(has_share(&catalog, 1).await);
            assert!(!has_share(&catalog, 2).await, "a refused share came alive");
        },
    );
}

#[test]
fn the_catalog_goes_on_when_the_disk_works_again() {
    killed_after(
        "failing_disk::the_catalog_goes_on_when_the_disk_works_again",
        |disk| async move {
            let catalog = catalog(disk.folder()).await;
            for (number, way) in (0..).zip(WAYS) {
                disk.fails(way);
                for refused in 1..4 {
                    let result = catalog
                        .commit_share(&share(10 * number + refused, 1).into())
                        .await;
                    let error = result.unwrap_err();
                    assert!(
                        matches!(
                            error,
                            CatalogError::Full | CatalogError::Unavailable(_) | CatalogError::Unsettled(_)
                        ),
                        "{way}: {error:?}"
                    );
                }
                assert_eq!(level(catalog.check().await), HealthLevel::Unhealthy, "{way}");
                disk.works();
                assert_eq!(level(catalog.check().await), HealthLevel::Healthy, "{way}");
                catalog.commit_share(&share(10 * number, 1).into()).await.unwrap();
            }
        },
        async |folder| {
            let catalog = catalog(folder).await;
            for number in [0, 10, 20] {
                assert!(has_share(&catalog, number).await, "{number}");
                for refused in 1..4 {
                    assert!(!has_share(&catalog, number + refused).await);
                }
            }
        },
    );
}

#[test]
fn a_key_is_erased_on_a_disk_that_failed_before() {
    killed_after(
        "failing_disk::a_key_is_erased_on_a_disk_that_failed_before",
        |disk| async move {
            let catalog = catalog(disk.folder()).await;
            catalog.put_readable(&readable(1, address(1))).await.unwrap();
            disk.fails("fsync");
            assert!(
                catalog
                    .begin_erasure(&data_hash(1), ErasureCause::Ordered)
                    .await
                    .is_err()
            );
            disk.works();
            catalog
                .begin_erasure(&data_hash(1), ErasureCause::Ordered)
                .await
                .unwrap();
        },
        async |folder| {
            let catalog = catalog(folder).await;
            assert!(catalog.readable(&data_hash(1)).await.unwrap().is_none());
        },
    );
}

fn object(seed: u64) -> SampleObject {
    // Some in the engine, some in files.
    SampleObject::new(1, seed, if seed.is_multiple_of(2) { 1000 } else { 900_000 })
}

async fn is_stored(storage: &Storage, seed: u64) -> bool {
    let envelope = storage.objects().envelope(&object(seed).id()).await.unwrap();
    envelope.is_some()
}

#[test]
fn an_object_whose_commit_failed_is_dead_after_a_crash() {
    killed_after(
        "failing_disk::an_object_whose_commit_failed_is_dead_after_a_crash",
        |disk| async move {
            let storage = storage(disk.folder());
            object(2).store_in(&*storage.objects()).await.unwrap();
            disk.fails("fsync once");
            let refused = object(4).store_in(&*storage.objects()).await;
            assert!(matches!(refused, Err(StoreError::Unavailable(_))), "{refused:?}");
            assert!(!is_stored(&storage, 4).await);
        },
        async |folder| {
            let storage = storage(folder);
            assert!(object(2).is_in(&*storage.objects()).await);
            assert!(!is_stored(&storage, 4).await, "a refused object came alive");
        },
    );
}

#[test]
fn the_object_store_goes_on_when_the_disk_works_again() {
    killed_after(
        "failing_disk::the_object_store_goes_on_when_the_disk_works_again",
        |disk: FaultyDisk| async move {
            let storage = storage(disk.folder());
            let objects = storage.objects();
            object(1000).store_in(&*objects).await.unwrap();
            for (round, way) in (0..).zip(WAYS) {
                disk.fails(way);
                for refused in 1..5 {
                    let error = object(10 * round + refused)
                        .store_in(&*objects)
                        .await
                        .unwrap_err();
                    assert!(
                        matches!(
                            error,
                            StoreError::Full | StoreError::Unavailable(_) | StoreError::Unsettled(_)
                        ),
                        "{way}: {error:?}"
                    );
                    assert!(object(1000).is_in(&*objects).await, "{way}: it reads on");
                }
                assert_eq!(
                    level(storage.health().check().await),
                    HealthLevel::Unhealthy,
                    "{way}"
                );
                disk.works();
                assert_eq!(
                    level(storage.health().check().await),
                    HealthLevel::Healthy,
                    "{way}"
                );
                for stored in 5..7 {
                    object(10 * round + stored).store_in(&*objects).await.unwrap();
                }
            }
        },
        async |folder| {
            let storage = storage(folder);
            for round in 0..3 {
                for refused in 1..5 {
                    assert!(!is_stored(&storage, 10 * round + refused).await);
                }
                for stored in 5..7 {
                    assert!(object(10 * round + stored).is_in(&*storage.objects()).await);
                }
            }
            assert_eq!(storage.objects().usage().await.unwrap().objects, 7);
        },
    );
}
