//! What a catalog promises about writes [in an epoch](in_epoch).

#![allow(missing_docs, reason = "the name of a check is the promise")]

use std::time::Duration;

use dm_core::{
    lease::{Epoch, in_epoch},
    ports::{Catalog, CatalogError, Leases},
    share::NewShare,
};
use futures::future::join_all;

use super::{
    leases::{LONG, instance, take_when_free},
    samples::{address, contact, data_hash, share},
};
use crate::waiting::eventually;

/// Makes a test of each promise about writes in an epoch.
#[macro_export]
macro_rules! fenced_catalog_conformance {
    ($empty:path) => {
        $crate::conformance_tests! { $empty, fencing:
            the_leader_writes_and_reads,
            a_write_of_an_old_epoch_changes_nothing,
            a_write_past_the_lease_changes_nothing_though_nobody_has_taken_it,
            a_write_of_an_old_epoch_does_not_take_others_down,
            what_waits_behind_a_new_epoch_is_fenced,
        }
    };
}

/// A catalog that keeps the lease of those who write to it.
pub trait LeaderLedger: Catalog + Leases {}

impl<T: Catalog + Leases> LeaderLedger for T {}

fn assert_refused<T: std::fmt::Debug>(refused: &Result<T, CatalogError>, epoch: Epoch) {
    assert!(
        matches!(refused, Err(CatalogError::NotLeading(of)) if *of == epoch),
        "{refused:?}"
    );
}

/// Writes of each kind: many at once, in their order, and alone.
async fn assert_writes_nothing(catalog: &impl LeaderLedger, epoch: Epoch) {
    in_epoch(epoch, async {
        assert_refused(&catalog.commit_share(&share(9, 1).into()).await, epoch);
        assert_refused(&catalog.remove_readable(&data_hash(1)).await, epoch);
        assert_refused(&catalog.put_contact(&contact("nobody", 9)).await, epoch);
        assert_eq!(catalog.share(&data_hash(9), address(1)).await.unwrap(), None);
        assert_eq!(catalog.contacts(None, 9).await.unwrap(), []);
    })
    .await;
}

pub async fn the_leader_writes_and_reads(catalog: &impl LeaderLedger) {
    let epoch = catalog.take_lease(instance(1), LONG).await.unwrap().unwrap();
    in_epoch(epoch, async {
        catalog.commit_share(&share(1, 1).into()).await.unwrap();
        assert!(catalog.share(&data_hash(1), address(1)).await.unwrap().is_some());
        // What a contradiction is without a fence is one with it.
        catalog.put_contact(&contact("first", 1)).await.unwrap();
        let conflict = catalog.put_contact(&contact("second", 1)).await;
        assert!(matches!(conflict, Err(CatalogError::Conflict(_))), "{conflict:?}");
    })
    .await;
    assert!(catalog.share(&data_hash(1), address(1)).await.unwrap().is_some());
}

pub async fn a_write_of_an_old_epoch_changes_nothing(catalog: &impl LeaderLedger) {
    assert_writes_nothing(catalog, Epoch(1)).await;
    let first = catalog.take_lease(instance(1), LONG).await.unwrap().unwrap();
    catalog.give_back_lease(first).await.unwrap();
    assert_writes_nothing(catalog, first).await;
    let second = catalog.take_lease(instance(2), LONG).await.unwrap().unwrap();
    assert_writes_nothing(catalog, first).await;
    // Nor that of an epoch of the same instance.
    catalog.take_lease(instance(2), LONG).await.unwrap().unwrap();
    assert_writes_nothing(catalog, second).await;
    // Nor that of one which has not begun.
    assert_writes_nothing(catalog, Epoch(99)).await;
}

pub async fn a_write_past_the_lease_changes_nothing_though_nobody_has_taken_it(catalog: &impl LeaderLedger) {
    let epoch = take_when_free(catalog, instance(1), Duration::from_millis(1)).await;
    eventually("the lease has ended", async || {
        catalog.lease().await.unwrap().is_none().then_some(())
    })
    .await;
    assert_writes_nothing(catalog, epoch).await;
}

pub async fn a_write_of_an_old_epoch_does_not_take_others_down(catalog: &impl LeaderLedger) {
    let old = catalog.take_lease(instance(1), LONG).await.unwrap().unwrap();
    let new = catalog.take_lease(instance(1), LONG).await.unwrap().unwrap();
    let shares: Vec<NewShare> = (0..30).map(|n| share(n, 1).into()).collect();
    let written = join_all(shares.iter().enumerate().map(|(n, share)| {
        let writing = catalog.commit_share(share);
        async move {
            match n % 3 {
                0 => in_epoch(old, writing).await,
                1 => in_epoch(new, writing).await,
                _ => writing.await,
            }
        }
    }))
    .await;
    for (n, written) in (0..).zip(written) {
        let is_made = n % 3 != 0;
        assert_eq!(written.is_ok(), is_made, "{written:?}");
        let kept = catalog.share(&data_hash(n), address(1)).await.unwrap();
        assert_eq!(kept.is_some(), is_made);
    }
}

/// Whether they come to the same transaction or not.
pub async fn what_waits_behind_a_new_epoch_is_fenced(catalog: &impl LeaderLedger) {
    let mut epoch = catalog.take_lease(instance(1), LONG).await.unwrap().unwrap();
    for n in 0..10 {
        let (before, behind) = (share(2 * n, 1).into(), share(2 * n + 1, 1).into());
        let (made, taken, refused) = futures::join!(
            in_epoch(epoch, catalog.commit_share(&before)),
            catalog.take_lease(instance(1), LONG),
            in_epoch(epoch, catalog.commit_share(&behind)),
        );
        made.unwrap();
        assert_refused(&refused, epoch);
        epoch = taken.unwrap().unwrap();
    }
}
