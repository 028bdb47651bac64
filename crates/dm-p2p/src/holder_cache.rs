use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
};

use dm_core::hash::Locator;
use libp2p::PeerId;

/// Locators that are remembered; the oldest are forgotten.
const MAX_LOCATORS: usize = 4096;
/// Peers that are remembered for one of them, those named last.
const MAX_PEERS: usize = 12;

/// The peers that were last known to hold the objects of a locator. They are
/// asked before the DHT is. Lost with the process; of what is stored here
/// the index of holders knows, of all else the DHT.
#[derive(Default)]
pub(crate) struct HolderCache {
    known: Mutex<Cached>,
}

#[derive(Default)]
struct Cached {
    peers: HashMap<Locator, Vec<PeerId>>,
    order: VecDeque<Locator>,
}

impl HolderCache {
    /// These peers hold something under the locator, or say so.
    pub(crate) fn insert(&self, locator: Locator, holders: impl IntoIterator<Item = PeerId>) {
        let mut holders = holders.into_iter().peekable();
        if holders.peek().is_none() {
            return;
        }
        let mut known = self.lock();
        if !known.peers.contains_key(&locator) {
            known.order.push_back(locator);
        }
        let peers = known.peers.entry(locator).or_default();
        for holder in holders {
            peers.retain(|peer| *peer != holder);
            peers.push(holder);
        }
        let surplus = peers.len().saturating_sub(MAX_PEERS);
        peers.drain(..surplus);
        if known.order.len() > MAX_LOCATORS
            && let Some(oldest) = known.order.pop_front()
        {
            known.peers.remove(&oldest);
        }
    }

    /// Who is known to hold something under the locator.
    pub(crate) fn get(&self, locator: &Locator) -> Vec<PeerId> {
        self.lock().peers.get(locator).cloned().unwrap_or_default()
    }

    fn lock(&self) -> MutexGuard<'_, Cached> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use dm_core::hash::DataHash;

    use super::*;

    fn locator(n: usize) -> Locator {
        DataHash::of(&n.to_le_bytes()).locator()
    }

    #[test]
    fn what_is_remembered_is_bounded_and_the_oldest_goes_first() {
        let cache = HolderCache::default();
        let peers: Vec<PeerId> = (0..MAX_PEERS + 2).map(|_| PeerId::random()).collect();
        cache.insert(locator(0), peers.iter().copied());
        assert_eq!(cache.get(&locator(0)), peers[2..]);
        cache.insert(locator(0), [peers[3]]);
        assert_eq!(cache.get(&locator(0)).len(), MAX_PEERS);
        for n in 1..=MAX_LOCATORS {
            cache.insert(locator(n), [peers[0]]);
        }
        assert!(cache.get(&locator(0)).is_empty());
        assert_eq!(cache.get(&locator(1)), [peers[0]]);
        cache.insert(locator(MAX_LOCATORS + 1), []);
        assert_eq!(cache.get(&locator(1)), [peers[0]]);
    }
}
