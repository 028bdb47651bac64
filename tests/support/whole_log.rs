//! The log of a node as its database has it, and as the chain does.

use std::collections::BTreeMap;

use dm_core::ports::{EventFilter, EventLog, LogEntry};
use dm_storage::SqliteCatalog;
use reqwest::StatusCode;

use super::{Node, auditor::verify_offline, eventually, postgres::Postgres};

const PAGE: usize = 1000;

/// Every event, oldest first.
async fn all_events(catalog: &SqliteCatalog) -> Vec<LogEntry> {
    let (mut all, mut before) = (Vec::new(), None);
    loop {
        let page = catalog
            .events(&EventFilter::default(), before, PAGE)
            .await
            .unwrap();
        all.extend(page.entries);
        match page.next {
            Some(next) => before = Some(next),
            None => break,
        }
    }
    all.reverse();
    all
}

/// The log has no gap and nothing twice, and the contract has accepted it to its end. Holds of a
/// log in which nobody has asked for the same thing twice.
pub(crate) async fn is_whole_and_accepted(node: &Node, postgres: &Postgres, chain: &str) {
    let catalog = postgres.catalog().await;
    let size = eventually("the log is anchored to its end", || async {
        let size = catalog.event_count().await.unwrap();
        let anchored = catalog.last_checkpoint().await.unwrap();
        anchored
            .is_some_and(|anchored| anchored.checkpoint.size == size)
            .then_some(size)
    })
    .await;
    let events = all_events(&catalog).await;
    catalog.close().await.unwrap();
    let mut seen = BTreeMap::new();
    for (position, entry) in (0..).zip(&events) {
        assert_eq!(entry.index, position, "the log has a gap");
        let event = &entry.event;
        let fact = (
            event.event_type.as_str(),
            event.data_hash,
            event.recipient,
            event.details.clone(),
        );
        if let Some(first) = seen.insert(fact, entry) {
            panic!("recorded twice: {first:?}, {entry:?}");
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let (status, receipt) = node.get(&format!("/receipts/events/{}", size - 1)).await;
    assert_eq!(status, StatusCode::OK, "{receipt}");
    let (is_accepted, printed) = verify_offline(&folder.path().join("receipt"), &receipt, chain).await;
    assert!(is_accepted, "{printed}");
}
