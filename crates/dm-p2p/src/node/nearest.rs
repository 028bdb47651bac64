//! Peers in the order of their places on the DHT.

use std::{
    collections::{BTreeMap, HashMap},
    ops::RangeInclusive,
};

use libp2p::{PeerId, kad};
use sha2::{Digest, Sha256};

/// The place of a key on the DHT.
type Place = [u8; 32];

/// Finds the peers closest to a key among many, without looking at all of them. Does no I/O.
#[derive(Debug, Default)]
pub(super) struct NearestPeers {
    by_place: BTreeMap<Place, PeerId>,
    places: HashMap<PeerId, Place>,
}

impl NearestPeers {
    pub(super) fn insert(&mut self, peer: PeerId) {
        let place = place_of(&peer.to_bytes());
        self.by_place.insert(place, peer);
        self.places.insert(peer, place);
    }

    /// Whether the peer was among them.
    pub(super) fn remove(&mut self, peer: &PeerId) -> bool {
        let place = self.places.remove(peer);
        place.is_some_and(|place| self.by_place.remove(&place).is_some())
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &PeerId> {
        self.places.keys()
    }

    /// The closest peers to a key, the closest first.
    pub(super) fn closest(&self, key: &[u8], limit: usize) -> Vec<PeerId> {
        self.search(key, limit).found
    }

    fn search(&self, key: &[u8], limit: usize) -> Search<'_> {
        let mut search = Search {
            peers: &self.by_place,
            target: place_of(key),
            limit,
            found: Vec::new(),
            steps: 0,
        };
        search.descend([0; 32], 0);
        search
    }
}

/// A walk through the binary tree of all places, nearer branches first.
struct Search<'a> {
    peers: &'a BTreeMap<Place, PeerId>,
    target: Place,
    limit: usize,
    found: Vec<PeerId>,
    /// Branches that were looked at.
    steps: usize,
}

impl Search<'_> {
    /// Takes the peers whose places begin with the first `depth` bits of `prefix`.
    fn descend(&mut self, prefix: Place, depth: usize) {
        if self.found.len() >= self.limit {
            return;
        }
        self.steps += 1;
        let mut branch = self.peers.range(range_of(prefix, depth));
        let Some((_, first)) = branch.next() else {
            return;
        };
        if branch.next().is_none() {
            // It is alone: its further bits say nothing new.
            self.found.push(*first);
            return;
        }
        let (near, far) = (bit(&self.target, depth), !bit(&self.target, depth));
        self.descend(with_bit(prefix, depth, near), depth + 1);
        self.descend(with_bit(prefix, depth, far), depth + 1);
    }
}

fn place_of(key: &[u8]) -> Place {
    Sha256::digest(key).into()
}

fn bit(place: &Place, index: usize) -> bool {
    place[index / 8] & (0x80 >> (index % 8)) != 0
}

fn with_bit(mut place: Place, index: usize, value: bool) -> Place {
    let mask = 0x80 >> (index % 8);
    if value {
        place[index / 8] |= mask;
    } else {
        place[index / 8] &= !mask;
    }
    place
}

/// All places that begin with the first `depth` bits of the prefix; its other bits are zero.
fn range_of(prefix: Place, depth: usize) -> RangeInclusive<Place> {
    let mut last = prefix;
    if let Some(byte) = last.get_mut(depth / 8) {
        *byte |= 0xff >> (depth % 8);
    }
    let rest = last.len().min(depth / 8 + 1);
    last[rest..].fill(0xff);
    prefix..=last
}

/// The distance between a peer and a key, as Kademlia measures it.
pub(super) fn distance(peer: &PeerId, target: &kad::KBucketKey<Vec<u8>>) -> kad::KBucketDistance {
    kad::KBucketKey::from(*peer).distance(target)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMIT: usize = 20;

    fn peers(count: usize) -> NearestPeers {
        let mut peers = NearestPeers::default();
        (0..count).for_each(|_| peers.insert(PeerId::random()));
        peers
    }

    #[test]
    fn the_work_for_a_share_hardly_grows_with_the_number_of_peers() {
        let steps = |peers: &NearestPeers| {
            let searches = (0..100u8).map(|key| peers.search(&[key], LIMIT).steps);
            searches.sum::<usize>() / 100
        };
        let (few, many) = (peers(LIMIT / 2), peers(10_000));
        // All of the few are looked at, and of the many the closest and the way to them.
        assert!(steps(&many) < 6 * LIMIT, "{}", steps(&many));
        assert!(steps(&many) < 6 * steps(&few), "{} {}", steps(&many), steps(&few));
    }

    #[test]
    fn who_has_left_is_not_found() {
        let (mut peers, peer) = (NearestPeers::default(), PeerId::random());
        peers.insert(peer);
        peers.insert(peer);
        assert_eq!(peers.closest(b"key", LIMIT), [peer]);
        assert!(peers.remove(&peer) && !peers.remove(&peer));
        assert!(peers.closest(b"key", LIMIT).is_empty());
    }

    proptest! {
        #[test]
        fn the_closest_are_those_that_kademlia_calls_closest(
            count in 0..200usize, limit in 0..30usize, key in any::<[u8; 32]>(),
        ) {
            let peers = peers(count);
            let target = kad::KBucketKey::new(key.to_vec());
            let mut all: Vec<PeerId> = peers.iter().copied().collect();
            all.sort_by_key(|peer| distance(peer, &target));
            all.truncate(limit);
            prop_assert_eq!(peers.closest(&key, limit), all);
        }
    }
}
