//! Parts of the key space of the DHT in which the same peers are closest.

use libp2p::PeerId;
use sha2::{Digest, Sha256};

/// Peers that are asked for a key: k of Kademlia.
pub(super) const CLOSEST: usize = 20;

/// The first bits of the place of a key: enough to tell regions apart in any network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct KeyBits(u64);

impl KeyBits {
    /// Where Kademlia puts a key.
    pub(super) fn of(key: &[u8]) -> Self {
        let digest = Sha256::digest(key);
        let (first, _) = digest.as_chunks::<8>();
        Self(first.first().map_or(0, |first| u64::from_be_bytes(*first)))
    }

    /// How many leading bits two places have in common.
    fn in_common(self, other: Self) -> u32 {
        (self.0 ^ other.0).leading_zeros()
    }
}

/// The keys that begin as one of them does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Region {
    of: KeyBits,
    bits: u32,
}

impl Region {
    /// The region around a key for which these peers are closest.
    ///
    /// All peers that have more bits in common with the key than the farthest of these are
    /// among them, so they are the closest ones of all keys that have these bits in common
    /// as well. Where there are no others (`are_everybody`), the region is the whole space.
    pub(super) fn around(of: KeyBits, closest: &[PeerId], are_everybody: bool) -> Self {
        let places = closest.iter().map(|peer| KeyBits::of(&peer.to_bytes()));
        let farthest = places.map(|place| of.in_common(place)).min();
        let bits = match farthest {
            Some(farthest) if !are_everybody => (farthest + 1).min(u64::BITS),
            _ => 0,
        };
        Self { of, bits }
    }

    pub(super) fn contains(&self, key: KeyBits) -> bool {
        self.of.in_common(key) >= self.bits
    }
}

#[cfg(test)]
mod tests {
    use std::cmp::Reverse;

    use super::*;

    fn closest(peers: &[PeerId], key: KeyBits) -> Vec<PeerId> {
        let mut peers = peers.to_vec();
        peers.sort_by_key(|peer| KeyBits::of(&peer.to_bytes()).0 ^ key.0);
        peers.truncate(CLOSEST);
        peers
    }

    #[test]
    fn a_network_that_is_known_as_a_whole_is_one_region() {
        let peers: Vec<PeerId> = (0..CLOSEST - 1).map(|_| PeerId::random()).collect();
        let region = Region::around(KeyBits(1), &peers, true);
        assert!(region.contains(KeyBits(u64::MAX)));
    }

    /// A reader asks the peers closest to a key first: those have been told.
    #[test]
    fn the_peers_closest_to_each_key_of_a_region_are_those_of_the_region() {
        let peers: Vec<PeerId> = (0..2000).map(|_| PeerId::random()).collect();
        let mut met = 0;
        for region in 0..50u64 {
            let of = KeyBits::of(&region.to_be_bytes());
            let told = closest(&peers, of);
            let region = Region::around(of, &told, false);
            let mut keys: Vec<KeyBits> = (0..20_000u64)
                .map(|key| KeyBits::of(&key.to_be_bytes()))
                .collect();
            keys.retain(|key| region.contains(*key));
            keys.sort_by_key(|key| Reverse(key.0));
            assert!(!keys.is_empty());
            for key in keys.iter().take(5) {
                let asked = closest(&peers, *key);
                let known = asked.iter().filter(|peer| told.contains(peer)).count();
                assert!(told.contains(&asked[0]), "the closest one");
                met += known;
            }
        }
        assert!(met >= 250 * CLOSEST * 3 / 5, "{met} of {}", 250 * CLOSEST);
    }
}
