//! What a catalog promises about the one point at which a share comes into being, and
//! about shares that never did.

#![allow(missing_docs, reason = "the name of a check is the promise")]

use dm_core::{
    event::EventKind,
    ports::{ErasureCause, ShareInsert},
    share::{NewShare, ReadableObject, ShareRecord},
};

use super::{
    WholeShareLedger,
    order_samples::{payment, refund},
    samples::{
        address, data_hash, entries, event, keyed, object_id, owed, readable, share, unrecorded, whole_share,
    },
};

/// Makes a test of each promise about shares that are whole or not there.
#[macro_export]
macro_rules! whole_shares_conformance {
    ($empty:path) => {
        $crate::conformance_tests! { $empty, whole_shares:
            a_share_comes_with_its_object_its_end_and_its_owed_grant,
            many_shares_at_once_come_with_their_objects,
            a_share_under_a_used_key_changes_nothing,
            an_object_takes_the_place_of_the_lost_one_of_a_share_that_exists,
            a_share_whose_key_cannot_be_kept_is_not_kept,
            a_share_that_is_taken_back_frees_its_mandate_its_key_and_its_payment,
            a_recorded_share_is_not_taken_back,
            a_payment_that_was_delivered_once_is_not_undelivered_again,
            a_payment_that_is_given_back_stays_so_when_its_share_is_taken_back,
            unrecorded_shares_come_in_pages_and_data_by_data,
            the_chunks_of_an_object_are_known_by_the_present_key_and_the_prepared_one,
            the_objects_of_an_owner_come_in_pages_in_the_order_of_their_locators,
            owed_grants_come_in_pages_recipient_by_recipient,
        }
    };
}

async fn commit(catalog: &impl WholeShareLedger, share: &NewShare) {
    assert_eq!(catalog.commit_share(share).await.unwrap(), ShareInsert::Inserted);
}

async fn is_used(catalog: &impl WholeShareLedger, share: &NewShare) -> bool {
    let digest = share.record.mandate.as_ref().unwrap().mandate.digest();
    catalog.is_mandate_used(digest).await.unwrap()
}

async fn undelivered(catalog: &impl WholeShareLedger) -> usize {
    let page = catalog.undelivered_payments(u64::MAX, None, 99).await.unwrap();
    page.len()
}

pub async fn a_share_comes_with_its_object_its_end_and_its_owed_grant(catalog: &impl WholeShareLedger) {
    let whole = whole_share(1, 2);
    catalog.insert_order(&payment(1, 1, 2)).await.unwrap();
    commit(catalog, &whole).await;
    let found = catalog.share(&data_hash(1), address(2)).await.unwrap();
    assert_eq!(found.as_ref(), Some(&whole.record));
    assert_eq!(catalog.readable(&data_hash(1)).await.unwrap(), whole.object);
    let ends = catalog.due_erasures(u64::MAX, None, 9).await.unwrap();
    assert_eq!(ends, [(whole.record.expires_at.unwrap(), data_hash(1))]);
    assert_eq!(owed(catalog, 9).await, std::slice::from_ref(&whole.record));
    assert!(is_used(catalog, &whole).await);
    assert_eq!(undelivered(catalog).await, 0);
    // A further share of stored data brings none of that.
    let further = NewShare::from(ShareRecord::new(data_hash(1), address(3), 7));
    commit(catalog, &further).await;
    assert_eq!(catalog.readable(&data_hash(1)).await.unwrap(), whole.object);
    assert_eq!(catalog.due_erasures(u64::MAX, None, 9).await.unwrap(), ends);
    assert_eq!(owed(catalog, 9).await, [whole.record]);
}

pub async fn many_shares_at_once_come_with_their_objects(catalog: &impl WholeShareLedger) {
    let shares: Vec<NewShare> = (0..100).map(|n| whole_share(n, 2)).collect();
    let commits = shares.iter().map(|share| commit(catalog, share));
    futures::future::join_all(commits).await;
    for share in &shares {
        let data_hash = share.record.data_hash;
        assert_eq!(catalog.readable(&data_hash).await.unwrap(), share.object);
    }
}

pub async fn a_share_under_a_used_key_changes_nothing(catalog: &impl WholeShareLedger) {
    let first = NewShare::from(keyed(share(1, 1), "client", "key"));
    commit(catalog, &first).await;
    let mut other = whole_share(2, 1);
    other.record = keyed(other.record, "client", "key");
    let refused = catalog.commit_share(&other).await.unwrap();
    assert_eq!(refused, ShareInsert::KeyReused(first.record));
    assert_eq!(catalog.share(&data_hash(2), address(1)).await.unwrap(), None);
    assert_eq!(catalog.readable(&data_hash(2)).await.unwrap(), None);
    assert_eq!(catalog.due_erasures(u64::MAX, None, 9).await.unwrap(), []);
    assert!(!is_used(catalog, &other).await);
}

pub async fn an_object_takes_the_place_of_the_lost_one_of_a_share_that_exists(
    catalog: &impl WholeShareLedger,
) {
    let first = whole_share(1, 2);
    commit(catalog, &first).await;
    let again = NewShare {
        object: Some(ReadableObject {
            chunk_list: [9; 32],
            ..readable(1, address(1))
        }),
        ..first.clone()
    };
    let exists = catalog.commit_share(&again).await.unwrap();
    assert_eq!(exists, ShareInsert::Exists(first.record));
    assert_eq!(catalog.readable(&data_hash(1)).await.unwrap(), again.object);
}

pub async fn a_share_whose_key_cannot_be_kept_is_not_kept(catalog: &impl WholeShareLedger) {
    let whole = whole_share(1, 2);
    catalog
        .retire(whole.object.as_ref().unwrap().key.version)
        .await
        .unwrap();
    assert!(catalog.commit_share(&whole).await.is_err());
    assert_eq!(catalog.share(&data_hash(1), address(2)).await.unwrap(), None);
    assert_eq!(catalog.readable(&data_hash(1)).await.unwrap(), None);
    assert_eq!(catalog.due_erasures(u64::MAX, None, 9).await.unwrap(), []);
    assert!(!is_used(catalog, &whole).await);
}

pub async fn a_share_that_is_taken_back_frees_its_mandate_its_key_and_its_payment(
    catalog: &impl WholeShareLedger,
) {
    let whole = whole_share(1, 2);
    for order in [payment(1, 1, 2), payment(2, 1, 3)] {
        catalog.insert_order(&order).await.unwrap();
    }
    commit(catalog, &whole).await;
    commit(catalog, &whole_share(1, 3)).await;
    assert!(catalog.forget_share(&data_hash(1), address(2)).await.unwrap());
    assert!(!catalog.forget_share(&data_hash(1), address(2)).await.unwrap());
    assert_eq!(catalog.share(&data_hash(1), address(2)).await.unwrap(), None);
    let key = whole.record.idempotency_key.clone().unwrap();
    assert_eq!(catalog.share_by_key(&key).await.unwrap(), None);
    assert!(!is_used(catalog, &whole).await);
    assert_eq!(undelivered(catalog).await, 1);
    // The other one is untouched.
    assert!(catalog.share(&data_hash(1), address(3)).await.unwrap().is_some());
    assert!(is_used(catalog, &whole_share(1, 3)).await);
    // It can be made again, and delivers its payment then.
    commit(catalog, &whole).await;
    assert_eq!(undelivered(catalog).await, 0);
}

pub async fn a_recorded_share_is_not_taken_back(catalog: &impl WholeShareLedger) {
    commit(catalog, &whole_share(1, 2)).await;
    let logged = entries(0, [event(EventKind::DataShare, 1, 2)]);
    catalog.append(&logged, &[]).await.unwrap();
    assert!(!catalog.forget_share(&data_hash(1), address(2)).await.unwrap());
    assert!(catalog.share(&data_hash(1), address(2)).await.unwrap().is_some());
    assert!(is_used(catalog, &whole_share(1, 2)).await);
}

pub async fn a_payment_that_was_delivered_once_is_not_undelivered_again(catalog: &impl WholeShareLedger) {
    catalog.insert_order(&payment(1, 1, 2)).await.unwrap();
    commit(catalog, &whole_share(1, 2)).await;
    let history = [EventKind::DataShare, EventKind::DataDelete].map(|kind| event(kind, 1, 2));
    catalog.append(&entries(0, history), &[]).await.unwrap();
    catalog
        .begin_erasure(&data_hash(1), ErasureCause::Ordered)
        .await
        .unwrap();
    assert_eq!(undelivered(catalog).await, 0);
    commit(catalog, &NewShare::from(share(1, 2))).await;
    assert!(catalog.forget_share(&data_hash(1), address(2)).await.unwrap());
    assert_eq!(undelivered(catalog).await, 0);
}

pub async fn a_payment_that_is_given_back_stays_so_when_its_share_is_taken_back(
    catalog: &impl WholeShareLedger,
) {
    catalog.insert_order(&payment(1, 1, 2)).await.unwrap();
    catalog.insert_order(&refund(2, 1)).await.unwrap();
    commit(catalog, &NewShare::from(share(1, 2))).await;
    assert!(catalog.forget_share(&data_hash(1), address(2)).await.unwrap());
    assert_eq!(undelivered(catalog).await, 0);
}

pub async fn unrecorded_shares_come_in_pages_and_data_by_data(catalog: &impl WholeShareLedger) {
    for (n, recipient) in [(3, 1), (1, 1), (1, 2), (2, 1)] {
        commit(catalog, &NewShare::from(share(n, recipient))).await;
    }
    let first = catalog.unrecorded_shares(0, 2).await.unwrap();
    let rest = catalog.unrecorded_shares(first[1].0, 9).await.unwrap();
    let records: Vec<ShareRecord> = first.into_iter().chain(rest).map(|(_, share)| share).collect();
    assert_eq!(records, [share(3, 1), share(1, 1), share(1, 2), share(2, 1)]);
    assert_eq!(records, unrecorded(catalog, 9).await);
    let logged = entries(0, [event(EventKind::Grant, 1, 1)]);
    catalog.append(&logged, &[]).await.unwrap();
    let of_one = catalog.unrecorded_shares_of(&data_hash(1)).await.unwrap();
    assert_eq!(of_one, [share(1, 2)]);
    assert!(catalog.is_shared(&data_hash(1)).await.unwrap());
    assert!(!catalog.is_shared(&data_hash(4)).await.unwrap());
}

pub async fn the_chunks_of_an_object_are_known_by_the_present_key_and_the_prepared_one(
    catalog: &impl WholeShareLedger,
) {
    let id = object_id(1, address(1));
    let present = readable(1, address(1));
    let next = ReadableObject {
        chunk_list: [9; 32],
        ..present.clone()
    };
    assert!(!catalog.is_known(&id, &present.chunk_list).await.unwrap());
    catalog.put_readable(&present).await.unwrap();
    assert!(catalog.is_known(&id, &present.chunk_list).await.unwrap());
    assert!(!catalog.is_known(&id, &next.chunk_list).await.unwrap());
    let of_another = object_id(1, address(2));
    assert!(!catalog.is_known(&of_another, &present.chunk_list).await.unwrap());
    catalog.prepare_key(&next).await.unwrap();
    assert!(catalog.is_known(&id, &next.chunk_list).await.unwrap());
    catalog
        .begin_erasure(&data_hash(1), ErasureCause::Ordered)
        .await
        .unwrap();
    for chunk_list in [&present.chunk_list, &next.chunk_list] {
        assert!(!catalog.is_known(&id, chunk_list).await.unwrap());
    }
}

pub async fn the_objects_of_an_owner_come_in_pages_in_the_order_of_their_locators(
    catalog: &impl WholeShareLedger,
) {
    let mut expected = Vec::new();
    for n in 0..5 {
        catalog.put_readable(&readable(n, address(1))).await.unwrap();
        expected.push(readable(n, address(1)));
    }
    catalog.put_readable(&readable(5, address(2))).await.unwrap();
    expected.sort_by_key(|object| object.id.locator);
    let first = catalog.objects_of(address(1), None, 2).await.unwrap();
    assert_eq!(first, expected[..2]);
    // One that is gone is no obstacle.
    catalog.remove_readable(&first[1].data_hash).await.unwrap();
    let after = Some(first[1].id.locator);
    let rest = catalog.objects_of(address(1), after, 9).await.unwrap();
    assert_eq!(rest, expected[2..]);
}

pub async fn owed_grants_come_in_pages_recipient_by_recipient(catalog: &impl WholeShareLedger) {
    for (n, recipient) in [(1, 2), (2, 1), (3, 2), (4, 3), (5, 2)] {
        let share = NewShare {
            grant_owed: true,
            ..NewShare::from(share(n, recipient))
        };
        commit(catalog, &share).await;
    }
    commit(catalog, &NewShare::from(share(6, 4))).await;
    let recipients = catalog.owed_recipients(None, 2).await.unwrap();
    assert_eq!(recipients, [address(1), address(2)]);
    let recipients = catalog.owed_recipients(Some(address(2)), 9).await.unwrap();
    assert_eq!(recipients, [address(3)]);
    let first = catalog.owed_grants(address(2), 0, 2).await.unwrap();
    let rest = catalog.owed_grants(address(2), first[1].0, 9).await.unwrap();
    let records: Vec<ShareRecord> = first.into_iter().chain(rest).map(|(_, share)| share).collect();
    assert_eq!(records, [share(1, 2), share(3, 2), share(5, 2)]);
}
