//! The last things of which something was found out.

use std::{
    collections::{HashSet, VecDeque},
    hash::Hash,
    sync::{Mutex, PoisonError},
};

use dm_core::envelope::ObjectId;

/// Things that are remembered; the oldest are forgotten.
const CAPACITY: usize = 4096;

/// Remembers some thousand objects.
pub(crate) type RememberedObjects = Remembered<ObjectId>;

/// Remembers some thousand things.
pub(crate) struct Remembered<Thing> {
    known: Mutex<(HashSet<Thing>, VecDeque<Thing>)>,
}

impl<Thing> Default for Remembered<Thing> {
    fn default() -> Self {
        Self {
            known: Mutex::default(),
        }
    }
}

impl<Thing: Copy + Eq + Hash> Remembered<Thing> {
    /// Remembers something; whether it was not known.
    pub(crate) fn add(&self, thing: Thing) -> bool {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let (set, order) = &mut *known;
        let is_new = set.insert(thing);
        if is_new {
            order.push_back(thing);
        }
        if order.len() > CAPACITY
            && let Some(oldest) = order.pop_front()
        {
            set.remove(&oldest);
        }
        is_new
    }

    pub(crate) fn contains(&self, thing: &Thing) -> bool {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.0.contains(thing)
    }
}
