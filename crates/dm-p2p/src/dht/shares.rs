//! Who takes how much of a bounded store, and what goes when it is full.

use std::collections::{BTreeSet, HashMap};

use libp2p::PeerId;
use sha2::{Digest, Sha256};

/// XOR of the hashes of a key and of this node's id, as Kademlia measures it.
pub(super) type Distance = [u8; 32];

/// Measures how far keys are from this node.
#[derive(Debug, Clone, Copy)]
pub(super) struct Origin([u8; 32]);

impl Origin {
    pub(super) fn new(local: &PeerId) -> Self {
        Self(Sha256::digest(local.to_bytes()).into())
    }

    pub(super) fn distance_to(&self, key: &[u8]) -> Distance {
        let mut distance: Distance = Sha256::digest(key).into();
        for (byte, own) in distance.iter_mut().zip(&self.0) {
            *byte ^= own;
        }
        distance
    }
}

/// The keys that each sender has in the store, by their distance. When the store is full,
/// the sender with the most keys gives up its farthest one: no number of keys of one sender
/// crowds out another that has few. Among those with as many, near keys stay: for these
/// this node is asked. Does no I/O.
#[derive(Debug, Default)]
pub(super) struct Shares {
    of: HashMap<PeerId, BTreeSet<Distance>>,
    /// How many keys each sender has, and its farthest one.
    by_size: BTreeSet<(usize, Distance, PeerId)>,
    total: usize,
}

/// Whether there is room for a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Room {
    /// There is.
    Free,
    /// There is, once this key of this sender is gone.
    InPlaceOf(PeerId, Distance),
    /// All keys that could go for it are nearer than it.
    None,
}

impl Shares {
    /// Whether a further key of `sender` has a place, where a sender may have `of_sender`
    /// keys and all together `total`.
    pub(super) fn room_for(
        &self,
        sender: &PeerId,
        distance: &Distance,
        of_sender: usize,
        total: usize,
    ) -> Room {
        let own = self.count(sender);
        if own < of_sender && self.total < total {
            return Room::Free;
        }
        let (size, farthest, largest) = match self.by_size.last() {
            Some((size, farthest, largest)) if own < of_sender && own < *size => (*size, *farthest, *largest),
            _ => match self.farthest(sender) {
                Some(farthest) => (own, farthest, *sender),
                None => return Room::None,
            },
        };
        // Where the other would have the fewer keys afterwards, the nearer key stays.
        if own + 1 < size || farthest > *distance {
            Room::InPlaceOf(largest, farthest)
        } else {
            Room::None
        }
    }

    pub(super) fn insert(&mut self, sender: PeerId, distance: Distance) {
        self.change(sender, |keys| keys.insert(distance));
    }

    pub(super) fn remove(&mut self, sender: &PeerId, distance: &Distance) {
        self.change(*sender, |keys| keys.remove(distance));
    }

    /// Changes the keys of a sender, and notes how many they are now.
    fn change(&mut self, sender: PeerId, change: impl FnOnce(&mut BTreeSet<Distance>) -> bool) {
        let mut keys = self.of.remove(&sender).unwrap_or_default();
        if let Some(farthest) = keys.last() {
            self.by_size.remove(&(keys.len(), *farthest, sender));
        }
        self.total -= keys.len();
        change(&mut keys);
        self.total += keys.len();
        if let Some(farthest) = keys.last() {
            self.by_size.insert((keys.len(), *farthest, sender));
            self.of.insert(sender, keys);
        }
    }

    /// How many keys of a sender there are.
    pub(super) fn count(&self, sender: &PeerId) -> usize {
        self.of.get(sender).map_or(0, BTreeSet::len)
    }

    fn farthest(&self, sender: &PeerId) -> Option<Distance> {
        self.of.get(sender)?.last().copied()
    }

    #[cfg(test)]
    pub(super) fn total(&self) -> usize {
        self.total
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OF_SENDER: usize = 5;
    const TOTAL: usize = 8;

    fn put(shares: &mut Shares, sender: PeerId, distance: u8) -> bool {
        let distance = [distance; 32];
        match shares.room_for(&sender, &distance, OF_SENDER, TOTAL) {
            Room::None => return false,
            Room::Free => {}
            Room::InPlaceOf(other, farthest) => shares.remove(&other, &farthest),
        }
        shares.insert(sender, distance);
        true
    }

    #[test]
    fn a_sender_at_its_limit_keeps_its_nearest_keys() {
        let (mut shares, sender) = (Shares::default(), PeerId::random());
        for distance in [9, 3, 8, 4, 7] {
            assert!(put(&mut shares, sender, distance));
        }
        assert!(!put(&mut shares, sender, 10));
        assert!(put(&mut shares, sender, 1));
        assert_eq!(shares.farthest(&sender), Some([8; 32]));
        assert_eq!(shares.count(&sender), OF_SENDER);
    }

    #[test]
    fn who_has_the_most_makes_room_for_who_has_less() {
        let (mut shares, flooder, other) = (Shares::default(), PeerId::random(), PeerId::random());
        for distance in 0..5 {
            put(&mut shares, flooder, distance);
        }
        for distance in 100..104 {
            assert!(put(&mut shares, other, distance), "far as it is");
        }
        assert_eq!((shares.count(&flooder), shares.count(&other)), (4, 4));
        assert!(!put(&mut shares, flooder, 5), "it has its part");
        assert!(put(&mut shares, PeerId::random(), 200));
        assert_eq!(shares.total(), TOTAL);
    }

    #[test]
    fn among_senders_with_one_key_each_the_nearest_stay() {
        let mut shares = Shares::default();
        for distance in (0..100).rev() {
            put(&mut shares, PeerId::random(), distance);
        }
        for distance in 0..100 {
            put(&mut shares, PeerId::random(), distance);
        }
        let farthest = shares.by_size.last().unwrap().1;
        assert!(farthest <= [TOTAL as u8; 32], "{farthest:?}");
        assert_eq!(shares.total(), TOTAL);
    }

    #[test]
    fn who_leaves_leaves_nothing() {
        let (mut shares, sender) = (Shares::default(), PeerId::random());
        put(&mut shares, sender, 1);
        shares.insert(sender, [1; 32]);
        shares.remove(&sender, &[1; 32]);
        shares.remove(&sender, &[1; 32]);
        assert!(shares.of.is_empty() && shares.by_size.is_empty() && shares.total == 0);
    }
}
