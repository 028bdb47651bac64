//! The catalog's file: opening, closing, and what does not belong there.

use std::{
    fs,
    path::{Path, PathBuf},
};

use dm_core::{
    event::EventKind,
    ports::{
        ApiKeyCatalog, CatalogError, ErasureCause, Erasures, EventLog, PeerCatalog, ReadableObjects,
        ShareCatalog,
    },
    share::NewShare,
};
use dm_storage::SqliteCatalog;
use dm_testing::catalog::samples::{
    address, api_key, checkpoint, data_hash, due, entries, event, node, object_id, owed, peer, readable,
    share, unrecorded,
};
use proptest::prelude::*;
use sqlx::{Connection, SqliteConnection, sqlite::SqliteConnectOptions};
use tempfile::TempDir;

fn folder() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("catalog.db");
    (folder, path)
}

async fn raw(path: &Path) -> SqliteConnection {
    let options = SqliteConnectOptions::new().filename(path).create_if_missing(true);
    SqliteConnection::connect_with(&options).await.unwrap()
}

async fn refusal(path: &Path) -> String {
    match SqliteCatalog::open(path).await.err() {
        Some(CatalogError::Corrupt(why)) => why,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn everything_is_there_after_reopening() {
    let (_folder, path) = folder();
    let catalog = SqliteCatalog::open(&path).await.unwrap();
    catalog.commit_share(&NewShare::from(share(1, 1))).await.unwrap();
    catalog.commit_share(&NewShare::from(share(2, 1))).await.unwrap();
    catalog
        .set_grant_owed(&data_hash(2), address(1), true)
        .await
        .unwrap();
    catalog.put_readable(&readable(1, address(9))).await.unwrap();
    catalog
        .set_replicas(&object_id(1, address(9)), 7, 2)
        .await
        .unwrap();
    let logged = entries(0, [event(EventKind::DataShare, 1, 1)]);
    catalog.append(&logged, &[node(0)]).await.unwrap();
    catalog.put_checkpoint(&checkpoint(1, false)).await.unwrap();
    catalog.insert_api_key(&api_key("a", 1)).await.unwrap();
    catalog.put_peers(&[peer("p", 1)]).await.unwrap();
    catalog.close().await.unwrap();

    let catalog = SqliteCatalog::open(&path).await.unwrap();
    assert_eq!(
        catalog.share(&data_hash(1), address(1)).await.unwrap(),
        Some(share(1, 1))
    );
    assert_eq!(unrecorded(&catalog, 9).await, [share(2, 1)]);
    assert_eq!(owed(&catalog, 9).await, [share(2, 1)]);
    assert_eq!(due(&catalog, 1, 9).await, [share(1, 1)]);
    assert_eq!(
        catalog.readable(&data_hash(1)).await.unwrap(),
        Some(readable(1, address(9)))
    );
    assert_eq!(
        catalog.replicas(&object_id(1, address(9))).await.unwrap(),
        Some((2, 7))
    );
    assert_eq!(catalog.event(0).await.unwrap().as_ref(), logged.first());
    assert_eq!(catalog.tree_nodes(&[0]).await.unwrap(), [node(0).hash]);
    assert_eq!(catalog.open_checkpoints().await.unwrap(), [checkpoint(1, false)]);
    assert_eq!(catalog.api_keys().await.unwrap(), [api_key("a", 1)]);
    assert_eq!(catalog.peers().await.unwrap(), [peer("p", 1)]);
}

#[tokio::test]
async fn a_closed_catalog_is_one_complete_file() {
    let (_folder, path) = folder();
    let catalog = SqliteCatalog::open(&path).await.unwrap();
    catalog.commit_share(&NewShare::from(share(1, 1))).await.unwrap();
    let clone = catalog.clone();
    catalog.close().await.unwrap();
    clone.close().await.unwrap();
    assert!(clone.commit_share(&NewShare::from(share(2, 1))).await.is_err());
    assert!(clone.share(&data_hash(1), address(1)).await.is_err());

    let (_other, copy) = folder();
    fs::copy(&path, &copy).unwrap();
    let copied = SqliteCatalog::open(&copy).await.unwrap();
    assert!(copied.share(&data_hash(1), address(1)).await.unwrap().is_some());
}

#[tokio::test]
async fn an_empty_file_becomes_a_catalog() {
    let (_folder, path) = folder();
    fs::write(&path, b"").unwrap();
    let catalog = SqliteCatalog::open(&path).await.unwrap();
    assert_eq!(catalog.event_count().await.unwrap(), 0);
}

#[tokio::test]
async fn a_database_without_tables_becomes_a_catalog() {
    let (_folder, path) = folder();
    let mut database = raw(&path).await;
    sqlx::query("PRAGMA user_version = 3")
        .execute(&mut database)
        .await
        .unwrap();
    database.close().await.unwrap();
    let catalog = SqliteCatalog::open(&path).await.unwrap();
    assert_eq!(catalog.event_count().await.unwrap(), 0);
}

#[cfg(unix)]
#[tokio::test]
async fn only_this_user_can_read_the_files() {
    use std::os::unix::fs::PermissionsExt;

    let (folder, path) = folder();
    // Too open at first, as an old backup might be.
    fs::write(&path, b"").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    let catalog = SqliteCatalog::open(&path).await.unwrap();
    catalog.commit_share(&NewShare::from(share(1, 1))).await.unwrap();
    let mut files = 0;
    for entry in fs::read_dir(folder.path()).unwrap() {
        let entry = entry.unwrap();
        assert_eq!(
            entry.metadata().unwrap().permissions().mode() & 0o777,
            0o600,
            "{entry:?}"
        );
        files += 1;
    }
    assert_eq!(
        files, 4,
        "the database, its write-ahead log, their index and the room that is kept"
    );
}

#[tokio::test]
async fn a_destroyed_key_is_in_no_file() {
    let (folder, path) = folder();
    let catalog = SqliteCatalog::open(&path).await.unwrap();
    let object = readable(1, address(1));
    let holds_the_key = || {
        fs::read_dir(folder.path()).unwrap().any(|entry| {
            let bytes = fs::read(entry.unwrap().path()).unwrap();
            let token = object.key.token.as_bytes();
            bytes.windows(token.len()).any(|window| window == token)
        })
    };
    catalog.put_readable(&object).await.unwrap();
    assert!(holds_the_key());
    catalog.remove_readable(&object.data_hash).await.unwrap();
    assert!(!holds_the_key());

    catalog.put_readable(&object).await.unwrap();
    assert!(holds_the_key());
    catalog
        .begin_erasure(&object.data_hash, ErasureCause::Ordered)
        .await
        .unwrap();
    assert!(!holds_the_key());
}

#[tokio::test]
async fn a_file_that_is_no_database_is_refused_and_left_alone() {
    let (_folder, path) = folder();
    let contents = b"these are the notes of somebody else, longer than a header".repeat(100);
    fs::write(&path, &contents).unwrap();
    let why = refusal(&path).await;
    assert!(
        why.contains("catalog.db") && why.contains("restore a backup"),
        "{why}"
    );
    assert_eq!(fs::read(&path).unwrap(), contents);
}

#[tokio::test]
async fn a_database_of_another_program_is_refused() {
    let (_folder, path) = folder();
    let mut database = raw(&path).await;
    sqlx::query("CREATE TABLE recipes (name TEXT)")
        .execute(&mut database)
        .await
        .unwrap();
    database.close().await.unwrap();
    let why = refusal(&path).await;
    assert!(why.contains("another program"), "{why}");
}

#[tokio::test]
async fn a_database_of_a_newer_version_is_refused() {
    let (_folder, path) = folder();
    SqliteCatalog::open(&path).await.unwrap().close().await.unwrap();
    let mut database = raw(&path).await;
    sqlx::query("INSERT INTO _sqlx_migrations VALUES (999, 'future', '2030-01-01', true, x'00', 0)")
        .execute(&mut database)
        .await
        .unwrap();
    database.close().await.unwrap();
    let why = refusal(&path).await;
    assert!(why.contains("newer version") && why.contains("999"), "{why}");
}

#[tokio::test]
async fn a_missing_folder_is_named() {
    let (folder, _) = folder();
    let path = folder.path().join("missing").join("catalog.db");
    let error = SqliteCatalog::open(&path).await.err().unwrap();
    let CatalogError::Failed(source) = error else {
        panic!("{error:?}")
    };
    assert!(source.to_string().contains("missing"), "{source}");
}

fn damaged_database(runtime: &tokio::runtime::Runtime) -> (TempDir, PathBuf) {
    let (folder, path) = folder();
    runtime.block_on(async {
        let catalog = SqliteCatalog::open(&path).await.unwrap();
        let shares: Vec<_> = (0..200).map(|n| NewShare::from(share(n, 1))).collect();
        futures::future::join_all(shares.iter().map(|share| catalog.commit_share(share))).await;
        catalog.close().await.unwrap();
    });
    (folder, path)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whatever stands in the file: an answer or an error, never a panic.
    #[test]
    fn a_damaged_file_is_never_a_panic(place in 0.0..1.0f64, garbage in prop::collection::vec(any::<u8>(), 1..5000), cut in any::<bool>()) {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let (_folder, path) = damaged_database(&runtime);
        let mut bytes = fs::read(&path).unwrap();
        let start = (bytes.len() as f64 * place) as usize;
        if cut {
            bytes.truncate(start);
        } else {
            for (byte, garbage) in bytes.iter_mut().skip(start).zip(&garbage) {
                *byte = *garbage;
            }
        }
        fs::write(&path, bytes).unwrap();
        runtime.block_on(async {
            let Ok(catalog) = SqliteCatalog::open(&path).await else { return };
            for n in 0..200 {
                let _ = catalog.share(&data_hash(n), address(1)).await;
            }
            let _ = catalog.commit_share(&NewShare::from(share(1000, 1))).await;
            let _ = catalog.close().await;
        });
    }
}
