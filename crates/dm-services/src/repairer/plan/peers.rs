use std::collections::HashMap;

use super::{PeerKey, RepairConfig};

/// Which peers can be reached. A peer of which nothing is known counts as
/// reachable until it turns out not to be.
#[derive(Default)]
pub(super) struct Peers {
    known: HashMap<PeerKey, State>,
}

#[derive(Clone, Copy)]
enum State {
    Up,
    Down {
        since: u64,
        /// When it is worth while to ask it all the same.
        probe: u64,
        failures: u32,
    },
}

/// What a peer was before it turned out to be reachable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Was {
    Up,
    Down,
    Unknown,
}

impl Peers {
    pub(super) fn is_up(&self, peer: PeerKey) -> bool {
        !matches!(self.known.get(&peer), Some(State::Down { .. }))
    }

    pub(super) fn up(&mut self, peer: PeerKey) -> Was {
        match self.known.insert(peer, State::Up) {
            Some(State::Up) => Was::Up,
            Some(State::Down { .. }) => Was::Down,
            None => Was::Unknown,
        }
    }

    /// Nothing is to be remembered of a peer that holds nothing and is away.
    pub(super) fn forget(&mut self, peer: PeerKey) {
        self.known.remove(&peer);
    }

    /// Whether that is new.
    pub(super) fn down(&mut self, peer: PeerKey, now: u64, config: &RepairConfig) -> bool {
        let is_new = self.is_up(peer);
        if is_new {
            let state = State::Down {
                since: now,
                probe: now + config.pause_after(1),
                failures: 1,
            };
            self.known.insert(peer, state);
        }
        is_new
    }

    /// The peer did not answer a challenge.
    pub(super) fn silent(&mut self, peer: PeerKey, now: u64, config: &RepairConfig) {
        let (since, failures) = match self.known.get(&peer) {
            Some(State::Down { since, failures, .. }) => (*since, failures.saturating_add(1)),
            Some(State::Up) | None => (now, 1),
        };
        let state = State::Down {
            since,
            probe: now + config.pause_after(failures),
            failures,
        };
        self.known.insert(peer, state);
    }

    /// Since when the peer is away.
    pub(super) fn down_since(&self, peer: PeerKey) -> Option<u64> {
        match self.known.get(&peer) {
            Some(State::Down { since, .. }) => Some(*since),
            Some(State::Up) | None => None,
        }
    }

    /// When a peer that is away is asked again.
    pub(super) fn next_probe(&self, peer: PeerKey) -> Option<u64> {
        match self.known.get(&peer) {
            Some(State::Down { probe, .. }) => Some(*probe),
            Some(State::Up) | None => None,
        }
    }

    /// Whether a peer that is away is to be asked now; one question at a time
    /// is enough, whatever the number of objects that it holds.
    pub(super) fn take_probe(&mut self, peer: PeerKey, now: u64, config: &RepairConfig) -> bool {
        match self.known.get_mut(&peer) {
            Some(State::Down { probe, failures, .. }) if *probe <= now => {
                *probe = now + config.pause_after(failures.saturating_add(1));
                true
            }
            _ => false,
        }
    }
}
