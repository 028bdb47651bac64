//! What the plan knows, for those who only ask.

use dm_core::envelope::ObjectId;

use super::{Copies, Holder, RepairPlan};

impl RepairPlan {
    /// What is known of an object's copies; `None` where it is not stored here.
    pub fn copies(&self, object: &ObjectId, now: u64) -> Option<Copies> {
        let entry = self.entries.get(object)?;
        let holders: Vec<(Holder, bool)> = entry
            .holders()
            .map(|slot| (slot.holder, slot.is_live(&self.peers, &self.config, now)))
            .collect();
        Some(Copies {
            own: entry.own,
            wanted: entry.wanted(&self.config),
            live: holders.iter().filter(|(_, live)| *live).count() as u32,
            holders,
        })
    }

    /// The time at which the object that is looked at next was to be looked at.
    pub fn oldest_review(&self) -> Option<u64> {
        self.agenda.first().map(|(at, _)| *at)
    }

    /// Since when objects wait for copies while none was begun; `None` where none waits.
    pub fn copies_waiting_since(&self) -> Option<u64> {
        self.waiting_since
    }

    /// The holders of an object as they are to be kept.
    pub fn record(&self, object: &ObjectId) -> Option<Vec<Holder>> {
        let entry = self.entries.get(object)?;
        Some(entry.holders().map(|slot| slot.holder).collect())
    }

    /// At most `limit` objects of others that are held by enough peers without
    /// this node, all of them proven of late. Of all holders only the one that
    /// is farthest from an object may drop it, so that no two do.
    pub fn surplus(&self, limit: usize, now: u64) -> Vec<ObjectId> {
        let entries = self.entries.iter();
        entries
            .filter(|(object, entry)| entry.is_surplus(object, self.me, &self.peers, &self.config, now))
            .map(|(object, _)| *object)
            .take(limit)
            .collect()
    }

    /// Whether this node stores the object, as far as the plan was told.
    pub fn keeps(&self, object: &ObjectId) -> bool {
        self.entries.contains_key(object)
    }

    /// Number of objects, and of those that have too few copies and are being
    /// or waiting to be copied.
    pub fn totals(&self) -> (usize, usize) {
        (self.entries.len(), self.shortages.len() + self.placing)
    }
}
