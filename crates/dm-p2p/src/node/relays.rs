use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

use libp2p::{Multiaddr, PeerId, multiaddr::Protocol};

/// Relays that a node looks for by itself.
const ENOUGH: usize = 2;
/// Peers that are remembered as relays.
const MAX_VOLUNTEERS: usize = 16;
/// Between two attempts to listen through relays.
const PAUSE: Duration = Duration::from_secs(5);

/// Decides through which relays this node listens: those that were set, and
/// where none was and others have found that they cannot reach it, peers that
/// offer it. Does no I/O.
pub(super) struct Relays {
    set: Vec<Multiaddr>,
    /// Peers that relay, where this node is connected with them.
    volunteers: Vec<(PeerId, Multiaddr)>,
    /// Relays through which it listens, or tries to.
    used: HashSet<PeerId>,
    /// What others found: whether they can reach this node.
    reached: Option<bool>,
    next: Instant,
}

impl Relays {
    /// `set`: addresses with peer ids.
    pub(super) fn new(set: Vec<Multiaddr>, now: Instant) -> Self {
        Self {
            set,
            volunteers: Vec::new(),
            used: HashSet::new(),
            reached: None,
            next: now,
        }
    }

    /// The addresses to listen on now.
    pub(super) fn due(&mut self, now: Instant) -> Vec<Multiaddr> {
        if now < self.next {
            return Vec::new();
        }
        let wanted: Vec<Multiaddr> = if self.set.is_empty() {
            self.volunteers_to_ask()
        } else {
            let unused = |relay: &&Multiaddr| peer_of(relay).is_some_and(|peer| !self.used.contains(&peer));
            self.set.iter().filter(unused).cloned().collect()
        };
        if !wanted.is_empty() {
            self.next = now + PAUSE;
        }
        self.used.extend(wanted.iter().filter_map(peer_of));
        wanted
            .into_iter()
            .map(|relay| relay.with(Protocol::P2pCircuit))
            .collect()
    }

    fn volunteers_to_ask(&self) -> Vec<Multiaddr> {
        if self.reached != Some(false) {
            return Vec::new();
        }
        let missing = ENOUGH.saturating_sub(self.used.len());
        let idle = self
            .volunteers
            .iter()
            .filter(|(peer, _)| !self.used.contains(peer));
        idle.take(missing)
            .map(|(peer, address)| address.clone().with(Protocol::P2p(*peer)))
            .collect()
    }

    /// A connected peer relays for others.
    pub(super) fn volunteers(&mut self, peer: PeerId, address: Multiaddr) {
        if self.volunteers.len() < MAX_VOLUNTEERS && self.volunteers.iter().all(|(known, _)| *known != peer) {
            self.volunteers.push((peer, address));
        }
    }

    /// The last connection with a peer is gone.
    pub(super) fn disconnected(&mut self, peer: &PeerId) {
        self.volunteers.retain(|(known, _)| known != peer);
    }

    /// This node does not listen through the relay of this address any more.
    pub(super) fn closed(&mut self, address: &Multiaddr) {
        if let Some(relay) = relay_of(address) {
            self.used.remove(&relay);
        }
    }

    /// Others have tested an address of this node: one that can be reached is
    /// enough, whatever comes of the others.
    pub(super) fn tested(&mut self, reached: bool) {
        if self.reached != Some(true) {
            self.reached = Some(reached);
        }
    }
}

fn peer_of(relay: &Multiaddr) -> Option<PeerId> {
    match relay.iter().last() {
        Some(Protocol::P2p(peer)) => Some(peer),
        _ => None,
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
        assert_eq!(relays.due(now), [circuit(peer, 1)]);
        assert_eq!(relays.due(now + PAUSE), [], "it is in use");
        relays.closed(&circuit(peer, 1));
        assert_eq!(relays.due(now + PAUSE), [circuit(peer, 1)]);
        relays.closed(&circuit(peer, 1));
        assert_eq!(relays.due(now + PAUSE), [], "not without a pause");
        assert_eq!(relays.due(now + PAUSE * 2), [circuit(peer, 1)]);
    }

    #[test]
    fn only_who_cannot_be_reached_takes_peers_as_relays_and_not_many() {
        let now = Instant::now();
        let peers: Vec<PeerId> = (0..5).map(|_| PeerId::random()).collect();
        let mut relays = Relays::new(Vec::new(), now);
        for (port, peer) in (0..).zip(&peers) {
            relays.volunteers(*peer, place(port));
        }
        assert_eq!(relays.due(now), []);
        relays.tested(true);
        relays.tested(false);
        assert_eq!(relays.due(now), [], "one way in is enough");
        let mut relays = Relays {
            reached: None,
            ..relays
        };
        relays.tested(false);
        assert_eq!(relays.due(now), [circuit(peers[0], 0), circuit(peers[1], 1)]);
        relays.disconnected(&peers[0]);
        relays.closed(&circuit(peers[0], 0));
        assert_eq!(
            relays.due(now + PAUSE),
            [circuit(peers[2], 2)],
            "another takes its place"
        );
    }

    #[test]
    fn the_number_of_remembered_relays_is_bounded() {
        let mut relays = Relays::new(Vec::new(), Instant::now());
        for _ in 0..100 {
            relays.volunteers(PeerId::random(), place(1));
        }
        assert_eq!(relays.volunteers.len(), MAX_VOLUNTEERS);
    }
}
