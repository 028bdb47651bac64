//! Retrievals that somebody wants to be told of when they have ended.

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
};

use dm_core::trace::{Trace, TraceReport};

/// Retrievals that are remembered; the oldest are forgotten.
const CAPACITY: usize = 256;

/// Traces of the latest retrievals, by ids that cannot be guessed.
#[derive(Default)]
pub(super) struct Retrievals {
    latest: Mutex<VecDeque<(String, Trace)>>,
}

impl Retrievals {
    /// Keeps a trace, and returns the id under which it is found: 32
    /// hexadecimal digits.
    pub(super) fn add(&self, trace: Trace) -> String {
        let id = hex::encode(rand::random::<[u8; 16]>());
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        if latest.len() == CAPACITY {
            latest.pop_front();
        }
        latest.push_back((id.clone(), trace));
        id
    }

    /// What a retrieval has taken so far.
    pub(super) fn report(&self, id: &str) -> Option<TraceReport> {
        let latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        let found = latest.iter().find(|(known, _)| known == id);
        found.map(|(_, trace)| trace.report())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_are_forgotten() {
        let retrievals = Retrievals::default();
        let ids: Vec<String> = (0..=CAPACITY).map(|_| retrievals.add(Trace::default())).collect();
        assert_eq!(retrievals.report(&ids[0]), None);
        assert!(retrievals.report(&ids[1]).is_some());
        assert!(retrievals.report(&ids[CAPACITY]).is_some());
    }
}
