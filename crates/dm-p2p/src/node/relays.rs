use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

use libp2p::{Multiaddr, PeerId, multiaddr::Protocol};

use crate::addresses::peer_of;

/// Relays that a node looks for by itself.
const WANTED: usize = 2;
/// Peers that are remembered as relays.
const MAX_CANDIDATES: usize = 16;
/// Between two attempts to listen through relays.
const PAUSE: Duration = Duration::from_secs(2);

/// Decides through which relays this node listens: those that were set, and
/// where none was and others have found that they cannot reach it, peers that
/// offer it. Does no I/O.
pub(super) struct Relays {
    configured: Vec<Multiaddr>,
    /// Peers that relay, where this node is connected with them.
    candidates: Vec<(PeerId, Multiaddr)>,
    /// Relays through which it listens, or tries to.
    in_use: HashSet<PeerId>,
    /// What others found: whether they can reach this node.
    reachable: Option<bool>,
    next: Instant,
}

impl Relays {
    /// `configured`: addresses with peer ids.
    pub(super) fn new(configured: Vec<Multiaddr>, now: Instant) -> Self {
        Self {
            configured,
            candidates: Vec::new(),
            in_use: HashSet::new(),
            reachable: None,
            next: now,
        }
    }

    /// The addresses to listen on now; from here on their relays count as in use.
    pub(super) fn take_due(&mut self, now: Instant) -> Vec<Multiaddr> {
        if now < self.next {
            return Vec::new();
        }
        let wanted: Vec<Multiaddr> = if self.configured.is_empty() {
            self.candidates_to_use()
        } else {
            let unused = |relay: &&Multiaddr| peer_of(relay).is_some_and(|peer| !self.in_use.contains(&peer));
            self.configured.iter().filter(unused).cloned().collect()
        };
        if !wanted.is_empty() {
            self.next = now + PAUSE;
        }
        self.in_use.extend(wanted.iter().filter_map(peer_of));
        wanted
            .into_iter()
            .map(|relay| relay.with(Protocol::P2pCircuit))
            .collect()
    }

    fn candidates_to_use(&self) -> Vec<Multiaddr> {
        if self.reachable != Some(false) {
            return Vec::new();
        }
        let missing = WANTED.saturating_sub(self.in_use.len());
        let idle = self
            .candidates
            .iter()
            .filter(|(peer, _)| !self.in_use.contains(peer));
        idle.take(missing)
            .map(|(peer, address)| address.clone().with(Protocol::P2p(*peer)))
            .collect()
    }

    /// A connected peer relays for others.
    pub(super) fn add_candidate(&mut self, peer: PeerId, address: Multiaddr) {
        if self.candidates.len() < MAX_CANDIDATES && self.candidates.iter().all(|(known, _)| *known != peer) {
            self.candidates.push((peer, address));
        }
    }

    /// The last connection with a peer is gone.
    pub(super) fn disconnected(&mut self, peer: &PeerId) {
        self.candidates.retain(|(known, _)| known != peer);
    }

    /// This node does not listen through the relay of this address any more.
    pub(super) fn closed(&mut self, address: &Multiaddr) {
        if let Some(relay) = relay_of(address) {
            self.in_use.remove(&relay);
        }
    }

    /// Others have tested an address of this node: one that can be reached is
    /// enough, whatever comes of the others.
    pub(super) fn probed(&mut self, reachable: bool) {
        if self.reachable != Some(true) {
            self.reachable = Some(reachable);
        }
    }
}

/// The peer before the first `/p2p-circuit`.
fn relay_of(address: &Multiaddr) -> Option<PeerId> {
    let relay = address.iter().take_while(|part| *part != Protocol::P2pCircuit);
    peer_of(&relay.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(port: u16) -> Multiaddr {
        format!("/ip4/192.0.2.1/tcp/{port}").parse().unwrap()
    }

    fn circuit(peer: PeerId, port: u16) -> Multiaddr {
        place(port).with(Protocol::P2p(peer)).with(Protocol::P2pCircuit)
    }

    #[test]
    fn relays_that_were_set_are_used_and_tried_again_after_a_pause() {
        let (now, peer) = (Instant::now(), PeerId::random());
        let mut relays = Relays::new(vec![place(1).with(Protocol::P2p(peer))], now);
        assert_eq!(relays.take_due(now), [circuit(peer, 1)]);
        assert_eq!(relays.take_due(now + PAUSE), [], "it is in use");
        relays.closed(&circuit(peer, 1));
        assert_eq!(relays.take_due(now + PAUSE), [circuit(peer, 1)]);
        relays.closed(&circuit(peer, 1));
        assert_eq!(relays.take_due(now + PAUSE), [], "not without a pause");
        assert_eq!(relays.take_due(now + PAUSE * 2), [circuit(peer, 1)]);
    }

    #[test]
    fn only_who_cannot_be_reached_takes_peers_as_relays_and_not_many() {
        let now = Instant::now();
        let peers: Vec<PeerId> = (0..5).map(|_| PeerId::random()).collect();
        let mut relays = Relays::new(Vec::new(), now);
        for (port, peer) in (0..).zip(&peers) {
            relays.add_candidate(*peer, place(port));
        }
        assert_eq!(relays.take_due(now), []);
        relays.probed(true);
        relays.probed(false);
        assert_eq!(relays.take_due(now), [], "one way in is enough");
        let mut relays = Relays {
            reachable: None,
            ..relays
        };
        relays.probed(false);
        assert_eq!(relays.take_due(now), [circuit(peers[0], 0), circuit(peers[1], 1)]);
        relays.disconnected(&peers[0]);
        relays.closed(&circuit(peers[0], 0));
        assert_eq!(
            relays.take_due(now + PAUSE),
            [circuit(peers[2], 2)],
            "another takes its place"
        );
    }

    #[test]
    fn the_number_of_remembered_relays_is_bounded() {
        let mut relays = Relays::new(Vec::new(), Instant::now());
        for _ in 0..100 {
            relays.add_candidate(PeerId::random(), place(1));
        }
        assert_eq!(relays.candidates.len(), MAX_CANDIDATES);
    }
}
