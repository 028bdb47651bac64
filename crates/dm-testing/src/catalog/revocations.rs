//! What [`Revocations`](dm_core::ports::Revocations) promises.

#![allow(missing_docs, reason = "the name of a check is the promise")]

use dm_core::{
    event::EventKind,
    ports::ErasureCause,
    share::{NewShare, ReadableObject},
};

use super::{
    RevocationLedger,
    samples::{address, data_hash, entries, event, owed, readable, share, unrecorded},
};

/// Makes a test of each promise of [`Revocations`](dm_core::ports::Revocations).
#[macro_export]
macro_rules! revocations_conformance {
    ($empty:path) => {
        $crate::conformance_tests! { $empty, revocations:
            a_revocation_forgets_the_share_with_its_recipient_alone,
            a_revocation_is_kept_until_it_is_ended,
            who_lost_access_can_be_given_it_anew,
            a_prepared_key_stands_beside_the_present_one_until_it_is_adopted,
            an_erasure_takes_what_was_prepared,
        }
    };
}

/// The entry of data number `n` after its chunks were encrypted again.
fn next(n: u64) -> ReadableObject {
    let mut next = readable(n, address(1));
    next.chunk_list = [8; 32];
    next.key.token = format!("gAAAAA-next-token-of-{n}");
    next
}

pub async fn a_revocation_forgets_the_share_with_its_recipient_alone(catalog: &impl RevocationLedger) {
    for (n, recipient) in [(1, 1), (1, 2), (2, 1)] {
        catalog
            .commit_share(&NewShare::from(share(n, recipient)))
            .await
            .unwrap();
    }
    catalog
        .set_grant_owed(&data_hash(1), address(1), true)
        .await
        .unwrap();
    catalog.begin_revocation(&data_hash(1), address(1)).await.unwrap();
    assert_eq!(catalog.share(&data_hash(1), address(1)).await.unwrap(), None);
    assert_eq!(owed(catalog, 9).await, []);
    assert_eq!(unrecorded(catalog, 9).await, [share(1, 2), share(2, 1)]);
}

pub async fn a_revocation_is_kept_until_it_is_ended(catalog: &impl RevocationLedger) {
    assert_eq!(catalog.unfinished_revocations(None, 9).await.unwrap(), []);
    for recipient in [1, 2, 1] {
        catalog
            .begin_revocation(&data_hash(1), address(recipient))
            .await
            .unwrap();
    }
    assert_eq!(catalog.unfinished_revocations(None, 9).await.unwrap().len(), 2);
    assert_eq!(catalog.unfinished_revocations(None, 1).await.unwrap().len(), 1);
    for _ in 0..2 {
        catalog.end_revocation(&data_hash(1), address(1)).await.unwrap();
    }
    assert_eq!(
        catalog.unfinished_revocations(None, 9).await.unwrap(),
        [(data_hash(1), address(2))]
    );
}

pub async fn who_lost_access_can_be_given_it_anew(catalog: &impl RevocationLedger) {
    for recipient in 1..=2 {
        catalog
            .commit_share(&NewShare::from(share(1, recipient)))
            .await
            .unwrap();
    }
    let history = [
        event(EventKind::DataShare, 1, 1),
        event(EventKind::DataShare, 1, 2),
        event(EventKind::Revoke, 1, 1),
    ];
    catalog.append(&entries(0, history), &[]).await.unwrap();
    for recipient in 1..=2 {
        catalog
            .begin_revocation(&data_hash(1), address(recipient))
            .await
            .unwrap();
        catalog
            .commit_share(&NewShare::from(share(1, recipient)))
            .await
            .unwrap();
    }
    assert_eq!(
        unrecorded(catalog, 9).await,
        [share(1, 1)],
        "the event before a revocation is of another share; the other's access was never withdrawn"
    );
    let again = [event(EventKind::Grant, 1, 1)];
    catalog.append(&entries(3, again), &[]).await.unwrap();
    assert_eq!(unrecorded(catalog, 9).await, []);
}

pub async fn a_prepared_key_stands_beside_the_present_one_until_it_is_adopted(
    catalog: &impl RevocationLedger,
) {
    catalog.put_readable(&readable(1, address(1))).await.unwrap();
    assert_eq!(catalog.prepared_key(&data_hash(1)).await.unwrap(), None);
    assert!(!catalog.adopt_prepared_key(&data_hash(1), &[8; 32]).await.unwrap());
    for attempt in [readable(1, address(2)), next(1)] {
        catalog.prepare_key(&attempt).await.unwrap();
    }
    assert_eq!(
        catalog.readable(&data_hash(1)).await.unwrap(),
        Some(readable(1, address(1)))
    );
    assert_eq!(catalog.prepared_key(&data_hash(1)).await.unwrap(), Some(next(1)));
    assert!(!catalog.adopt_prepared_key(&data_hash(1), &[7; 32]).await.unwrap());
    assert_eq!(
        catalog.readable(&data_hash(1)).await.unwrap(),
        Some(readable(1, address(1))),
        "the key is for other chunks"
    );
    assert!(catalog.adopt_prepared_key(&data_hash(1), &[8; 32]).await.unwrap());
    assert_eq!(catalog.readable(&data_hash(1)).await.unwrap(), Some(next(1)));
    assert_eq!(catalog.prepared_key(&data_hash(1)).await.unwrap(), None);
}

pub async fn an_erasure_takes_what_was_prepared(catalog: &impl RevocationLedger) {
    for n in 1..=2 {
        catalog.put_readable(&readable(n, address(1))).await.unwrap();
        catalog.prepare_key(&next(n)).await.unwrap();
        catalog.begin_revocation(&data_hash(n), address(2)).await.unwrap();
    }
    catalog
        .begin_erasure(&data_hash(1), ErasureCause::Ordered)
        .await
        .unwrap();
    assert_eq!(catalog.prepared_key(&data_hash(1)).await.unwrap(), None);
    assert_eq!(catalog.prepared_key(&data_hash(2)).await.unwrap(), Some(next(2)));
    assert_eq!(
        catalog.unfinished_revocations(None, 9).await.unwrap(),
        [(data_hash(2), address(2))]
    );
}
