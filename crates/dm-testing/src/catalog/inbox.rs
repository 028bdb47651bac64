//! What [`InboxCatalog`](dm_core::ports::InboxCatalog) promises.

#![allow(missing_docs, reason = "the name of a check is the promise")]

use std::collections::HashSet;

use dm_core::{
    envelope::ObjectId,
    inbox::{Arrival, InboxItem, InboxQuery, ItemState, Term},
    ports::ErasureCause,
};

use super::{
    InboxLedger,
    samples::{address, data_hash, inbox_item},
};

/// Makes a test of each promise of [`InboxCatalog`](dm_core::ports::InboxCatalog).
#[macro_export]
macro_rules! inbox_catalog_conformance {
    ($empty:path) => {
        $crate::conformance_tests! { $empty, inbox:
            an_item_is_listed_once_and_a_newer_envelope_brings_it_up_to_date,
            of_many_objects_those_are_known_that_are_listed,
            items_come_newest_first_in_pages,
            every_filter_finds_its_items_and_no_others,
            an_item_goes_forward_and_after_its_end_only_with_a_newer_envelope,
            what_is_over_has_expired_and_what_was_erased_shows_so,
            a_removed_item_stays_away,
            what_has_come_waits_until_it_is_settled,
            a_version_that_comes_while_an_older_one_is_looked_at_waits,
        }
    };
}

/// Data number `n` of owner number `owner`.
fn item(n: u64, owner: u8) -> InboxItem {
    InboxItem {
        size: 100 + n,
        descriptor: vec![n as u8; 40].into(),
        received_at: 10_000 + n,
        ..inbox_item(data_hash(n), address(owner))
    }
}

const fn term(n: u8) -> Term {
    Term([n; 16])
}

/// The sizes less 100, which are the numbers of the data.
async fn found(catalog: &impl InboxLedger, query: InboxQuery) -> Vec<u64> {
    let items = catalog.inbox_items(&query).await.unwrap();
    assert!(items.is_sorted_by(|(one, _), (next, _)| one > next));
    items.into_iter().map(|(_, item)| item.size - 100).collect()
}

fn all() -> InboxQuery {
    InboxQuery {
        limit: 100,
        ..InboxQuery::default()
    }
}

async fn state_of(catalog: &impl InboxLedger, id: &ObjectId) -> ItemState {
    catalog.inbox_item(id).await.unwrap().unwrap().state
}

pub async fn an_item_is_listed_once_and_a_newer_envelope_brings_it_up_to_date(catalog: &impl InboxLedger) {
    let first = item(1, 1);
    assert!(catalog.list_item(&first, &[term(1)]).await.unwrap());
    assert!(!catalog.list_item(&first, &[term(1)]).await.unwrap());
    let id = first.id();
    assert_eq!(catalog.inbox_item(&id).await.unwrap(), Some(first.clone()));
    let newer = InboxItem {
        sequence: 1001,
        descriptor: vec![7; 50].into(),
        expires_at: Some(u64::MAX >> 1),
        received_at: 99_999,
        ..first.clone()
    };
    catalog.list_item(&newer, &[term(2), term(2)]).await.unwrap();
    let older = InboxItem {
        anchored: true,
        ..first.clone()
    };
    catalog.list_item(&older, &[term(3)]).await.unwrap();
    let expected = InboxItem {
        received_at: first.received_at,
        anchored: true,
        ..newer
    };
    assert_eq!(catalog.items_of(&data_hash(1)).await.unwrap(), [expected]);
    for (n, expected) in [(1, &[][..]), (2, &[1]), (3, &[])] {
        let query = InboxQuery {
            terms: vec![term(n)],
            ..all()
        };
        assert_eq!(found(catalog, query).await, expected, "term {n}");
    }
}

pub async fn of_many_objects_those_are_known_that_are_listed(catalog: &impl InboxLedger) {
    assert!(catalog.listed_among(&[]).await.unwrap().is_empty());
    // More than one statement asks for, of two owners each.
    let all: Vec<ObjectId> = (0..150)
        .flat_map(|n| [1, 2].map(|owner| item(n, owner).id()))
        .collect();
    assert!(catalog.listed_among(&all).await.unwrap().is_empty());
    for (n, owner) in [(3, 1), (70, 2), (140, 1), (149, 2)] {
        catalog.list_item(&item(n, owner), &[]).await.unwrap();
    }
    catalog.remove_items(&data_hash(140)).await.unwrap();
    let expected = [(3, 1), (70, 2), (149, 2)].map(|(n, owner)| item(n, owner).id());
    assert_eq!(catalog.listed_among(&all).await.unwrap(), HashSet::from(expected));
    assert!(catalog.listed_among(&all[..4]).await.unwrap().is_empty());
}

pub async fn items_come_newest_first_in_pages(catalog: &impl InboxLedger) {
    for n in 1..=5 {
        catalog.list_item(&item(n, 1), &[]).await.unwrap();
    }
    catalog.list_item(&item(5, 2), &[]).await.unwrap();
    let mut before = None;
    let mut pages = Vec::new();
    loop {
        let query = InboxQuery {
            before,
            limit: 4,
            ..all()
        };
        let page = catalog.inbox_items(&query).await.unwrap();
        let Some((last, _)) = page.last() else { break };
        before = Some(*last);
        pages.push(page.len());
    }
    assert_eq!(pages, [4, 2]);
    assert_eq!(found(catalog, all()).await, [5, 5, 4, 3, 2, 1]);
    let of_data = catalog.items_of(&data_hash(5)).await.unwrap();
    let owners: Vec<_> = of_data.iter().map(|item| item.owner).collect();
    assert_eq!(owners, [address(2), address(1)]);
}

pub async fn every_filter_finds_its_items_and_no_others(catalog: &impl InboxLedger) {
    for n in 1..=6 {
        let mut terms = vec![term(1)];
        if n % 2 == 0 {
            terms.push(term(2));
        }
        if n % 3 == 0 {
            terms.push(term(3));
        }
        catalog.list_item(&item(n, 1), &terms).await.unwrap();
    }
    // Listed with an earlier time by a clock that went back.
    let late = InboxItem {
        received_at: 3,
        ..item(7, 1)
    };
    catalog.list_item(&late, &[]).await.unwrap();
    for n in [2, 3, 4] {
        catalog
            .advance_item(&item(n, 1).id(), ItemState::Fetched, 7)
            .await
            .unwrap();
    }
    catalog
        .advance_item(&item(4, 1).id(), ItemState::Acknowledged, 8)
        .await
        .unwrap();
    let terms = |terms: &[u8]| terms.iter().map(|n| term(*n)).collect::<Vec<_>>();
    let states = |states: &[ItemState]| states.iter().copied().collect();
    let fetched = [ItemState::Fetched];
    let read = [ItemState::Fetched, ItemState::Acknowledged];
    for (asked_terms, asked_states, since, expected) in [
        (&[][..], &[][..], None, &[7, 6, 5, 4, 3, 2, 1][..]),
        (&[1], &[], None, &[6, 5, 4, 3, 2, 1]),
        (&[2], &[], None, &[6, 4, 2]),
        (&[2, 3, 1], &[], None, &[6]),
        (&[2], &fetched, None, &[2]),
        (&[], &read, None, &[4, 3, 2]),
        (&[1, 2], &read, None, &[4, 2]),
        (&[], &[ItemState::Revoked], None, &[]),
        (&[], &[], Some(10_004), &[7, 6, 5, 4]),
        (
            &[2],
            &[ItemState::New, ItemState::Acknowledged],
            Some(10_003),
            &[6, 4],
        ),
        (&[], &[], Some(10_007), &[]),
        (&[9], &[], None, &[]),
    ] {
        let query = InboxQuery {
            terms: terms(asked_terms),
            states: states(asked_states),
            since,
            ..all()
        };
        assert_eq!(found(catalog, query.clone()).await, expected, "{query:?}");
    }
}

pub async fn an_item_goes_forward_and_after_its_end_only_with_a_newer_envelope(catalog: &impl InboxLedger) {
    let first = item(1, 1);
    let id = first.id();
    assert!(!catalog.advance_item(&id, ItemState::Fetched, 7).await.unwrap());
    catalog.list_item(&first, &[term(1)]).await.unwrap();
    for (now, (state, moves)) in (7..).zip([
        (ItemState::New, false),
        (ItemState::Fetched, true),
        (ItemState::Fetched, false),
        (ItemState::Acknowledged, true),
        (ItemState::Fetched, false),
        (ItemState::Revoked, true),
        (ItemState::Erased, false),
        (ItemState::Fetched, false),
    ]) {
        assert_eq!(
            catalog.advance_item(&id, state, now).await.unwrap(),
            moves,
            "{state:?}"
        );
    }
    let fetched_at = catalog.inbox_item(&id).await.unwrap().unwrap().fetched_at;
    assert_eq!(fetched_at, Some(8), "when it was first fetched");
    let again = InboxItem {
        sequence: 1001,
        ..first.clone()
    };
    let older = InboxItem {
        sequence: 999,
        ..first.clone()
    };
    catalog.list_item(&older, &[]).await.unwrap();
    assert_eq!(state_of(catalog, &id).await, ItemState::Revoked);
    catalog.list_item(&again, &[term(1)]).await.unwrap();
    assert_eq!(state_of(catalog, &id).await, ItemState::New);
    let query = InboxQuery {
        terms: vec![term(1)],
        states: [ItemState::New].into(),
        ..all()
    };
    assert_eq!(found(catalog, query).await, [1]);
}

pub async fn what_is_over_has_expired_and_what_was_erased_shows_so(catalog: &impl InboxLedger) {
    for (n, expires_at) in [(1, None), (2, Some(500)), (3, Some(501)), (4, None), (5, None)] {
        let item = InboxItem {
            expires_at,
            ..item(n, 1)
        };
        catalog.list_item(&item, &[]).await.unwrap();
    }
    for (n, cause) in [(4, ErasureCause::Ordered), (5, ErasureCause::Expired)] {
        catalog.begin_erasure(&data_hash(n), cause).await.unwrap();
    }
    catalog.expire_items(500).await.unwrap();
    catalog.expire_items(500).await.unwrap();
    for (n, state) in [
        (1, ItemState::New),
        (2, ItemState::Expired),
        (3, ItemState::New),
        (4, ItemState::Erased),
        (5, ItemState::Expired),
    ] {
        assert_eq!(state_of(catalog, &item(n, 1).id()).await, state, "{n}");
    }
}

pub async fn a_removed_item_stays_away(catalog: &impl InboxLedger) {
    for (n, owner) in [(1, 1), (1, 2), (2, 1)] {
        catalog.list_item(&item(n, owner), &[term(1)]).await.unwrap();
    }
    assert!(catalog.remove_items(&data_hash(1)).await.unwrap());
    assert!(!catalog.remove_items(&data_hash(1)).await.unwrap());
    let newer = InboxItem {
        sequence: 2000,
        ..item(1, 1)
    };
    assert!(!catalog.list_item(&newer, &[term(1)]).await.unwrap());
    assert!(
        !catalog
            .advance_item(&newer.id(), ItemState::Fetched, 7)
            .await
            .unwrap()
    );
    assert_eq!(catalog.inbox_item(&newer.id()).await.unwrap(), None);
    assert_eq!(catalog.items_of(&data_hash(1)).await.unwrap(), []);
    let by_term = InboxQuery {
        terms: vec![term(1)],
        ..all()
    };
    assert_eq!(found(catalog, by_term).await, [2]);
    assert_eq!(found(catalog, all()).await, [2]);
}

pub async fn what_has_come_waits_until_it_is_settled(catalog: &impl InboxLedger) {
    let mut come: Vec<Arrival> = (1..=3).map(|n| arrival(n, n)).collect();
    come.sort_unstable();
    catalog.note_arrivals(&come[..2]).await.unwrap();
    catalog.note_arrivals(&come[1..]).await.unwrap();
    assert_eq!(catalog.arrivals(None, 9).await.unwrap(), come);
    assert_eq!(catalog.arrivals(None, 1).await.unwrap(), come[..1]);
    let rest = catalog.arrivals(Some(come[0].object), 9).await.unwrap();
    assert_eq!(rest, come[1..]);
    for _ in 0..2 {
        catalog.settle_arrival(&come[1]).await.unwrap();
    }
    assert_eq!(catalog.arrivals(None, 9).await.unwrap(), [come[0], come[2]]);
}

pub async fn a_version_that_comes_while_an_older_one_is_looked_at_waits(catalog: &impl InboxLedger) {
    let (old, new) = (arrival(1, 4), arrival(1, 5));
    for arrival in [new, old] {
        catalog.note_arrivals(&[arrival]).await.unwrap();
    }
    catalog.settle_arrival(&old).await.unwrap();
    assert_eq!(catalog.arrivals(None, 9).await.unwrap(), [new]);
    catalog.settle_arrival(&new).await.unwrap();
    assert_eq!(catalog.arrivals(None, 9).await.unwrap(), []);
}

fn arrival(n: u64, sequence: u64) -> Arrival {
    Arrival {
        object: item(n, 1).id(),
        sequence,
    }
}
