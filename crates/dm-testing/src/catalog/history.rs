//! What [`EventLog::events`] promises.

#![allow(missing_docs, reason = "the name of a check is the promise")]

use std::collections::BTreeSet;

use dm_core::{
    event::{Event, EventKind},
    ports::{EventFilter, EventLog},
};

use super::samples::{address, data_hash, entries, event};

async fn positions(
    catalog: &impl EventLog,
    filter: &EventFilter,
    before: Option<u64>,
    limit: usize,
) -> (Vec<u64>, Option<u64>) {
    let page = catalog.events(filter, before, limit).await.unwrap();
    (page.entries.iter().map(|entry| entry.index).collect(), page.next)
}

async fn five_shares(catalog: &impl EventLog) {
    let events = (0..5).map(|n| event(EventKind::DataShare, n, 1));
    catalog.append(&entries(0, events), &[]).await.unwrap();
}

pub async fn pages_go_from_the_newest_to_the_oldest(catalog: &impl EventLog) {
    let all = EventFilter::default();
    assert_eq!(positions(catalog, &all, None, 2).await, (vec![], None));
    five_shares(catalog).await;
    assert_eq!(positions(catalog, &all, None, 2).await, (vec![4, 3], Some(3)));
    assert_eq!(positions(catalog, &all, Some(3), 2).await, (vec![2, 1], Some(1)));
    assert_eq!(positions(catalog, &all, Some(1), 2).await, (vec![0], None));
    assert_eq!(positions(catalog, &all, Some(0), 2).await, (vec![], None));
    assert_eq!(
        positions(catalog, &all, Some(u64::MAX), 1).await,
        (vec![4], Some(4))
    );
}

pub async fn a_page_that_ends_with_the_log_has_no_next(catalog: &impl EventLog) {
    five_shares(catalog).await;
    assert_eq!(positions(catalog, &EventFilter::default(), None, 5).await.1, None);
    assert_eq!(
        positions(catalog, &EventFilter::default(), None, 4).await.1,
        Some(1)
    );
}

pub async fn a_filter_keeps_what_matches_all_its_parts(catalog: &impl EventLog) {
    let bare = Event {
        data_hash: None,
        recipient: None,
        ..event(EventKind::KeyRotation, 0, 0)
    };
    let events = [
        event(EventKind::DataShare, 1, 1),
        event(EventKind::DataShare, 1, 2),
        event(EventKind::DataAccess, 1, 1),
        event(EventKind::DataShare, 2, 1),
        bare,
    ];
    catalog.append(&entries(0, events), &[]).await.unwrap();
    let data_hash = Some(data_hash(1));
    let recipient = Some(address(1));
    let shares = [EventKind::DataShare];
    for (kinds, data_hash, recipient, expected) in [
        (&shares[..], None, None, vec![3, 1, 0]),
        (&[], data_hash, None, vec![2, 1, 0]),
        (&[], None, recipient, vec![3, 2, 0]),
        (&[], data_hash, recipient, vec![2, 0]),
        (&shares, data_hash, None, vec![1, 0]),
        (&shares, None, recipient, vec![3, 0]),
        (&shares, data_hash, recipient, vec![0]),
        (
            &[EventKind::DataAccess, EventKind::KeyRotation],
            None,
            None,
            vec![4, 2],
        ),
        (&EventKind::ALL, None, None, vec![4, 3, 2, 1, 0]),
        (&EventKind::ALL, data_hash, recipient, vec![2, 0]),
        (&[EventKind::Revoke], None, None, vec![]),
    ] {
        let filter = EventFilter {
            kinds: kinds.iter().copied().collect(),
            data_hash,
            recipient,
        };
        assert_eq!(
            positions(catalog, &filter, None, 9).await,
            (expected, None),
            "{filter:?}"
        );
    }
}

pub async fn a_filtered_history_is_paged_too(catalog: &impl EventLog) {
    let kind = |n| {
        if n % 3 == 0 {
            EventKind::Grant
        } else {
            EventKind::DataShare
        }
    };
    let events = (0..10).map(|n| event(kind(n), 1, 1));
    catalog.append(&entries(0, events), &[]).await.unwrap();
    let kinds: BTreeSet<EventKind> = [EventKind::Grant, EventKind::Revoke].into();
    for data_hash in [None, Some(data_hash(1))] {
        let grants = EventFilter {
            kinds: kinds.clone(),
            data_hash,
            recipient: None,
        };
        assert_eq!(positions(catalog, &grants, None, 2).await, (vec![9, 6], Some(6)));
        assert_eq!(positions(catalog, &grants, Some(6), 2).await, (vec![3, 0], None));
    }
}
