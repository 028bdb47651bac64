//! Peers of which others say that they hold an object. They are asked to prove
//! it, and count for nothing until they have.

use std::collections::{HashMap, HashSet, VecDeque};

use dm_core::envelope::ObjectId;

use super::{Peer, PeerKey};

/// Hints that are remembered; of more the newest are dropped.
const MAX_HINTS: usize = 4096;
/// Hints of one source that are remembered.
const MAX_OF_ONE: usize = 128;
/// Hints about one object that are remembered.
const MAX_ABOUT_ONE: usize = 16;

#[derive(Default)]
pub(super) struct Hints {
    waiting: VecDeque<Hint>,
    known: HashSet<(ObjectId, PeerKey)>,
    about: HashMap<ObjectId, usize>,
    from: HashMap<Option<PeerKey>, usize>,
}

struct Hint {
    object: ObjectId,
    peer: Peer,
    /// Who said it; `None` where the peer itself did when it was asked.
    source: Option<PeerKey>,
}

impl Hints {
    /// Takes note that a peer may hold an object; what exceeds a bound is dropped.
    pub(super) fn add(&mut self, object: ObjectId, peer: Peer, source: Option<PeerKey>) {
        let about = self.about.get(&object).copied().unwrap_or_default();
        let from = self.from.get(&source).copied().unwrap_or_default();
        let is_over = self.waiting.len() >= MAX_HINTS
            || about >= MAX_ABOUT_ONE
            || source.is_some() && from >= MAX_OF_ONE;
        if is_over || !self.known.insert((object, peer.key)) {
            return;
        }
        *self.about.entry(object).or_default() += 1;
        *self.from.entry(source).or_default() += 1;
        let hint = Hint { object, peer, source };
        // Who answered for itself is likelier to be right.
        if source.is_none() {
            self.waiting.push_front(hint);
        } else {
            self.waiting.push_back(hint);
        }
    }

    /// The next one that is to be asked.
    pub(super) fn next(&mut self) -> Option<(ObjectId, Peer)> {
        let hint = self.waiting.pop_front()?;
        self.known.remove(&(hint.object, hint.peer.key));
        subtract(&mut self.about, &hint.object);
        subtract(&mut self.from, &hint.source);
        Some((hint.object, hint.peer))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}

fn subtract<K: std::hash::Hash + Eq>(counts: &mut HashMap<K, usize>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use dm_core::{Address, hash::DataHash};

    use super::*;

    fn object(seed: u32) -> ObjectId {
        ObjectId {
            locator: DataHash::of(&seed.to_be_bytes()).locator(),
            owner: Address::ZERO,
        }
    }

    fn peer(index: u32) -> Peer {
        Peer::named(&index.to_string())
    }

    #[test]
    fn whatever_one_peer_says_it_fills_its_part_only() {
        let mut hints = Hints::default();
        let (liar, honest) = (Some(peer(0).key), Some(peer(1).key));
        for number in 0..100_000 {
            hints.add(object(number), peer(number), liar);
        }
        hints.add(object(7), peer(9), honest);
        let taken: Vec<_> = std::iter::from_fn(|| hints.next()).collect();
        assert_eq!(taken.len(), MAX_OF_ONE + 1);
        assert_eq!(taken.last(), Some(&(object(7), peer(9))));
        assert!(
            hints.is_empty() && hints.about.is_empty() && hints.from.is_empty() && hints.known.is_empty()
        );
    }

    #[test]
    fn the_hints_about_one_object_are_bounded() {
        let mut hints = Hints::default();
        for number in 0..1000 {
            hints.add(object(1), peer(number), Some(peer(number).key));
        }
        assert_eq!(std::iter::from_fn(|| hints.next()).count(), MAX_ABOUT_ONE);
    }

    #[test]
    fn who_answered_for_itself_is_asked_first() {
        let mut hints = Hints::default();
        hints.add(object(1), peer(1), Some(peer(9).key));
        hints.add(object(1), peer(2), None);
        hints.add(object(1), peer(2), Some(peer(9).key));
        assert_eq!(hints.next(), Some((object(1), peer(2))));
        assert_eq!(hints.next(), Some((object(1), peer(1))));
        assert_eq!(hints.next(), None);
    }
}
