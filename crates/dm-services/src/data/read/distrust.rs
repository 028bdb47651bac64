//! Objects whose plaintext turned out not to have the hash they were found under.

use std::collections::{HashSet, VecDeque};
use std::sync::{Mutex, PoisonError};

use dm_core::envelope::ObjectId;

/// Objects that are remembered; the oldest are forgotten.
const CAPACITY: usize = 4096;

/// Remembers objects that lied, so that another owner's object is tried instead.
#[derive(Default)]
pub(super) struct Distrust {
    known: Mutex<(HashSet<ObjectId>, VecDeque<ObjectId>)>,
}

impl Distrust {
    pub(super) fn add(&self, id: ObjectId) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let (set, order) = &mut *known;
        if set.insert(id) {
            order.push_back(id);
        }
        if order.len() > CAPACITY
            && let Some(oldest) = order.pop_front()
        {
            set.remove(&oldest);
        }
    }

    pub(super) fn contains(&self, id: &ObjectId) -> bool {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.0.contains(id)
    }
}
