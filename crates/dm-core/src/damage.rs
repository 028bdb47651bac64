//! Which stored objects are known to be damaged.

use std::{
    collections::{BTreeSet, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::Notify;

use crate::envelope::ObjectId;

/// Damaged objects that are remembered: some 10 MiB.
const MAX_KNOWN: usize = 64 * 1024;

/// Objects of a store of which something could not be read: an object store
/// writes down what its readers come across, until the object is stored anew.
/// In memory; after a restart it is found again. Clones are the same log.
#[derive(Clone, Default)]
pub struct DamageLog(Arc<Log>);

#[derive(Default)]
struct Log {
    entries: Mutex<Entries>,
    arrived: Notify,
}

#[derive(Default)]
struct Entries {
    known: BTreeSet<ObjectId>,
    /// Known ones that nobody has taken to mend them.
    waiting: VecDeque<ObjectId>,
}

impl DamageLog {
    /// An empty log.
    pub fn new() -> Self {
        Self::default()
    }

    /// Something of the object could not be read.
    pub fn found(&self, id: ObjectId) {
        let mut entries = self.entries();
        if entries.known.len() < MAX_KNOWN && entries.known.insert(id) {
            entries.waiting.push_back(id);
            drop(entries);
            self.0.arrived.notify_one();
        }
    }

    /// The object was stored anew or removed, or turned out to be whole.
    pub fn mended(&self, id: &ObjectId) {
        let mut entries = self.entries();
        if entries.known.remove(id) {
            entries.waiting.retain(|waiting| waiting != id);
        }
    }

    /// Whether the object is known to be damaged.
    pub fn contains(&self, id: &ObjectId) -> bool {
        self.entries().known.contains(id)
    }

    /// All objects that are known to be damaged.
    pub fn all(&self) -> Vec<ObjectId> {
        self.entries().known.iter().copied().collect()
    }

    /// How many objects are known to be damaged.
    pub fn count(&self) -> usize {
        self.entries().known.len()
    }

    /// The next object that was found to be damaged, each once. One caller at a time.
    pub async fn next(&self) -> ObjectId {
        loop {
            let arrived = self.0.arrived.notified();
            if let Some(id) = self.entries().waiting.pop_front() {
                return id;
            }
            arrived.await;
        }
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.0.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use alloy_primitives::Address;

    use super::*;
    use crate::hash::DataHash;

    fn id(number: usize) -> ObjectId {
        ObjectId {
            locator: DataHash::of(&number.to_be_bytes()).locator(),
            owner: Address::ZERO,
        }
    }

    #[tokio::test]
    async fn damage_is_handed_out_once_and_known_until_it_is_mended() {
        let log = DamageLog::new();
        for number in [1, 2, 1, 3] {
            log.found(id(number));
        }
        log.mended(&id(2));
        assert_eq!((log.next().await, log.next().await), (id(1), id(3)));
        assert!(log.contains(&id(1)) && !log.contains(&id(2)));
        log.found(id(1));
        assert!(log.entries().waiting.is_empty(), "it is known already");
        log.mended(&id(1));
        assert_eq!(log.all(), [id(3)]);
        log.found(id(1));
        assert_eq!(log.next().await, id(1), "damaged anew");
    }

    #[test]
    fn the_log_is_bounded() {
        let log = DamageLog::new();
        for number in 0..MAX_KNOWN + 10 {
            log.found(id(number));
        }
        assert_eq!(log.all().len(), MAX_KNOWN);
    }
}
