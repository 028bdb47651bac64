//! A database that may not grow any more stands for a disk without space.

use dm_core::ports::{CatalogError, EventLog, ReadableObjects, ShareCatalog};
use dm_core::{event::EventKind, share::NewShare};
use dm_testing::catalog::samples::{address, data_hash, entries, event, readable, share};

use super::{SqliteCatalog, open};

#[tokio::test]
async fn a_full_disk_is_reported_and_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("catalog.db");
    let (mut connection, file) = open::writing(&path).await.unwrap();
    sqlx::query("PRAGMA max_page_count = 151")
        .execute(&mut connection)
        .await
        .unwrap();
    let catalog = SqliteCatalog::start(&path, connection, file).unwrap();

    let mut kept = 0;
    let error = loop {
        match catalog.put_readable(&readable(kept, address(1))).await {
            Ok(()) => kept += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(error, CatalogError::Full), "{error:?}");
    assert!(kept > 0);
    for n in 0..kept {
        assert!(catalog.readable(&data_hash(n)).await.unwrap().is_some());
    }

    // Space comes back where something is removed, and with it the service.
    for n in 0..kept {
        catalog.remove_readable(&data_hash(n)).await.unwrap();
    }
    catalog.commit_share(&share(1, 1).into()).await.unwrap();
}

#[tokio::test]
async fn a_write_that_fails_does_not_take_its_group_down() {
    let folder = tempfile::tempdir().unwrap();
    let catalog = SqliteCatalog::open(folder.path().join("catalog.db"))
        .await
        .unwrap();
    // No such number can be kept: known only when the statement is made.
    let mut impossible = event(EventKind::DataShare, 0, 1);
    impossible.timestamp = u64::MAX;
    let bad = entries(0, [impossible]);
    let shares: Vec<NewShare> = (0..40).map(|n| share(n, 1).into()).collect();
    let writes = futures::future::join_all(shares.iter().map(|share| catalog.commit_share(share)));
    let (appended, inserted) = futures::join!(catalog.append(&bad, &[]), writes);
    assert!(appended.is_err());
    assert!(inserted.into_iter().all(|result| result.is_ok()));
    assert_eq!(catalog.event_count().await.unwrap(), 0);
}
