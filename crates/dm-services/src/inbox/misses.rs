//! Objects that somebody spoke of and that no peer had, or not as they were said to be.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use dm_core::envelope::ObjectId;

use crate::pauses::pause_after;

/// Objects that are looked for again. Anybody can speak of what there is not, so it is few.
const MOST: usize = 4096;
/// How often each is looked for.
const ATTEMPTS: u32 = 12;
/// First and longest pause, in milliseconds: together a good four hours.
const PAUSES: (u64, u64) = (15_000, 3_600_000);

/// When each of them is looked for again.
#[derive(Default)]
pub(super) struct Misses(Mutex<HashMap<ObjectId, Miss>>);

struct Miss {
    attempts: u32,
    /// Milliseconds since the Unix epoch.
    next: u64,
}

impl Misses {
    /// Whether an object is to be looked for at `now` (milliseconds since the Unix epoch).
    pub(super) fn is_due(&self, object: &ObjectId, now: u64) -> bool {
        self.lock().get(object).is_none_or(|miss| miss.next <= now)
    }

    /// Notes that no peer had the object; whether it is looked for again.
    pub(super) fn note(&self, object: &ObjectId, now: u64) -> bool {
        let mut misses = self.lock();
        if misses.len() >= MOST && !misses.contains_key(object) {
            return false;
        }
        let miss = misses.entry(*object).or_insert(Miss {
            attempts: 0,
            next: now,
        });
        miss.attempts += 1;
        if miss.attempts >= ATTEMPTS {
            misses.remove(object);
            return false;
        }
        miss.next = now + pause_after(miss.attempts - 1, PAUSES);
        true
    }

    /// The object was found, or is looked for no longer.
    pub(super) fn forget(&self, object: &ObjectId) {
        self.lock().remove(object);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ObjectId, Miss>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use alloy_primitives::Address;
    use dm_core::hash::Locator;

    use super::*;

    fn object(n: u64) -> ObjectId {
        let mut locator = [0; 32];
        locator[..8].copy_from_slice(&n.to_be_bytes());
        ObjectId {
            locator: Locator::from_bytes(locator),
            owner: Address::ZERO,
        }
    }

    #[test]
    fn what_nobody_has_is_looked_for_ever_less_often_and_not_for_ever() {
        let misses = Misses::default();
        let (object, mut now, mut pauses) = (object(1), 0, Vec::new());
        while misses.note(&object, now) {
            assert!(!misses.is_due(&object, now));
            let began = now;
            while !misses.is_due(&object, now) {
                now += PAUSES.0;
            }
            pauses.push(now - began);
        }
        assert_eq!(pauses.len() as u32, ATTEMPTS - 1);
        assert!(pauses.is_sorted() && pauses.iter().all(|pause| *pause <= PAUSES.1));
        assert!(misses.lock().is_empty());
    }

    #[test]
    fn what_there_is_not_takes_bounded_memory() {
        let misses = Misses::default();
        for n in 0..2 * MOST as u64 {
            assert_eq!(misses.note(&object(n), 0), n < MOST as u64);
        }
        assert_eq!(misses.lock().len(), MOST);
        misses.forget(&object(0));
        assert!(misses.note(&object(MOST as u64), 0));
    }
}
