//! Objects whose time ends.

use dm_core::envelope::ObjectId;

use super::{Action, MAX_ACTIONS, RepairPlan};

impl RepairPlan {
    /// The time of a stored object of another owner ends then, or never.
    pub fn ends_at(&mut self, object: &ObjectId, end: Option<u64>) {
        if let Some(entry) = self.entries.get_mut(object)
            && entry.end_of_time != end
        {
            if let Some(before) = std::mem::replace(&mut entry.end_of_time, end) {
                self.ends.remove(&(before, *object));
            }
            self.ends.extend(end.map(|end| (end, *object)));
        }
    }

    /// Takes out whose time is over, before anything else is done for them.
    pub(super) fn expire(&mut self, now: u64, actions: &mut Vec<Action>) {
        while let Some((at, object)) = self.ends.first().copied()
            && at <= now
            && actions.len() < MAX_ACTIONS
        {
            self.drop_object(&object);
            actions.push(Action::Expire { object });
        }
    }
}
