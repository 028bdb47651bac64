use std::collections::{HashMap, HashSet};

use dm_core::envelope::ObjectId;

use super::PeerKey;

/// What has been begun and not been answered: lost when the process ends, and
/// due again then.
#[derive(Default)]
pub(super) struct UnderWay {
    pub(super) challenges: HashMap<(ObjectId, PeerKey), Cause>,
    pub(super) searches: HashSet<ObjectId>,
    pub(super) places: HashMap<ObjectId, Placing>,
}

/// Why a peer is challenged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    /// It is a holder, and its time has come.
    Due,
    /// It was away: one object stands for all that it holds.
    Probe,
    /// Somebody says that it holds the object.
    Hint,
}

/// Copies that are being made.
#[derive(Debug, Clone, Copy)]
pub(super) struct Placing {
    pub(super) copies: u32,
    /// Bytes of each.
    pub(super) bytes: u64,
}

impl UnderWay {
    /// Whether something is being done about the number of copies.
    pub(super) fn is_busy(&self, object: &ObjectId) -> bool {
        self.searches.contains(object) || self.places.contains_key(object)
    }
}
