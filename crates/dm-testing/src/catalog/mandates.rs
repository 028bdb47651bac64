//! What a catalog promises about the statements on which shares were made.

#![allow(missing_docs, reason = "the name of a check is the promise")]

use dm_core::{
    event::EventKind,
    ports::{ErasureCause, ShareInsert},
    share::{NewShare, ShareRecord},
};

use super::{
    MandateLedger,
    samples::{address, data_hash, entries, event, mandate, share, unrecorded},
};

/// Makes a test of each promise of [`UsedMandates`](dm_core::ports::UsedMandates).
#[macro_export]
macro_rules! used_mandates_conformance {
    ($empty:path) => {
        $crate::conformance_tests! { $empty, mandates:
            a_share_is_kept_with_its_mandate,
            a_mandate_is_used_once_its_share_is_kept,
            the_mandate_of_a_share_that_was_not_kept_is_not_used,
            a_mandate_stays_used_when_its_data_is_erased,
            a_share_that_is_made_anew_has_its_own_mandate_or_none,
            mandates_are_forgotten_once_they_have_ended,
            the_mandate_of_an_unrecorded_share_is_not_forgotten,
        }
    };
}

/// Share number `n` with recipient 1, on statement number `n`.
fn ordered(n: u64) -> ShareRecord {
    ShareRecord {
        mandate: Some(Box::new(mandate(n, 1000 + n))),
        ..share(n, 1)
    }
}

async fn insert(catalog: &impl MandateLedger, share: &ShareRecord) {
    assert_eq!(
        catalog
            .commit_share(&NewShare::from(share.clone()))
            .await
            .unwrap(),
        ShareInsert::Inserted
    );
}

async fn is_used(catalog: &impl MandateLedger, n: u64) -> bool {
    let digest = mandate(n, 0).mandate.digest();
    catalog.is_mandate_used(digest).await.unwrap()
}

/// The event of share number `n`, at a position of the log.
async fn record(catalog: &impl MandateLedger, n: u64, position: u64) {
    let logged = entries(position, [event(EventKind::DataShare, n, 1)]);
    catalog.append(&logged, &[]).await.unwrap();
}

pub async fn a_share_is_kept_with_its_mandate(catalog: &impl MandateLedger) {
    insert(catalog, &ordered(1)).await;
    insert(catalog, &share(2, 1)).await;
    let found = catalog.share(&data_hash(1), address(1)).await.unwrap();
    assert_eq!(found, Some(ordered(1)));
    assert_eq!(unrecorded(catalog, 9).await, [ordered(1), share(2, 1)]);
}

pub async fn a_mandate_is_used_once_its_share_is_kept(catalog: &impl MandateLedger) {
    assert!(!is_used(catalog, 1).await);
    insert(catalog, &ordered(1)).await;
    assert!(is_used(catalog, 1).await);
    assert!(!is_used(catalog, 2).await);
    record(catalog, 1, 0).await;
    assert!(is_used(catalog, 1).await);
}

pub async fn the_mandate_of_a_share_that_was_not_kept_is_not_used(catalog: &impl MandateLedger) {
    insert(catalog, &ordered(1)).await;
    let again = ShareRecord {
        mandate: Some(Box::new(mandate(2, 9))),
        ..share(1, 1)
    };
    let exists = catalog
        .commit_share(&NewShare::from(again.clone()))
        .await
        .unwrap();
    assert_eq!(exists, ShareInsert::Exists(ordered(1)));
    assert!(!is_used(catalog, 2).await);
}

pub async fn a_mandate_stays_used_when_its_data_is_erased(catalog: &impl MandateLedger) {
    insert(catalog, &ordered(1)).await;
    catalog
        .begin_erasure(&data_hash(1), ErasureCause::Ordered)
        .await
        .unwrap();
    catalog.end_erasure(&data_hash(1)).await.unwrap();
    assert!(is_used(catalog, 1).await);
}

pub async fn a_share_that_is_made_anew_has_its_own_mandate_or_none(catalog: &impl MandateLedger) {
    insert(catalog, &ordered(1)).await;
    catalog
        .begin_erasure(&data_hash(1), ErasureCause::Ordered)
        .await
        .unwrap();
    insert(catalog, &share(1, 1)).await;
    assert_eq!(unrecorded(catalog, 9).await, [share(1, 1)]);
    catalog
        .begin_erasure(&data_hash(1), ErasureCause::Ordered)
        .await
        .unwrap();
    let anew = ShareRecord {
        mandate: Some(Box::new(mandate(2, 9))),
        ..share(1, 1)
    };
    insert(catalog, &anew).await;
    assert_eq!(unrecorded(catalog, 9).await, [anew]);
}

pub async fn mandates_are_forgotten_once_they_have_ended(catalog: &impl MandateLedger) {
    for n in 1..=2 {
        insert(catalog, &ordered(n)).await;
        record(catalog, n, n - 1).await;
    }
    catalog.forget_mandates(1002).await.unwrap();
    assert!(!is_used(catalog, 1).await, "it ended at 1001");
    assert!(is_used(catalog, 2).await, "it ends at 1002");
    let found = catalog.share(&data_hash(1), address(1)).await.unwrap();
    assert!(found.is_some(), "the share itself stays");
}

pub async fn the_mandate_of_an_unrecorded_share_is_not_forgotten(catalog: &impl MandateLedger) {
    insert(catalog, &ordered(1)).await;
    catalog.forget_mandates(5000).await.unwrap();
    assert_eq!(unrecorded(catalog, 9).await, [ordered(1)]);
    record(catalog, 1, 0).await;
    catalog.forget_mandates(5000).await.unwrap();
    assert!(!is_used(catalog, 1).await);
}
