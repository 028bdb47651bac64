//! What [`Leases`] promises.

#![allow(missing_docs, reason = "the name of a check is the promise")]

use std::time::Duration;

use dm_core::{
    instance::InstanceId,
    lease::{Epoch, Lease},
    ports::Leases,
};
use futures::future::join_all;

use crate::waiting::eventually;

/// Makes a test of each promise of [`Leases`].
#[macro_export]
macro_rules! leases_conformance {
    ($empty:path) => {
        $crate::conformance_tests! { $empty, leases:
            nobody_has_the_lease_at_first,
            one_of_two_holders_has_the_lease,
            of_all_who_ask_at_once_one_gets_the_lease,
            a_lease_ends_by_itself_and_another_takes_it,
            a_lease_that_has_ended_is_never_renewed,
            a_renewed_lease_goes_on,
            a_lease_that_is_given_back_can_be_taken_at_once,
            who_has_the_lease_begins_a_further_epoch,
            every_lease_is_remembered_and_none_overlaps_another,
        }
    };
}

/// Longer than any test.
pub(super) const LONG: Duration = Duration::from_secs(3600);
/// Over before anybody asks again.
const SHORT: Duration = Duration::from_millis(1);

pub(super) fn instance(n: u8) -> InstanceId {
    InstanceId([n; 16])
}

/// Checks that nobody had the lease while another did, and that epochs only grow.
///
/// # Panics
/// Where two leases overlap.
pub fn assert_one_at_a_time(history: &[Lease]) {
    for pair in history.windows(2) {
        assert!(pair[0].epoch < pair[1].epoch, "{pair:?}");
        assert!(pair[0].ends_at <= pair[1].taken_at, "{pair:?}");
    }
}

/// Takes the lease as soon as it can be had.
pub(super) async fn take_when_free(leases: &impl Leases, instance: InstanceId, lasts: Duration) -> Epoch {
    eventually("the lease is free", async || {
        leases.take_lease(instance, lasts).await.unwrap()
    })
    .await
}

pub async fn nobody_has_the_lease_at_first(leases: &impl Leases) {
    assert_eq!(leases.lease().await.unwrap(), None);
    assert_eq!(leases.leases(Epoch(0), 9).await.unwrap(), []);
    assert!(!leases.renew_lease(Epoch(0), LONG).await.unwrap());
    assert!(!leases.renew_lease(Epoch(1), LONG).await.unwrap());
    assert!(!leases.give_back_lease(Epoch(1)).await.unwrap());
}

pub async fn one_of_two_holders_has_the_lease(leases: &impl Leases) {
    let epoch = leases.take_lease(instance(1), LONG).await.unwrap().unwrap();
    assert_eq!(leases.take_lease(instance(2), LONG).await.unwrap(), None);
    let lease = leases.lease().await.unwrap().unwrap();
    assert_eq!((lease.epoch, lease.instance), (epoch, instance(1)));
    assert_eq!(lease.ends_at - lease.taken_at, LONG.as_millis() as u64);
    assert_eq!(lease.renewed_at, lease.taken_at);
    assert!(leases.renew_lease(epoch, LONG).await.unwrap());
    // Nor by a wrong epoch.
    for wrong in [Epoch(0), Epoch(epoch.0 + 1), Epoch(u64::MAX)] {
        assert!(!leases.renew_lease(wrong, LONG).await.unwrap());
        assert!(!leases.give_back_lease(wrong).await.unwrap());
    }
    assert_eq!(leases.lease().await.unwrap().unwrap().epoch, epoch);
}

pub async fn of_all_who_ask_at_once_one_gets_the_lease(leases: &impl Leases) {
    for round in 1..=5 {
        let taken = join_all((0..8).map(|n| leases.take_lease(instance(n), LONG))).await;
        let taken: Vec<Epoch> = taken.into_iter().filter_map(Result::unwrap).collect();
        assert_eq!(taken.len(), 1, "{taken:?}");
        assert_eq!(leases.leases(Epoch(0), 99).await.unwrap().len(), round);
        assert!(leases.give_back_lease(taken[0]).await.unwrap());
    }
}

pub async fn a_lease_ends_by_itself_and_another_takes_it(leases: &impl Leases) {
    let first = leases.take_lease(instance(1), SHORT).await.unwrap().unwrap();
    let second = take_when_free(leases, instance(2), LONG).await;
    assert!(second > first);
    assert!(!leases.renew_lease(first, LONG).await.unwrap());
    assert!(!leases.give_back_lease(first).await.unwrap());
    let lease = leases.lease().await.unwrap().unwrap();
    assert_eq!((lease.epoch, lease.instance), (second, instance(2)));
}

pub async fn a_lease_that_has_ended_is_never_renewed(leases: &impl Leases) {
    let epoch = leases.take_lease(instance(1), SHORT).await.unwrap().unwrap();
    eventually("the lease has ended", async || {
        leases.lease().await.unwrap().is_none().then_some(())
    })
    .await;
    // Although nobody else has taken it.
    assert!(!leases.renew_lease(epoch, LONG).await.unwrap());
    assert_eq!(leases.lease().await.unwrap(), None);
    let next = leases.take_lease(instance(1), LONG).await.unwrap().unwrap();
    assert!(next > epoch);
}

pub async fn a_renewed_lease_goes_on(leases: &impl Leases) {
    let epoch = leases
        .take_lease(instance(1), Duration::from_secs(60))
        .await
        .unwrap()
        .unwrap();
    let before = leases.lease().await.unwrap().unwrap();
    assert!(leases.renew_lease(epoch, LONG).await.unwrap());
    let after = leases.lease().await.unwrap().unwrap();
    assert_eq!((after.epoch, after.taken_at), (before.epoch, before.taken_at));
    assert!(after.renewed_at >= before.renewed_at);
    assert_eq!(after.ends_at - after.renewed_at, LONG.as_millis() as u64);
    // It can be renewed for less as well.
    assert!(leases.renew_lease(epoch, SHORT).await.unwrap());
    take_when_free(leases, instance(2), LONG).await;
}

pub async fn a_lease_that_is_given_back_can_be_taken_at_once(leases: &impl Leases) {
    let first = leases.take_lease(instance(1), LONG).await.unwrap().unwrap();
    assert!(leases.give_back_lease(first).await.unwrap());
    assert_eq!(leases.lease().await.unwrap(), None);
    assert!(!leases.give_back_lease(first).await.unwrap());
    assert!(!leases.renew_lease(first, LONG).await.unwrap());
    let second = leases.take_lease(instance(2), LONG).await.unwrap();
    assert!(second.is_some_and(|second| second > first));
}

pub async fn who_has_the_lease_begins_a_further_epoch(leases: &impl Leases) {
    let first = leases.take_lease(instance(1), LONG).await.unwrap().unwrap();
    let second = leases.take_lease(instance(1), LONG).await.unwrap().unwrap();
    assert!(second > first);
    assert!(!leases.renew_lease(first, LONG).await.unwrap());
    assert!(leases.renew_lease(second, LONG).await.unwrap());
    assert_eq!(leases.take_lease(instance(2), LONG).await.unwrap(), None);
}

pub async fn every_lease_is_remembered_and_none_overlaps_another(leases: &impl Leases) {
    let mut taken = Vec::new();
    for n in [1, 2, 2, 3, 1] {
        let epoch = take_when_free(leases, instance(n), if n == 2 { LONG } else { SHORT }).await;
        taken.push((epoch, instance(n)));
        if taken.len() == 3 {
            assert!(leases.give_back_lease(epoch).await.unwrap());
        }
    }
    let history = leases.leases(Epoch(0), 99).await.unwrap();
    let held: Vec<_> = history
        .iter()
        .map(|lease| (lease.epoch, lease.instance))
        .collect();
    assert_eq!(held, taken);
    assert_one_at_a_time(&history);
    assert_eq!(leases.leases(taken[1].0, 2).await.unwrap(), history[2..4]);
    assert_eq!(leases.leases(taken[4].0, 2).await.unwrap(), []);
}
