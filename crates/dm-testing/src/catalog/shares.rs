//! What a catalog of shares promises; what it promises about replicas and
//! receipts is in [`super::spreading`].

#![allow(missing_docs, reason = "the name of a check is the promise")]

use dm_core::{
    event::EventKind,
    idempotency::IdempotencyKey,
    ports::ShareInsert,
    share::{NewShare, ShareRecord},
};

use super::{
    ShareLedger,
    samples::{address, data_hash, entries, event, keyed, owed, share, unrecorded},
};

/// Makes a test of each promise of [`ShareCatalog`](dm_core::ports::ShareCatalog).
#[macro_export]
macro_rules! share_catalog_conformance {
    ($empty:path) => {
        $crate::conformance_tests! { $empty, shares:
            a_share_is_kept_as_it_was_given,
            a_share_is_kept_once,
            other_recipients_and_other_data_are_other_shares,
            an_idempotency_key_finds_its_share,
            an_idempotency_key_is_good_for_one_share,
            a_repeated_request_finds_its_own_share,
            the_keys_of_two_clients_never_meet,
            equal_shares_at_the_same_time_are_kept_once,
            a_share_is_unrecorded_until_its_event_is_logged,
            only_its_own_event_records_a_share,
            an_event_may_come_before_its_share,
            owed_grants_are_listed_oldest_first_until_taken_back,
        }
        $crate::conformance_tests! { $empty, spreading:
            the_replicas_of_an_object_are_what_was_set_last,
            own_objects_without_enough_replicas_are_listed_in_pages,
            a_page_after_a_removed_object_is_empty,
            replicas_counted_before_the_object_became_readable_count,
            a_receipt_is_due_once_anchored_and_replicated,
            a_receipt_is_not_due_while_all_replicas_are_gone,
            a_receipt_that_was_spread_is_not_due_again,
            a_receipt_is_due_again_when_its_anchor_moves_or_leaves,
            a_share_of_an_object_with_replicas_gets_its_receipt_too,
            due_receipts_come_in_the_order_of_the_log,
        }
    };
}

async fn insert(catalog: &impl ShareLedger, share: &ShareRecord) {
    assert_eq!(
        catalog
            .commit_share(&NewShare::from(share.clone()))
            .await
            .unwrap(),
        ShareInsert::Inserted
    );
}

pub async fn a_share_is_kept_as_it_was_given(catalog: &impl ShareLedger) {
    let bare = ShareRecord::new(data_hash(3), address(1), 5);
    let grant = ShareRecord {
        kind: EventKind::Grant,
        ..bare.clone()
    };
    let other = ShareRecord {
        recipient: address(2),
        ..bare
    };
    for kept in [share(1, 1), keyed(share(2, 1), "client", "key ☕"), grant, other] {
        insert(catalog, &kept).await;
        let found = catalog.share(&kept.data_hash, kept.recipient).await.unwrap();
        assert_eq!(found, Some(kept));
    }
    assert_eq!(catalog.share(&data_hash(4), address(1)).await.unwrap(), None);
}

pub async fn a_share_is_kept_once(catalog: &impl ShareLedger) {
    let first = share(1, 1);
    insert(catalog, &first).await;
    let again = ShareRecord {
        created_at: first.created_at + 5,
        ..first.clone()
    };
    assert_eq!(
        catalog
            .commit_share(&NewShare::from(again.clone()))
            .await
            .unwrap(),
        ShareInsert::Exists(first)
    );
}

pub async fn other_recipients_and_other_data_are_other_shares(catalog: &impl ShareLedger) {
    insert(catalog, &share(1, 1)).await;
    insert(catalog, &share(1, 2)).await;
    insert(catalog, &share(2, 1)).await;
}

pub async fn an_idempotency_key_finds_its_share(catalog: &impl ShareLedger) {
    let kept = keyed(share(1, 1), "client", "key");
    insert(catalog, &kept).await;
    let key = kept.idempotency_key.clone().unwrap();
    assert_eq!(catalog.share_by_key(&key).await.unwrap(), Some(kept));
    let unknown = IdempotencyKey {
        key: "other".into(),
        ..key
    };
    assert_eq!(catalog.share_by_key(&unknown).await.unwrap(), None);
}

pub async fn an_idempotency_key_is_good_for_one_share(catalog: &impl ShareLedger) {
    let first = keyed(share(1, 1), "client", "key");
    insert(catalog, &first).await;
    insert(catalog, &share(3, 1)).await;
    // Neither new data nor a share that exists may come under the used key.
    for n in [2, 3] {
        let other = keyed(share(n, 1), "client", "key");
        assert_eq!(
            catalog
                .commit_share(&NewShare::from(other.clone()))
                .await
                .unwrap(),
            ShareInsert::KeyReused(first.clone())
        );
    }
    assert_eq!(catalog.share(&data_hash(2), address(1)).await.unwrap(), None);
}

pub async fn a_repeated_request_finds_its_own_share(catalog: &impl ShareLedger) {
    let first = keyed(share(1, 1), "client", "key");
    insert(catalog, &first).await;
    assert_eq!(
        catalog
            .commit_share(&NewShare::from(first.clone()))
            .await
            .unwrap(),
        ShareInsert::Exists(first)
    );
}

pub async fn the_keys_of_two_clients_never_meet(catalog: &impl ShareLedger) {
    insert(catalog, &keyed(share(1, 1), "one", "key")).await;
    insert(catalog, &keyed(share(2, 1), "two", "key")).await;
}

pub async fn equal_shares_at_the_same_time_are_kept_once(catalog: &impl ShareLedger) {
    let wanted = NewShare::from(share(1, 1));
    let attempts = (0..50).map(|_| catalog.commit_share(&wanted));
    let results = futures::future::join_all(attempts).await;
    let inserted = results
        .iter()
        .filter(|result| *result.as_ref().unwrap() == ShareInsert::Inserted);
    assert_eq!(inserted.count(), 1);
}

pub async fn a_share_is_unrecorded_until_its_event_is_logged(catalog: &impl ShareLedger) {
    for n in 0..4 {
        insert(catalog, &share(n, 1)).await;
    }
    assert_eq!(
        unrecorded(catalog, 3).await,
        [share(0, 1), share(1, 1), share(2, 1)]
    );
    let events = [event(EventKind::DataShare, 0, 1), event(EventKind::Grant, 2, 1)];
    catalog.append(&entries(0, events), &[]).await.unwrap();
    assert_eq!(unrecorded(catalog, 9).await, [share(1, 1), share(3, 1)]);
}

pub async fn only_its_own_event_records_a_share(catalog: &impl ShareLedger) {
    insert(catalog, &share(1, 1)).await;
    let others = [
        event(EventKind::DataShare, 2, 1),
        event(EventKind::DataShare, 1, 2),
        event(EventKind::DataAccess, 1, 1),
        event(EventKind::Revoke, 1, 1),
    ];
    catalog.append(&entries(0, others), &[]).await.unwrap();
    assert_eq!(unrecorded(catalog, 9).await, [share(1, 1)]);
}

pub async fn an_event_may_come_before_its_share(catalog: &impl ShareLedger) {
    catalog
        .append(&entries(0, [event(EventKind::Grant, 1, 1)]), &[])
        .await
        .unwrap();
    insert(catalog, &share(1, 1)).await;
    assert_eq!(unrecorded(catalog, 9).await, []);
}

pub async fn owed_grants_are_listed_oldest_first_until_taken_back(catalog: &impl ShareLedger) {
    for n in 0..4 {
        insert(catalog, &share(n, 1)).await;
    }
    for n in [3, 1, 2] {
        catalog
            .set_grant_owed(&data_hash(n), address(1), true)
            .await
            .unwrap();
    }
    assert_eq!(owed(catalog, 2).await, [share(1, 1), share(2, 1)]);
    catalog
        .set_grant_owed(&data_hash(1), address(1), false)
        .await
        .unwrap();
    assert_eq!(owed(catalog, 9).await, [share(2, 1), share(3, 1)]);
    // A share that does not exist owes nothing.
    catalog
        .set_grant_owed(&data_hash(9), address(1), true)
        .await
        .unwrap();
    assert_eq!(owed(catalog, 9).await.len(), 2);
}
