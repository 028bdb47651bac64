use std::{collections::BTreeSet, sync::Arc};

use dm_services::repairer::plan::{Peer, PeerKey, RepairConfig, RepairPlan};
use dm_testing::key_value::MemoryKeyValueStore;

use super::at_once;

/// A node of the simulation.
pub(super) struct Node {
    pub(super) peer: Peer,
    pub(super) is_home: bool,
    /// Whether it only came to share.
    pub(super) is_owner: bool,
    /// Starts so far: what a process knew is gone with it, what it wrote stays.
    pub(super) starts: u32,
    pub(super) plan: Option<RepairPlan>,
    /// The objects on its disk.
    pub(super) disk: BTreeSet<usize>,
    /// What its plan has written down, on the same disk.
    pub(super) index: MemoryKeyValueStore,
    /// When it wakes up next; other wake-ups are of no account.
    pub(super) wakes: u64,
}

impl Node {
    pub(super) fn new(key: PeerKey) -> Self {
        Self {
            peer: Peer { key, name: "".into() },
            is_home: false,
            is_owner: false,
            starts: 0,
            plan: None,
            disk: BTreeSet::new(),
            index: MemoryKeyValueStore::new(),
            wakes: u64::MAX,
        }
    }

    /// Its plan, as it was when it was last written.
    pub(super) fn open_plan(&self, config: RepairConfig, now: u64) -> RepairPlan {
        let index = Arc::new(self.index.clone());
        at_once(RepairPlan::open(self.peer.key, config, index, now))
    }
}
