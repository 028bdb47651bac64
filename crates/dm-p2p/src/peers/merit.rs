use std::{
    collections::{HashMap, HashSet},
    time::{Duration, Instant},
};

use libp2p::PeerId;

/// How long a peer counts as useful after it last was. Holders are challenged
/// several times within it.
const USEFUL_FOR: Duration = Duration::from_secs(24 * 60 * 60);
/// Useful peers that are remembered; the longest unused is forgotten.
const MAX_USEFUL: usize = 4096;

/// What a peer has shown so far. Where connections or streams are too many,
/// those of the least merit are closed first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Merit {
    /// It is new, or was not there for long.
    Unproven,
    /// It has answered for some time. An attacker gets so far by waiting.
    Steady,
    /// It is in the configuration, is the node of a contact, has proven to
    /// hold an object that is stored here, or has delivered what was asked of it.
    Useful,
}

/// How likely a peer is to take an object that it is offered, the likeliest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Prospect {
    /// It has shown something, or has been there for some time.
    Proven,
    /// It is new, and this node knows where to find it again.
    New,
    /// It is new and came by itself, and nobody knows where to find it again.
    Fleeting,
    /// It failed when it was last asked.
    Doubtful,
}

/// Remembers who is useful. Does no I/O.
pub(super) struct UsefulPeers {
    configured: HashSet<PeerId>,
    shown: HashMap<PeerId, Instant>,
}

impl UsefulPeers {
    /// The `configured` peers are useful whatever they do.
    pub(super) fn new(configured: HashSet<PeerId>) -> Self {
        Self {
            configured,
            shown: HashMap::new(),
        }
    }

    /// The peer has just been useful.
    pub(super) fn insert(&mut self, peer: PeerId, now: Instant) {
        if self.shown.len() >= MAX_USEFUL && !self.shown.contains_key(&peer) {
            let oldest = self.shown.iter().min_by_key(|(_, since)| **since);
            if let Some(oldest) = oldest.map(|(peer, _)| *peer) {
                self.shown.remove(&oldest);
            }
        }
        self.shown.insert(peer, now);
    }

    /// The peer has done harm: what it did before counts no more.
    pub(super) fn remove(&mut self, peer: &PeerId) {
        self.shown.remove(peer);
    }

    pub(super) fn contains(&self, peer: &PeerId, now: Instant) -> bool {
        let shown = self.shown.get(peer);
        self.configured.contains(peer) || shown.is_some_and(|since| now.duration_since(*since) < USEFUL_FOR)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_is_useful_for_a_day_and_a_configured_one_for_ever() {
        let (configured, shown, now) = (PeerId::random(), PeerId::random(), Instant::now());
        let mut useful = UsefulPeers::new(HashSet::from([configured]));
        useful.insert(shown, now);
        assert!(useful.contains(&shown, now) && useful.contains(&configured, now));
        assert!(!useful.contains(&PeerId::random(), now));
        let later = now + USEFUL_FOR;
        assert!(!useful.contains(&shown, later) && useful.contains(&configured, later));
        useful.insert(shown, later);
        useful.remove(&shown);
        assert!(!useful.contains(&shown, later));
    }

    #[test]
    fn the_number_of_useful_peers_is_bounded_and_the_oldest_goes_first() {
        let (first, now) = (PeerId::random(), Instant::now());
        let mut useful = UsefulPeers::new(HashSet::new());
        useful.insert(first, now);
        for n in 1..=MAX_USEFUL as u64 {
            useful.insert(PeerId::random(), now + Duration::from_millis(n));
        }
        assert_eq!(useful.shown.len(), MAX_USEFUL);
        assert!(!useful.contains(&first, now));
    }
}
