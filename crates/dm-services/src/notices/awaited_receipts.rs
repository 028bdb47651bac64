//! Letters that say of a share that its envelope has the receipt, which is added after the share
//! was anchored. They wait until somebody tells that it is there, and not for the pause that each
//! of them has in the store for the case that nobody does: after a restart, or where there are
//! too many.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use alloy_primitives::Address;
use dm_core::hash::Locator;

use super::outbox::{Due, LetterKind};
use crate::remembered::Remembered;

/// Letters that are remembered.
const MOST: usize = 16 * 1024;

/// A share: with whom, and of what.
type ShareName = (Address, Locator);

/// The letters that wait for receipts, and those whose receipts are there.
#[derive(Default)]
pub(super) struct AwaitedReceipts {
    awaited: HashMap<ShareName, Due>,
    /// By their places in the store, where they are still due later.
    ready: BTreeMap<Vec<u8>, Due>,
    /// Shares whose receipts were there before there was a letter.
    early: Remembered<ShareName>,
}

impl AwaitedReceipts {
    /// These letters are in the store.
    pub(super) fn added(&mut self, new: &[Due]) {
        for due in new.iter().filter(|due| due.kind == LetterKind::Receipt) {
            let share = share_of(due);
            if self.early.contains(&share) {
                self.ready.insert(due.key(), due.clone());
            } else if self.awaited.len() < MOST {
                self.awaited.insert(share, due.clone());
            }
        }
    }

    /// Another letter is in the store in the place of one, or none is.
    pub(super) fn replaced(&mut self, old: &Due, new: Option<&Due>) {
        if old.kind != LetterKind::Receipt {
            return;
        }
        self.ready.remove(&old.key());
        let share = share_of(old);
        if self.awaited.get(&share) != Some(old) {
            return;
        }
        match new {
            Some(new) => self.awaited.insert(share, new.clone()),
            None => self.awaited.remove(&share),
        };
    }

    /// The receipts of these shares are in their envelopes.
    pub(super) fn are_in(&mut self, shares: &BTreeSet<ShareName>) {
        for share in shares {
            match self.awaited.remove(share) {
                Some(due) => {
                    self.ready.insert(due.key(), due);
                }
                None => {
                    self.early.add(*share);
                }
            }
        }
    }

    /// Whether a letter is among those that are ready.
    pub(super) fn is_ready(&self, letter: &Due) -> bool {
        self.ready.contains_key(&letter.key())
    }

    /// The letters whose receipts are there, whenever they are due in the store.
    pub(super) fn ready(&self) -> impl Iterator<Item = &Due> {
        self.ready.values()
    }
}

fn share_of(due: &Due) -> ShareName {
    (due.addressee, due.locator)
}

#[cfg(test)]
mod tests {
    use dm_core::hash::DataHash;

    use super::*;
    use crate::{notices::outbox::LetterState, pauses::Attempts};

    fn letter(number: u64, at: u64) -> Due {
        Due {
            at,
            kind: LetterKind::Receipt,
            addressee: Address::repeat_byte(1),
            locator: DataHash::of(&number.to_be_bytes()).locator(),
            attempts: Attempts::none(at),
            state: LetterState::Unsent,
        }
    }

    fn names(letters: &[&Due]) -> BTreeSet<ShareName> {
        letters.iter().map(|letter| share_of(letter)).collect()
    }

    fn ready(receipts: &AwaitedReceipts) -> Vec<Due> {
        receipts.ready().cloned().collect()
    }

    #[test]
    fn a_letter_is_ready_once_its_receipt_is_there_whichever_comes_first() {
        let mut receipts = AwaitedReceipts::default();
        let (one, other) = (letter(1, 10), letter(2, 20));
        receipts.added(std::slice::from_ref(&one));
        assert_eq!(ready(&receipts), []);
        receipts.are_in(&names(&[&one, &other]));
        assert_eq!(ready(&receipts), std::slice::from_ref(&one));
        receipts.added(std::slice::from_ref(&other));
        assert_eq!(ready(&receipts), [one.clone(), other.clone()]);
        assert!(receipts.is_ready(&one));
        receipts.replaced(&one, None);
        receipts.replaced(&other, Some(&letter(2, 30)));
        assert_eq!(ready(&receipts), []);
    }

    #[test]
    fn a_letter_that_was_looked_at_in_vain_is_ready_from_its_new_place() {
        let mut receipts = AwaitedReceipts::default();
        let (first, again) = (letter(1, 10), letter(1, 50));
        receipts.added(std::slice::from_ref(&first));
        receipts.replaced(&first, Some(&again));
        receipts.are_in(&names(&[&first]));
        assert_eq!(ready(&receipts), [again]);
    }

    #[test]
    fn letters_take_bounded_memory() {
        let mut receipts = AwaitedReceipts::default();
        let letters: Vec<Due> = (0..MOST as u64 + 10).map(|number| letter(number, 1)).collect();
        receipts.added(&letters);
        assert_eq!(receipts.awaited.len(), MOST);
        letters.iter().for_each(|letter| receipts.replaced(letter, None));
        assert!(receipts.awaited.is_empty());
    }
}
