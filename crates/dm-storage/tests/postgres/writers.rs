//! Several instances write to one database.

use std::time::Duration;

use dm_core::{
    event::EventKind,
    journal::Topics,
    news::News,
    ports::{CatalogError, EventFilter, EventJournal, EventLog},
};
use dm_storage::SqliteCatalog;
use dm_testing::catalog::samples::{data_hash, entries, event, node};
use futures::future::join_all;

use super::server::Database;

const INSTANCES: u64 = 3;
const EVENTS_OF_EACH: u64 = 40;

async fn instances(database: &Database) -> Vec<SqliteCatalog> {
    let opened = join_all((0..INSTANCES).map(|_| SqliteCatalog::open_postgres(database.options()))).await;
    opened.into_iter().map(Result::unwrap).collect()
}

/// Appends one event where the log ends, however often another instance is first.
async fn append_at_the_end(catalog: &SqliteCatalog, n: u64) {
    loop {
        let end = catalog.event_count().await.unwrap();
        let entries = entries(end, [event(EventKind::DataShare, n, 1)]);
        match catalog.append(&entries, &[node(end)]).await {
            Ok(()) => return,
            Err(CatalogError::Conflict(_)) => {}
            Err(error) => panic!("{error}"),
        }
    }
}

#[tokio::test]
async fn the_log_has_every_event_once_and_no_gap_whoever_writes() {
    let database = Database::new().await;
    let catalogs = instances(&database).await;
    join_all((0..).zip(&catalogs).map(|(instance, catalog)| async move {
        for n in 0..EVENTS_OF_EACH {
            append_at_the_end(catalog, instance * EVENTS_OF_EACH + n).await;
        }
    }))
    .await;
    let page = catalogs[0]
        .events(&EventFilter::default(), None, 1_000)
        .await
        .unwrap();
    let total = INSTANCES * EVENTS_OF_EACH;
    let positions: Vec<u64> = page.entries.iter().rev().map(|entry| entry.index).collect();
    assert_eq!(positions, (0..total).collect::<Vec<_>>());
    let mut hashes: Vec<_> = page.entries.iter().map(|entry| entry.event.data_hash).collect();
    hashes.sort_unstable();
    hashes.dedup();
    assert_eq!(hashes.len() as u64, total);
}

#[tokio::test]
async fn a_reader_of_the_journal_misses_nothing_while_others_write() {
    let database = Database::new().await;
    let catalogs = instances(&database).await;
    let reader = SqliteCatalog::open_postgres(database.options()).await.unwrap();
    let writing = join_all((0..).zip(&catalogs).map(|(instance, catalog)| async move {
        for n in 0..EVENTS_OF_EACH {
            let data_hash = data_hash(instance * EVENTS_OF_EACH + n);
            catalog
                .append_news(vec![News::DataErased { data_hash }])
                .await
                .unwrap();
        }
    }));
    let reading = async {
        let (mut seen, mut after) = (Vec::new(), 0);
        while (seen.len() as u64) < INSTANCES * EVENTS_OF_EACH {
            let page = reader.journal_page(&Topics::all(), after, 7).await.unwrap();
            after = page.read_to;
            seen.extend(
                page.events
                    .into_iter()
                    .map(|event| (event.position, event.subject)),
            );
        }
        seen
    };
    let (_, seen) = tokio::time::timeout(Duration::from_secs(120), async {
        futures::join!(writing, reading)
    })
    .await
    .unwrap();
    let positions: Vec<u64> = seen.iter().map(|(position, _)| *position).collect();
    assert_eq!(positions, (1..=seen.len() as u64).collect::<Vec<_>>());
    let mut subjects: Vec<_> = seen.into_iter().map(|(_, subject)| subject).collect();
    subjects.sort_unstable();
    subjects.dedup();
    assert_eq!(subjects.len() as u64, INSTANCES * EVENTS_OF_EACH);
}

#[tokio::test]
async fn an_instance_learns_that_another_has_written_into_the_journal() {
    let database = Database::new().await;
    let catalogs = instances(&database).await;
    let mut growth = catalogs[1].journal_growth();
    let data_hash = data_hash(1);
    catalogs[0]
        .append_news(vec![News::DataErased { data_hash }])
        .await
        .unwrap();
    tokio::time::timeout(Duration::from_secs(60), growth.wait_for(|end| *end == 1))
        .await
        .unwrap()
        .unwrap();
}
