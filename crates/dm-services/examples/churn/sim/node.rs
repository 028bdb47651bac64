use std::collections::BTreeMap;

use dm_services::repairer::plan::{Holder, PeerKey, RepairPlan};

/// A node of the simulation.
pub(super) struct Node {
    pub(super) key: PeerKey,
    pub(super) is_home: bool,
    /// Whether it only came to share.
    pub(super) is_owner: bool,
    /// Starts so far: what a process knew is gone with it, what it wrote stays.
    pub(super) starts: u32,
    pub(super) plan: Option<RepairPlan>,
    /// What is on its disk: objects, and the holders that were written down.
    pub(super) disk: BTreeMap<usize, Vec<Holder>>,
    /// When it wakes up next; other wake-ups are of no account.
    pub(super) wakes: u64,
}

impl Node {
    pub(super) fn new(key: PeerKey) -> Self {
        Self {
            key,
            is_home: false,
            is_owner: false,
            starts: 0,
            plan: None,
            disk: BTreeMap::new(),
            wakes: u64::MAX,
        }
    }
}
