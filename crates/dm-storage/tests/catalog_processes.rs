//! Several processes at one catalog, and processes that are killed.

use std::{
    collections::HashSet,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, Command, Stdio},
};

use dm_core::{
    event::EventKind,
    ports::{ApiKeyCatalog, EventLog, ReadableObjects, ShareCatalog, ShareInsert},
    share::NewShare,
};
use dm_storage::SqliteCatalog;
use dm_testing::catalog::samples::{
    address, api_key, data_hash, entries, event, node, readable, share, unrecorded,
};

/// Where a child process finds the catalog.
const DATABASE: &str = "DM_TEST_CATALOG";

/// Starts this test program again to run only the ignored test of the path `test`.
fn child(test: &str, database: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--ignored", "--nocapture", "--test-threads=1"])
        .env(DATABASE, database)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

async fn catalog_of_child() -> SqliteCatalog {
    SqliteCatalog::open(std::env::var(DATABASE).unwrap())
        .await
        .unwrap()
}

/// Eight writers that say on standard output what was acknowledged, for ever.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "runs as a child of the test that kills it"]
async fn child_that_writes_until_it_is_killed() {
    let catalog = catalog_of_child().await;
    let first = catalog.event_count().await.unwrap();
    let writers = (0..8).map(|writer| {
        let catalog = catalog.clone();
        tokio::spawn(async move {
            for n in (first * 1_000_000 + writer * 10_000).. {
                let share = NewShare {
                    object: Some(readable(n, address(9))),
                    ..NewShare::from(share(n, 1))
                };
                assert_eq!(catalog.commit_share(&share).await.unwrap(), ShareInsert::Inserted);
                acknowledge(&format!("share {n}"));
            }
        })
    });
    let writers: Vec<_> = writers.collect();
    for index in first.. {
        let entry = entries(index, [event(EventKind::DataShare, index, 2)]);
        catalog.append(&entry, &[node(2 * index)]).await.unwrap();
        acknowledge(&format!("event {index}"));
    }
    drop(writers);
}

fn acknowledge(what: &str) {
    let mut output = std::io::stdout().lock();
    writeln!(output, "\n{what}").unwrap();
    output.flush().unwrap();
}

#[tokio::test]
async fn what_was_acknowledged_survives_kill_9() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("catalog.db");
    let mut shares: HashSet<u64> = HashSet::new();
    let mut events = 0;
    for round in 1..=6 {
        let mut child = child("catalog_processes::child_that_writes_until_it_is_killed", &path);
        let mut output = BufReader::new(child.stdout.take().unwrap()).lines();
        // Another moment in each round, counted in acknowledgements.
        let mut acknowledged = 0;
        while let Some(Ok(line)) = output.next() {
            if let Some(n) = line.strip_prefix("share ") {
                shares.insert(n.parse().unwrap());
                acknowledged += 1;
            } else if let Some(index) = line.strip_prefix("event ") {
                events = events.max(index.parse::<u64>().unwrap() + 1);
                acknowledged += 1;
            }
            if acknowledged == round * 37 {
                child.kill().unwrap();
            }
        }
        child.wait().unwrap();

        let catalog = SqliteCatalog::open(&path).await.unwrap();
        assert!(acknowledged >= round * 37);
        assert!(catalog.event_count().await.unwrap() >= events);
        for index in 0..events {
            assert!(
                catalog.event(index).await.unwrap().is_some(),
                "event {index} is lost"
            );
            catalog.tree_nodes(&[2 * index]).await.unwrap();
        }
        for n in &shares {
            assert!(
                catalog.share(&data_hash(*n), address(1)).await.unwrap().is_some(),
                "share {n} is lost"
            );
            assert!(
                catalog.readable(&data_hash(*n)).await.unwrap().is_some(),
                "entry {n} is lost"
            );
        }
        catalog.close().await.unwrap();
    }
}

#[tokio::test]
#[ignore = "runs as a child of the test that waits for it"]
async fn child_that_makes_api_keys() {
    let catalog = catalog_of_child().await;
    for n in 0..50 {
        catalog
            .insert_api_key(&api_key(&format!("child-{n}"), n))
            .await
            .unwrap();
    }
    catalog.revoke_api_key("parent", 5).await.unwrap();
    catalog.close().await.unwrap();
}

#[tokio::test]
async fn another_process_can_make_api_keys_beside_a_busy_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("catalog.db");
    let catalog = SqliteCatalog::open(&path).await.unwrap();
    catalog.insert_api_key(&api_key("parent", 0)).await.unwrap();
    let generation = catalog.api_key_generation().await.unwrap();

    let mut child = child("catalog_processes::child_that_makes_api_keys", &path);
    let mut shared = 0;
    let status = loop {
        catalog
            .commit_share(&NewShare::from(share(shared, 1)))
            .await
            .unwrap();
        shared += 1;
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
    };
    assert!(status.success());
    assert_ne!(catalog.api_key_generation().await.unwrap(), generation);
    assert_eq!(catalog.api_keys().await.unwrap().len(), 51);
    assert!(
        catalog
            .api_key("parent")
            .await
            .unwrap()
            .unwrap()
            .revoked_at
            .is_some()
    );

    // Shares alone do not make anybody read the keys again.
    let generation = catalog.api_key_generation().await.unwrap();
    catalog
        .commit_share(&NewShare::from(share(shared, 1)))
        .await
        .unwrap();
    assert_eq!(catalog.api_key_generation().await.unwrap(), generation);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_catalog_can_be_opened_many_times_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("catalog.db");
    let opening = (0..8).map(|_| tokio::spawn(SqliteCatalog::open(path.clone())));
    for (n, opened) in (0..).zip(futures::future::join_all(opening).await) {
        let catalog = opened.unwrap().unwrap();
        catalog.commit_share(&NewShare::from(share(n, 1))).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_at_the_same_time_lose_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let catalog = SqliteCatalog::open(folder.path().join("catalog.db"))
        .await
        .unwrap();
    let writers = (0..16).map(|writer| {
        let catalog = catalog.clone();
        tokio::spawn(async move {
            for n in (writer * 1000)..(writer * 1000 + 25) {
                let share = NewShare {
                    object: Some(readable(n, address(9))),
                    ..NewShare::from(share(n, 1))
                };
                assert_eq!(catalog.commit_share(&share).await.unwrap(), ShareInsert::Inserted);
                let data_hash = share.record.data_hash;
                assert_eq!(catalog.readable(&data_hash).await.unwrap(), share.object);
            }
        })
    });
    for writer in futures::future::join_all(writers).await {
        writer.unwrap();
    }
    assert_eq!(unrecorded(&catalog, 1000).await.len(), 400);
}
