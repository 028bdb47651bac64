//! What [`SentCatalog`](dm_core::ports::SentCatalog) promises.

#![allow(missing_docs, reason = "the name of a check is the promise")]

use dm_core::{
    Address,
    event::{EventKind, NewEvent},
    inbox::Term,
    ports::{ErasureCause, LogEntry, Signer},
    sent::{SentQuery, SentShare, SentState, ShareListing},
    share::{NewShare, ShareRecord},
};

use super::{
    SentLedger,
    deliveries::delivery,
    order_samples::payment,
    samples::{address, data_hash, entries, event, object_id, readable, share, whole_share},
};
use crate::signer::TestSigner;

/// Makes a test of each promise of [`SentCatalog`](dm_core::ports::SentCatalog).
#[macro_export]
macro_rules! sent_catalog_conformance {
    ($empty:path) => {
        $crate::conformance_tests! { $empty, sent:
            a_share_is_listed_with_all_that_is_known_of_it,
            a_share_that_exists_or_was_taken_back_is_not_listed_again,
            shares_come_newest_first_in_pages,
            every_filter_finds_its_shares_and_no_others,
            a_grant_that_is_made_later_has_its_time,
            a_recipient_is_notified_once_and_acknowledges_once,
            an_end_keeps_what_was_known_and_the_next_share_begins_anew,
            the_newest_share_with_a_recipient_is_found,
            what_is_said_anew_is_found_anew,
            many_shares_at_once_keep_their_terms,
        }
    };
}

const fn term(n: u8) -> Term {
    let mut term = [0xA0; 16];
    term[0] = n;
    Term(term)
}

fn listed(share: NewShare, terms: &[u8]) -> NewShare {
    let listing = ShareListing {
        descriptor: vec![7; 40].into(),
        terms: terms.iter().map(|n| term(*n)).collect(),
    };
    NewShare {
        listing: Some(listing),
        ..share
    }
}

async fn commit(catalog: &impl SentLedger, n: u64, recipient: u8, terms: &[u8]) {
    let new = listed(share(n, recipient).into(), terms);
    catalog.commit_share(&new).await.unwrap();
}

fn all() -> SentQuery {
    SentQuery {
        limit: 100,
        ..SentQuery::default()
    }
}

async fn found(catalog: &impl SentLedger, query: &SentQuery) -> Vec<SentShare> {
    let page = catalog.sent_shares(query).await.unwrap();
    assert!(page.is_sorted_by(|(one, _), (next, _)| one > next));
    page.into_iter().map(|(_, share)| share).collect()
}

/// The numbers of data and recipients that a page shows.
async fn names(catalog: &impl SentLedger, query: &SentQuery) -> Vec<(u64, u8)> {
    let shares = found(catalog, query).await;
    let name = |share: &SentShare| {
        let n = (0..200).find(|n| data_hash(*n) == share.data_hash).unwrap();
        let recipient = (0..=255).find(|n| address(*n) == share.recipient).unwrap();
        (n, recipient)
    };
    shares.iter().map(name).collect()
}

async fn only(catalog: &impl SentLedger, n: u64) -> SentShare {
    let mut shares = catalog.sent_shares_of(&data_hash(n), 9).await.unwrap();
    assert_eq!(shares.len(), 1, "{shares:?}");
    shares.remove(0)
}

pub async fn a_share_is_listed_with_all_that_is_known_of_it(catalog: &impl SentLedger) {
    let whole = listed(whole_share(1, 2), &[1]);
    catalog.insert_order(&payment(1, 1, 2)).await.unwrap();
    catalog.commit_share(&whole).await.unwrap();
    let fresh = SentShare {
        data_hash: data_hash(1),
        recipient: address(2),
        descriptor: Some(vec![7; 40].into()),
        state: SentState::Shared,
        created_at: whole.record.created_at,
        size: Some(readable(1, address(1)).size),
        replicas: 0,
        grant_pending: true,
        granted_at: None,
        leaf_index: None,
        recorded_at: None,
        notified_at: None,
        fetched_at: None,
        acknowledged_at: None,
        delivery_index: None,
        ended_at: None,
        expires_at: whole.record.expires_at,
        has_payment: true,
    };
    assert_eq!(found(catalog, &all()).await, std::slice::from_ref(&fresh));
    let id = object_id(1, address(1));
    catalog.set_replicas(&id, 1, 3).await.unwrap();
    let recorded = event(EventKind::DataShare, 1, 2);
    catalog
        .append(&entries(0, [recorded.clone()]), &[])
        .await
        .unwrap();
    let expected = SentShare {
        replicas: 3,
        leaf_index: Some(0),
        recorded_at: Some(recorded.timestamp),
        ..fresh
    };
    assert_eq!(only(catalog, 1).await, expected);
    assert_eq!(found(catalog, &all()).await, [expected]);
    // A further share of which nothing else is known.
    catalog.commit_share(&share(2, 3).into()).await.unwrap();
    let bare = only(catalog, 2).await;
    assert_eq!(
        (bare.descriptor, bare.size, bare.has_payment),
        (None, None, false)
    );
    assert_eq!(bare.granted_at, Some(bare.created_at));
}

pub async fn a_share_that_exists_or_was_taken_back_is_not_listed_again(catalog: &impl SentLedger) {
    commit(catalog, 1, 1, &[1]).await;
    commit(catalog, 1, 1, &[2]).await;
    assert_eq!(names(catalog, &all()).await, [(1, 1)]);
    assert!(catalog.forget_share(&data_hash(1), address(1)).await.unwrap());
    assert_eq!(names(catalog, &all()).await, []);
    commit(catalog, 1, 1, &[3]).await;
    for (n, expected) in [(1, &[][..]), (2, &[]), (3, &[(1, 1)])] {
        let query = SentQuery {
            terms: vec![term(n)],
            ..all()
        };
        assert_eq!(names(catalog, &query).await, expected, "term {n}");
    }
}

pub async fn the_newest_share_with_a_recipient_is_found(catalog: &impl SentLedger) {
    for recipient in [2, 3] {
        commit(catalog, 1, recipient, &[]).await;
    }
    commit(catalog, 2, 2, &[]).await;
    let state = async |n, recipient| {
        let newest = catalog.sent_share(&data_hash(n), address(recipient)).await;
        newest.unwrap().map(|share| {
            assert_eq!(
                (share.data_hash, share.recipient),
                (data_hash(n), address(recipient))
            );
            share.state
        })
    };
    catalog.begin_revocation(&data_hash(1), address(2)).await.unwrap();
    assert_eq!(state(1, 2).await, Some(SentState::Revoked));
    commit(catalog, 1, 2, &[]).await;
    assert_eq!(state(1, 2).await, Some(SentState::Shared));
    assert_eq!(state(2, 3).await, None);
}

pub async fn shares_come_newest_first_in_pages(catalog: &impl SentLedger) {
    for n in 1..=5 {
        commit(catalog, n, 1, &[]).await;
    }
    commit(catalog, 5, 2, &[]).await;
    let mut query = SentQuery { limit: 4, ..all() };
    let first = catalog.sent_shares(&query).await.unwrap();
    query.before = first.last().map(|(number, _)| *number);
    assert_eq!(names(catalog, &query).await, [(2, 1), (1, 1)]);
    assert_eq!(
        names(catalog, &all()).await,
        [(5, 2), (5, 1), (4, 1), (3, 1), (2, 1), (1, 1)]
    );
    let of_data = catalog.sent_shares_of(&data_hash(5), 9).await.unwrap();
    let recipients: Vec<_> = of_data.iter().map(|share| share.recipient).collect();
    assert_eq!(recipients, [address(2), address(1)]);
    assert_eq!(catalog.sent_shares_of(&data_hash(5), 1).await.unwrap().len(), 1);
}

pub async fn every_filter_finds_its_shares_and_no_others(catalog: &impl SentLedger) {
    for n in 1..=6 {
        let mut terms = vec![1];
        terms.extend((n % 2 == 0).then_some(2));
        terms.extend((n % 3 == 0).then_some(3));
        commit(catalog, n, (n % 2) as u8, &terms).await;
    }
    let told = [2, 3].map(|n| (data_hash(n).locator(), address((n % 2) as u8)));
    catalog.note_notified(&told, 77).await.unwrap();
    catalog
        .begin_erasure(&data_hash(4), ErasureCause::Ordered)
        .await
        .unwrap();
    use SentState::{Erased, Notified, Shared};
    for (recipient, terms, states, expected) in [
        (None, &[][..], &[][..], &[6, 5, 4, 3, 2, 1][..]),
        (Some(0), &[], &[], &[6, 4, 2]),
        (Some(1), &[], &[], &[5, 3, 1]),
        (Some(9), &[], &[], &[]),
        (None, &[2], &[], &[6, 4, 2]),
        (None, &[3, 2, 1], &[], &[6]),
        (Some(1), &[2], &[], &[]),
        (Some(1), &[3], &[], &[3]),
        (None, &[], &[Notified], &[3, 2]),
        (None, &[], &[Shared, Erased], &[6, 5, 4, 1]),
        (Some(0), &[1], &[Notified], &[2]),
        (Some(0), &[2], &[Shared, Erased], &[6, 4]),
        (None, &[9], &[], &[]),
    ] {
        let query = SentQuery {
            recipient: recipient.map(address),
            terms: terms.iter().map(|n| term(*n)).collect(),
            states: states.iter().copied().collect(),
            ..all()
        };
        let shown: Vec<u64> = names(catalog, &query).await.into_iter().map(|(n, _)| n).collect();
        assert_eq!(shown, expected, "{query:?}");
    }
}

pub async fn a_grant_that_is_made_later_has_its_time(catalog: &impl SentLedger) {
    let owed = NewShare {
        grant_owed: true,
        ..listed(share(1, 2).into(), &[])
    };
    catalog.commit_share(&owed).await.unwrap();
    let before = only(catalog, 1).await;
    assert_eq!((before.grant_pending, before.granted_at), (true, None));
    catalog
        .set_grant_owed(&data_hash(1), address(2), false)
        .await
        .unwrap();
    let made = only(catalog, 1).await;
    assert!(!made.grant_pending);
    assert!(made.granted_at > Some(before.created_at));
    catalog
        .set_grant_owed(&data_hash(1), address(2), false)
        .await
        .unwrap();
    assert_eq!(only(catalog, 1).await, made);
    catalog
        .set_grant_owed(&data_hash(1), address(2), true)
        .await
        .unwrap();
    assert_eq!(only(catalog, 1).await, before);
}

pub async fn a_recipient_is_notified_once_and_acknowledges_once(catalog: &impl SentLedger) {
    let recipient = TestSigner::new(2).address();
    let shared = delivery(1, 1, 2);
    let record = ShareRecord::new(data_hash(1), recipient, 5);
    catalog.commit_share(&record.into()).await.unwrap();
    commit(catalog, 1, 3, &[]).await;
    let told = [(data_hash(1).locator(), recipient)];
    catalog.note_notified(&told, 100).await.unwrap();
    catalog.note_notified(&told, 200).await.unwrap();
    let of_recipient = async || {
        let query = SentQuery {
            recipient: Some(recipient),
            ..all()
        };
        found(catalog, &query).await.remove(0)
    };
    let notified = of_recipient().await;
    assert_eq!(
        (notified.state, notified.notified_at),
        (SentState::Notified, Some(100))
    );
    catalog.keep_delivery(&shared).await.unwrap();
    for index in 0..2 {
        let event = NewEvent::delivery(data_hash(1), &shared.statement).into_event(address(1), 5);
        catalog
            .append(
                &[LogEntry {
                    index,
                    event,
                    trace: None,
                }],
                &[],
            )
            .await
            .unwrap();
    }
    let acknowledged = of_recipient().await;
    let statement = shared.statement.statement();
    assert_eq!(
        acknowledged,
        SentShare {
            state: SentState::Acknowledged,
            fetched_at: Some(statement.fetched_at),
            acknowledged_at: Some(statement.made_at),
            delivery_index: Some(0),
            ..notified
        }
    );
    catalog.note_notified(&told, 300).await.unwrap();
    assert_eq!(of_recipient().await, acknowledged);
    let mut states: Vec<(Address, SentState)> = Vec::new();
    for share in catalog.sent_shares_of(&data_hash(1), 9).await.unwrap() {
        states.push((share.recipient, share.state));
    }
    assert!(states.contains(&(address(3), SentState::Shared)), "{states:?}");
}

pub async fn an_end_keeps_what_was_known_and_the_next_share_begins_anew(catalog: &impl SentLedger) {
    for (n, recipient) in [(1, 2), (1, 3), (2, 2)] {
        commit(catalog, n, recipient, &[1]).await;
    }
    let recorded = event(EventKind::DataShare, 1, 2);
    catalog
        .append(&entries(0, [recorded.clone()]), &[])
        .await
        .unwrap();
    catalog.begin_revocation(&data_hash(1), address(2)).await.unwrap();
    catalog.begin_revocation(&data_hash(1), address(2)).await.unwrap();
    let revoked = SentQuery {
        states: [SentState::Revoked].into(),
        ..all()
    };
    let ended = found(catalog, &revoked).await.remove(0);
    assert_eq!(
        (ended.leaf_index, ended.recorded_at),
        (Some(0), Some(recorded.timestamp))
    );
    assert_eq!((ended.recipient, ended.descriptor.is_some()), (address(2), true));
    assert!(ended.ended_at > Some(ended.created_at));
    let end = entries(1, [event(EventKind::Revoke, 1, 2)]);
    catalog.append(&end, &[]).await.unwrap();
    // Shared again, it is another share; the one before stays as it was.
    commit(catalog, 1, 2, &[1]).await;
    assert_eq!(found(catalog, &revoked).await, [ended]);
    let shared = SentQuery {
        states: [SentState::Shared].into(),
        terms: vec![term(1)],
        ..all()
    };
    assert_eq!(names(catalog, &shared).await, [(1, 2), (2, 2), (1, 3)]);
    for (n, cause) in [(1, ErasureCause::Ordered), (2, ErasureCause::Expired)] {
        catalog.begin_erasure(&data_hash(n), cause).await.unwrap();
    }
    let states: Vec<SentState> = found(catalog, &all())
        .await
        .iter()
        .map(|share| share.state)
        .collect();
    use SentState::{Erased, Expired, Revoked};
    assert_eq!(states, [Erased, Expired, Erased, Revoked]);
}

pub async fn what_is_said_anew_is_found_anew(catalog: &impl SentLedger) {
    for (n, recipient) in [(1, 2), (1, 3), (2, 2)] {
        commit(catalog, n, recipient, &[1]).await;
    }
    catalog.begin_revocation(&data_hash(1), address(3)).await.unwrap();
    let anew = ShareListing {
        descriptor: vec![9; 20].into(),
        terms: vec![term(2)],
    };
    catalog.relist_shares(&data_hash(1), &anew).await.unwrap();
    for (n, expected) in [(1, &[(2, 2), (1, 3)][..]), (2, &[(1, 2)])] {
        let query = SentQuery {
            terms: vec![term(n)],
            ..all()
        };
        assert_eq!(names(catalog, &query).await, expected, "term {n}");
    }
    let with = SentQuery {
        recipient: Some(address(2)),
        ..all()
    };
    assert_eq!(names(catalog, &with).await, [(2, 2), (1, 2)]);
    assert_eq!(found(catalog, &with).await[1].descriptor, Some(anew.descriptor));
}

pub async fn many_shares_at_once_keep_their_terms(catalog: &impl SentLedger) {
    let commits = (0..100).map(|n| commit(catalog, n, 1, if n % 10 == 0 { &[1, 2] } else { &[1] }));
    futures::future::join_all(commits).await;
    let tenth = SentQuery {
        terms: vec![term(1), term(2)],
        ..all()
    };
    let mut numbers: Vec<u64> = names(catalog, &tenth).await.into_iter().map(|(n, _)| n).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, [0, 10, 20, 30, 40, 50, 60, 70, 80, 90]);
    assert_eq!(names(catalog, &all()).await.len(), 100);
}
