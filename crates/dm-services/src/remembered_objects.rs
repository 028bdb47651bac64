//! The last objects of which something was found out.

use std::{
    collections::{HashSet, VecDeque},
    sync::{Mutex, PoisonError},
};

use dm_core::envelope::ObjectId;

/// Objects that are remembered; the oldest are forgotten.
const CAPACITY: usize = 4096;

/// Remembers some thousand objects.
#[derive(Default)]
pub(crate) struct RememberedObjects {
    known: Mutex<(HashSet<ObjectId>, VecDeque<ObjectId>)>,
}

impl RememberedObjects {
    /// Remembers an object; whether it was not known.
    pub(crate) fn add(&self, id: ObjectId) -> bool {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let (set, order) = &mut *known;
        let is_new = set.insert(id);
        if is_new {
            order.push_back(id);
        }
        if order.len() > CAPACITY
            && let Some(oldest) = order.pop_front()
        {
            set.remove(&oldest);
        }
        is_new
    }

    pub(crate) fn contains(&self, id: &ObjectId) -> bool {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.0.contains(id)
    }
}
