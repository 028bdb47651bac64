//! Which nonces the account's transactions bear, and which are free.

use std::{collections::BTreeSet, ops::Range};

use super::Key;

/// The nonces of the transactions that are not final.
#[derive(Default)]
pub(super) struct Nonces {
    /// A nonce has two bearers where a later transaction displaces an earlier one.
    borne: BTreeSet<(u64, Key)>,
    /// Behind the nonces of those that are final.
    floor: u64,
}

impl Nonces {
    pub(super) fn insert(&mut self, nonce: u64, key: Key) {
        self.borne.insert((nonce, key));
    }

    pub(super) fn remove(&mut self, nonce: u64, key: Key) {
        self.borne.remove(&(nonce, key));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.borne.is_empty()
    }

    /// The bearers of these nonces, in the order of the nonces.
    pub(super) fn bearers(&self, nonces: Range<u64>) -> impl Iterator<Item = Key> {
        let borne = self.borne.range((nonces.start, 0)..(nonces.end, 0));
        borne.map(|(_, key)| *key)
    }

    /// All bearers, in the order of their nonces.
    pub(super) fn all_bearers(&self) -> impl Iterator<Item = Key> {
        self.borne.iter().map(|(_, key)| *key)
    }

    /// Whether a transaction that was ordered later than this one bears the nonce, too.
    pub(super) fn has_later_bearer(&self, nonce: u64, key: Key) -> bool {
        let mut later = self.borne.range((nonce, key + 1)..(nonce + 1, 0));
        later.next().is_some()
    }

    /// The first nonce from this one on that no transaction bears.
    pub(super) fn first_free(&self, from: u64) -> u64 {
        let mut free = from;
        for (nonce, _) in self.borne.range((from, 0)..) {
            if *nonce > free {
                break;
            }
            free = nonce.saturating_add(1);
        }
        free
    }

    /// How many nonces are missing between this one and the next that is borne.
    pub(super) fn missing_from(&self, expected: u64) -> u64 {
        let next = self.borne.range((expected, 0)..).next();
        next.map_or(0, |(nonce, _)| nonce.saturating_sub(expected))
    }

    /// Behind the nonces of those that are final: they are used up, whatever an endpoint
    /// that lags behind counts.
    pub(super) fn floor(&self) -> u64 {
        self.floor
    }

    /// A transaction with this nonce is final.
    pub(super) fn raise_floor(&mut self, nonce: u64) {
        self.floor = self.floor.max(nonce.saturating_add(1));
    }

    /// No nonce is used up on a chain that began anew.
    pub(super) fn forget_floor(&mut self) {
        self.floor = 0;
    }
}

/// Hands out the free nonces of a batch in rising order.
pub(super) struct NonceCursor {
    /// All nonces below are in use.
    next: u64,
}

impl NonceCursor {
    pub(super) fn from(next: u64) -> Self {
        Self { next }
    }

    /// The first nonce that none of the own transactions bears and that is not below
    /// `least`. The caller inserts it into `nonces`.
    pub(super) fn take(&mut self, nonces: &Nonces, least: u64) -> u64 {
        let nonce = nonces.first_free(self.next.max(least));
        // One that must lie higher leaves those between free for the next transactions:
        // a gap would keep everything behind it out of the blocks.
        if least <= self.next {
            self.next = nonce.saturating_add(1);
        }
        nonce
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn borne<const N: usize>(borne: [(u64, Key); N]) -> Nonces {
        let borne = BTreeSet::from(borne);
        Nonces { borne, floor: 0 }
    }

    #[test]
    fn one_that_must_lie_higher_leaves_the_nonces_between_to_the_next() {
        let mut nonces = borne([(6, 0)]);
        let mut cursor = NonceCursor::from(5);
        let given: Vec<_> = [0, 9, 0, 0, 0, 0]
            .into_iter()
            .map(|least| {
                let nonce = cursor.take(&nonces, least);
                nonces.insert(nonce, 1);
                nonce
            })
            .collect();
        assert_eq!(given, [5, 9, 7, 8, 10, 11]);
    }

    #[test]
    fn what_lies_behind_a_gap_misses_the_nonces_of_the_gap() {
        let nonces = borne([(3, 0), (4, 1), (8, 2)]);
        assert_eq!(nonces.first_free(3), 5);
        assert_eq!(nonces.missing_from(5), 3);
        assert_eq!(nonces.missing_from(9), 0);
        assert_eq!(nonces.bearers(4..8).collect::<Vec<_>>(), [1]);
    }

    #[test]
    fn only_the_later_of_two_bearers_has_none_behind_it() {
        let nonces = borne([(3, 0), (3, 7), (4, 9)]);
        assert!(nonces.has_later_bearer(3, 0));
        assert!(!nonces.has_later_bearer(3, 7));
    }

    #[test]
    fn the_floor_only_rises_until_the_chain_begins_anew() {
        let mut nonces = Nonces::default();
        nonces.raise_floor(7);
        nonces.raise_floor(2);
        assert_eq!(nonces.floor(), 8);
        nonces.forget_floor();
        assert_eq!(nonces.floor(), 0);
    }
}
