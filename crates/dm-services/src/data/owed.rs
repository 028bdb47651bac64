//! Tells the background work that something is owed.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::Bell;

/// One bell for each kind of background work.
#[derive(Default)]
pub(super) struct Owed {
    /// A grant waits for its recipient's key.
    pub(super) grants: Bell,
    /// A share was anchored, and its receipt is to follow its object.
    pub(super) receipts: Bell,
    /// Some object has fewer copies than it could have.
    copies: AtomicBool,
    /// Some object has as many copies as peers were connected, and should have more.
    copies_for_others: AtomicBool,
}

impl Owed {
    /// Notes that copies are missing.
    pub(super) fn note_copies(&self) {
        self.copies.store(true, Ordering::Relaxed);
    }

    /// Whether copies are missing; the note is taken back.
    pub(super) fn take_copies(&self) -> bool {
        self.copies.swap(false, Ordering::Relaxed)
    }

    /// Notes that copies are missing that further peers could take.
    pub(super) fn note_copies_for_others(&self) {
        self.copies_for_others.store(true, Ordering::Relaxed);
    }

    /// Whether copies are missing that further peers could take; the note is taken back.
    pub(super) fn take_copies_for_others(&self) -> bool {
        self.copies_for_others.swap(false, Ordering::Relaxed)
    }
}
