//! What [`Erasures`](dm_core::ports::Erasures) promises.

#![allow(missing_docs, reason = "the name of a check is the promise")]

use dm_core::{event::EventKind, ports::ErasureCause, share::NewShare};

use super::{
    ErasureLedger,
    samples::{address, data_hash, entries, event, readable, share, unrecorded},
};

/// Makes a test of each promise of [`Erasures`](dm_core::ports::Erasures).
#[macro_export]
macro_rules! erasures_conformance {
    ($empty:path) => {
        $crate::conformance_tests! { $empty, erasures:
            an_erasure_takes_the_key_and_the_shares_of_its_data_alone,
            an_erasure_is_kept_until_it_is_ended,
            erased_data_can_be_shared_anew,
            an_erasure_is_due_at_its_time_until_it_begins_or_is_put_off,
        }
    };
}

pub async fn an_erasure_takes_the_key_and_the_shares_of_its_data_alone(catalog: &impl ErasureLedger) {
    for n in 1..=2 {
        catalog.put_readable(&readable(n, address(1))).await.unwrap();
        for recipient in 1..=2 {
            catalog
                .commit_share(&NewShare::from(share(n, recipient)))
                .await
                .unwrap();
        }
    }
    assert!(catalog.readable(&data_hash(1)).await.unwrap().is_some());
    catalog
        .begin_erasure(&data_hash(1), ErasureCause::Ordered)
        .await
        .unwrap();
    assert_eq!(catalog.readable(&data_hash(1)).await.unwrap(), None);
    assert!(catalog.readable(&data_hash(2)).await.unwrap().is_some());
    for recipient in 1..=2 {
        let recipient = address(recipient);
        assert_eq!(catalog.share(&data_hash(1), recipient).await.unwrap(), None);
        assert!(catalog.share(&data_hash(2), recipient).await.unwrap().is_some());
    }
    assert_eq!(unrecorded(catalog, 9).await.len(), 2);
}

pub async fn an_erasure_is_kept_until_it_is_ended(catalog: &impl ErasureLedger) {
    assert_eq!(catalog.unfinished_erasures(None, 9).await.unwrap(), []);
    for n in [1, 2, 1] {
        catalog
            .begin_erasure(&data_hash(n), ErasureCause::Ordered)
            .await
            .unwrap();
    }
    assert_eq!(catalog.unfinished_erasures(None, 9).await.unwrap().len(), 2);
    assert_eq!(catalog.unfinished_erasures(None, 1).await.unwrap().len(), 1);
    let first = catalog.unfinished_erasures(None, 1).await.unwrap()[0];
    let rest = catalog.unfinished_erasures(Some(first), 9).await.unwrap();
    assert!(rest.len() == 1 && rest[0] != first, "{rest:?}");
    for _ in 0..2 {
        catalog.end_erasure(&data_hash(1)).await.unwrap();
    }
    assert_eq!(
        catalog.unfinished_erasures(None, 9).await.unwrap(),
        [data_hash(2)]
    );
}

pub async fn erased_data_can_be_shared_anew(catalog: &impl ErasureLedger) {
    catalog.commit_share(&NewShare::from(share(1, 1))).await.unwrap();
    let history = [EventKind::DataShare, EventKind::DataDelete].map(|kind| event(kind, 1, 1));
    catalog.append(&entries(0, history), &[]).await.unwrap();
    catalog
        .begin_erasure(&data_hash(1), ErasureCause::Ordered)
        .await
        .unwrap();
    catalog.put_readable(&readable(1, address(1))).await.unwrap();
    catalog.commit_share(&NewShare::from(share(1, 1))).await.unwrap();
    assert!(catalog.share(&data_hash(1), address(1)).await.unwrap().is_some());
    assert!(catalog.readable(&data_hash(1)).await.unwrap().is_some());
    let left = unrecorded(catalog, 9).await;
    assert_eq!(
        left,
        [share(1, 1)],
        "the event before the erasure is of another share"
    );
    catalog
        .append(&entries(2, [event(EventKind::DataShare, 1, 1)]), &[])
        .await
        .unwrap();
    assert_eq!(unrecorded(catalog, 9).await, []);
}

pub async fn an_erasure_is_due_at_its_time_until_it_begins_or_is_put_off(catalog: &impl ErasureLedger) {
    for (n, at) in [(1, 30), (2, 10), (3, 20), (2, 15)] {
        catalog.schedule_erasure(&data_hash(n), Some(at)).await.unwrap();
    }
    let due = |now, after, limit| async move { catalog.due_erasures(now, after, limit).await.unwrap() };
    assert_eq!(due(14, None, 9).await, []);
    assert_eq!(due(15, None, 9).await, [(15, data_hash(2))]);
    let first = due(u64::MAX, None, 2).await;
    assert_eq!(first, [(15, data_hash(2)), (20, data_hash(3))]);
    assert_eq!(due(u64::MAX, Some(first[1]), 9).await, [(30, data_hash(1))]);
    assert_eq!(due(20, Some(first[1]), 9).await, []);
    catalog
        .begin_erasure(&data_hash(2), ErasureCause::Ordered)
        .await
        .unwrap();
    catalog.schedule_erasure(&data_hash(3), None).await.unwrap();
    catalog.schedule_erasure(&data_hash(4), None).await.unwrap();
    assert_eq!(due(u64::MAX, None, 9).await, [(30, data_hash(1))]);
}
