//! The lease of the leader: the right of one instance of a node to do what only one may do.
//!
//! The clock is that of whoever keeps the lease. Nothing here reads one.

mod acting;

use std::{fmt, time::Duration};

pub use self::acting::{
    Right, Standing, current_epoch, current_right, in_epoch, in_right, in_same_epoch, in_turn,
};
use crate::instance::InstanceId;

/// Numbers the times that somebody takes the lease. Each is greater than all before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(pub u64);

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One holder's time with the lease. All times are milliseconds since the Unix epoch, by the
/// clock of whoever keeps the lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    /// Its number.
    pub epoch: Epoch,
    /// The holder.
    pub instance: InstanceId,
    /// When it began.
    pub taken_at: u64,
    /// When the holder last renewed it; at first when it began.
    pub renewed_at: u64,
    /// When it ends or has ended; the moment itself is outside.
    pub ends_at: u64,
}

impl Lease {
    /// Whether it is held at that time.
    pub fn is_held_at(&self, now: u64) -> bool {
        now < self.ends_at
    }

    /// Whether it is held at that time, which is not one from before its last renewal. It is
    /// where the clock was set back: then whoever asks for the lease shortens it.
    pub fn is_current_at(&self, now: u64) -> bool {
        (self.renewed_at..self.ends_at).contains(&now)
    }

    /// What comes of an instance's wish for the lease, where `newest` is the newest one: the
    /// newest as it has to be from now on, and the one that begins.
    ///
    /// Nobody else gets a lease that is held. The holder itself begins a further epoch, so
    /// that what it began in the one before changes nothing any more.
    ///
    /// Where the clock was set back, a lease would last until the clock has caught up. It is
    /// shortened then: it ends `lasts` from now, unless its holder renews it.
    pub fn take(
        newest: Option<Self>,
        instance: InstanceId,
        lasts: Duration,
        now: u64,
    ) -> (Option<Self>, Option<Self>) {
        let begun = |number| Self {
            epoch: Epoch(number),
            instance,
            taken_at: now,
            renewed_at: now,
            ends_at: end_of(lasts, now),
        };
        match newest {
            None => (None, Some(begun(1))),
            Some(lease) if !lease.is_held_at(now) => (None, Some(begun(lease.epoch.0 + 1))),
            Some(lease) if lease.instance == instance => {
                let ended = Self {
                    ends_at: now,
                    ..lease
                };
                (Some(ended), Some(begun(lease.epoch.0 + 1)))
            }
            Some(lease) if now < lease.renewed_at => {
                let shortened = Self {
                    renewed_at: now,
                    ends_at: end_of(lasts, now),
                    ..lease
                };
                (Some(shortened), None)
            }
            Some(_) => (None, None),
        }
    }

    /// The same, renewed, where it is of that epoch and has not ended.
    #[must_use]
    pub fn renew(self, epoch: Epoch, lasts: Duration, now: u64) -> Option<Self> {
        self.is_valid(epoch, now).then(|| Self {
            renewed_at: now,
            ends_at: end_of(lasts, now),
            ..self
        })
    }

    /// The same, ended now, where it is of that epoch and has not ended.
    #[must_use]
    pub fn give_back(self, epoch: Epoch, now: u64) -> Option<Self> {
        self.is_valid(epoch, now).then_some(Self { ends_at: now, ..self })
    }

    /// Whether the newest lease allows a change to the holder of that epoch.
    pub fn is_valid(&self, epoch: Epoch, now: u64) -> bool {
        self.epoch == epoch && self.is_held_at(now)
    }
}

fn end_of(lasts: Duration, now: u64) -> u64 {
    now.saturating_add(u64::try_from(lasts.as_millis()).unwrap_or(u64::MAX))
        .min(crate::clock::LATEST_MS)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: InstanceId = InstanceId([1; 16]);
    const SECOND: InstanceId = InstanceId([2; 16]);
    const LASTS: Duration = Duration::from_millis(10);

    fn taken(at: u64) -> Lease {
        Lease::take(None, FIRST, LASTS, at).1.unwrap()
    }

    #[test]
    fn a_lease_ends_at_its_last_millisecond_and_not_before() {
        let lease = taken(100);
        assert_eq!(Lease::take(Some(lease), SECOND, LASTS, 109), (None, None));
        let (_, begun) = Lease::take(Some(lease), SECOND, LASTS, 110);
        assert_eq!(begun.unwrap().epoch, Epoch(2));
        assert_eq!(lease.renew(Epoch(1), LASTS, 110), None);
        assert_eq!(lease.renew(Epoch(1), LASTS, 109).unwrap().ends_at, 119);
    }

    #[test]
    fn the_holder_ends_its_own_epoch_with_the_next_one() {
        let (ended, begun) = Lease::take(Some(taken(100)), FIRST, LASTS, 105);
        assert_eq!(ended.unwrap().ends_at, 105);
        assert_eq!(begun.unwrap().taken_at, 105);
    }

    #[test]
    fn a_clock_that_is_set_back_does_not_prolong_a_lease() {
        let long = taken(3_600_000);
        assert!(long.is_current_at(3_600_000));
        assert!(!long.is_current_at(100));
        let (shortened, begun) = Lease::take(Some(long), SECOND, LASTS, 100);
        assert_eq!(begun, None);
        let shortened = shortened.unwrap();
        assert_eq!((shortened.epoch, shortened.ends_at), (Epoch(1), 110));
        // Asking again shortens nothing: the holder still has its time.
        assert_eq!(Lease::take(Some(shortened), SECOND, LASTS, 105), (None, None));
        assert_eq!(
            Lease::take(Some(shortened), SECOND, LASTS, 110).1.unwrap().epoch,
            Epoch(2)
        );
    }
}
