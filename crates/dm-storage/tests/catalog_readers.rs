//! Readers that take long: they keep no write waiting, and no erasure is
//! acknowledged that they keep from being one.

use std::{path::Path, process::Command};

use dm_core::ports::{CatalogCopy, ErasureCause, Erasures, ReadableObjects, ShareCatalog};
use dm_storage::SqliteCatalog;
use dm_testing::catalog::samples::{address, data_hash, readable, share};
use sqlx::{ConnectOptions, Connection, SqliteConnection, sqlite::SqliteConnectOptions};

/// A reader that sees the catalog as it is now until it is closed.
async fn long_reader(path: &Path) -> SqliteConnection {
    let options = SqliteConnectOptions::new().filename(path).read_only(true);
    let mut reader = options.connect().await.unwrap();
    for statement in ["BEGIN", "SELECT count(*) FROM shares"] {
        sqlx::query(statement).execute(&mut reader).await.unwrap();
    }
    reader
}

/// Whether a file of the catalog has these bytes.
fn is_in_a_file(folder: &Path, text: &str) -> bool {
    std::fs::read_dir(folder).unwrap().any(|entry| {
        let content = std::fs::read(entry.unwrap().path()).unwrap();
        content.windows(text.len()).any(|bytes| bytes == text.as_bytes())
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erasure_is_acknowledged_only_when_no_file_holds_the_key() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("catalog.db");
    let catalog = SqliteCatalog::open(&path).await.unwrap();
    let object = readable(1, address(1));
    catalog.put_readable(&object).await.unwrap();
    let reader = long_reader(&path).await;
    let erasing = tokio::spawn({
        let catalog = catalog.clone();
        async move { catalog.begin_erasure(&data_hash(1), ErasureCause::Ordered).await }
    });
    while catalog.readable(&data_hash(1)).await.unwrap().is_some() {
        tokio::task::yield_now().await;
    }
    // Other writes go on, and the key is still in a file.
    catalog.commit_share(&share(2, 1).into()).await.unwrap();
    assert!(is_in_a_file(folder.path(), &object.key.token));
    assert!(!erasing.is_finished());
    assert!(
        catalog.end_erasure(&data_hash(1)).await.is_err(),
        "nothing is erased yet"
    );
    reader.close().await.unwrap();
    erasing.await.unwrap().unwrap();
    assert!(!is_in_a_file(folder.path(), &object.key.token));
    catalog.end_erasure(&data_hash(1)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn shares_go_on_while_a_copy_is_made() {
    let folder = tempfile::tempdir().unwrap();
    let catalog = SqliteCatalog::open(folder.path().join("catalog.db"))
        .await
        .unwrap();
    for number in 0..100 {
        catalog.commit_share(&share(number, 1).into()).await.unwrap();
    }
    // A copy into a pipe that nobody reads yet takes as long as the test wants.
    let pipe = folder.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let (begun, moment) = tokio::sync::oneshot::channel();
    let copying = tokio::spawn({
        let (catalog, pipe) = (catalog.clone(), pipe.clone());
        let meanwhile = Box::pin(async move {
            begun.send(()).unwrap();
            Ok(())
        });
        async move { catalog.copy_to(&pipe, meanwhile).await }
    });
    moment.await.unwrap();
    for number in 100..300 {
        catalog.commit_share(&share(number, 1).into()).await.unwrap();
    }
    assert!(!copying.is_finished(), "all of this happened meanwhile");

    let copy = folder.path().join("copy.db");
    let (from, to) = (pipe.clone(), copy.clone());
    let read = tokio::task::spawn_blocking(move || std::fs::write(to, std::fs::read(from).unwrap()));
    read.await.unwrap().unwrap();
    copying.await.unwrap().unwrap();
    let copied = SqliteCatalog::open(&copy).await.unwrap();
    for number in 0..300 {
        let found = copied.share(&data_hash(number), address(1)).await.unwrap();
        assert_eq!(found.is_some(), number < 100, "{number}: of one moment");
    }
    copied.close().await.unwrap();
    catalog.close().await.unwrap();
}
