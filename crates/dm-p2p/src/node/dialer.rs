use std::time::{Duration, Instant};

use libp2p::{Multiaddr, PeerId};

use crate::{addresses::without_peer, initial_peers::DialTarget};

const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Decides when the initial peers are dialled: at the start, and with growing
/// pauses for as long as none of them is connected, or too few peers are. Does
/// no I/O.
pub(crate) struct Dialer {
    targets: Vec<DialTarget>,
    /// Connected peers that are enough.
    enough: usize,
    connected: Vec<PeerId>,
    next: Instant,
    pause: Duration,
}

impl Dialer {
    pub(crate) fn new(targets: Vec<DialTarget>, enough: usize, now: Instant) -> Self {
        Self {
            targets,
            enough,
            connected: Vec::new(),
            next: now,
            pause: FIRST_PAUSE,
        }
    }

    /// Whether a node with this many connected peers is to look for more now.
    pub(crate) fn is_due(&mut self, peers: usize, now: Instant) -> bool {
        let has_enough = peers >= self.enough && (self.targets.is_empty() || !self.connected.is_empty());
        if has_enough || now < self.next {
            return false;
        }
        self.next = now + self.pause;
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        true
    }

    /// The initial peers that are not connected.
    pub(crate) fn missing(&self) -> Vec<DialTarget> {
        let is_missing =
            |target: &&DialTarget| target.peer.is_none_or(|peer| !self.connected.contains(&peer));
        self.targets.iter().filter(is_missing).cloned().collect()
    }

    /// A connection stands; `dialled` where this node opened it.
    pub(crate) fn connected(&mut self, peer: PeerId, dialled: Option<&Multiaddr>) {
        let dialled = dialled.map(without_peer);
        let target = self.targets.iter_mut().find(|target| {
            target.peer == Some(peer)
                || dialled
                    .as_ref()
                    .is_some_and(|address| target.addresses.contains(address))
        });
        let Some(target) = target else {
            return;
        };
        target.peer = Some(peer);
        if !self.connected.contains(&peer) {
            self.connected.push(peer);
        }
        self.pause = FIRST_PAUSE;
    }

    /// The last connection with a peer is gone.
    pub(crate) fn disconnected(&mut self, peer: &PeerId, now: Instant) {
        self.connected.retain(|connected| connected != peer);
        if self.connected.is_empty() {
            self.next = now + self.pause;
        }
    }

    /// The address turned out to be this node's own.
    pub(crate) fn is_self(&mut self, address: &Multiaddr) {
        let address = without_peer(address);
        self.targets.retain(|target| !target.addresses.contains(&address));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::initial_peers::parse_initial_peer;

    fn dialer(now: Instant) -> Dialer {
        Dialer::new(vec![parse_initial_peer("127.0.0.1:9000").unwrap()], 3, now)
    }

    fn due(dialer: &mut Dialer, peers: usize, now: Instant) -> usize {
        if dialer.is_due(peers, now) {
            dialer.missing().len()
        } else {
            0
        }
    }

    #[test]
    fn pauses_between_attempts_grow_to_a_minute() {
        let mut now = Instant::now();
        let mut dialer = dialer(now);
        let mut pauses = Vec::new();
        for _ in 0..9 {
            assert_eq!(due(&mut dialer, 0, now), 1);
            assert_eq!(due(&mut dialer, 0, now), 0);
            let pause = dialer.next - now;
            pauses.push(pause.as_secs());
            now += pause;
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
    }

    #[test]
    fn a_connected_initial_peer_is_not_dialled_until_it_is_lost() {
        let now = Instant::now();
        let later = now + Duration::from_secs(3600);
        let (mut dialer, peer) = (dialer(now), PeerId::random());
        due(&mut dialer, 0, now);
        dialer.connected(peer, Some(&"/ip4/127.0.0.1/tcp/9000".parse().unwrap()));
        assert_eq!(due(&mut dialer, 3, later), 0);
        dialer.disconnected(&peer, later);
        assert_eq!(due(&mut dialer, 0, later), 0);
        assert_eq!(due(&mut dialer, 0, later + FIRST_PAUSE), 1);
    }

    #[test]
    fn below_three_peers_a_node_looks_for_more_although_an_initial_one_is_connected() {
        let now = Instant::now();
        let mut dialer = dialer(now);
        dialer.connected(
            PeerId::random(),
            Some(&"/ip4/127.0.0.1/tcp/9000".parse().unwrap()),
        );
        assert!(dialer.is_due(2, now));
        assert!(!dialer.is_due(2, now), "not without a pause");
        assert!(dialer.is_due(2, now + LONGEST_PAUSE));
        assert!(!dialer.is_due(3, now + LONGEST_PAUSE * 2), "three are enough");
    }

    #[test]
    fn a_connection_with_somebody_else_does_not_count() {
        let now = Instant::now();
        let mut dialer = dialer(now);
        dialer.connected(PeerId::random(), Some(&"/ip4/127.0.0.1/tcp/1".parse().unwrap()));
        dialer.connected(PeerId::random(), None);
        assert_eq!(due(&mut dialer, 5, now), 1);
    }

    #[test]
    fn the_own_address_is_never_dialled_again() {
        let now = Instant::now();
        let mut dialer = dialer(now);
        dialer.is_self(&"/ip4/127.0.0.1/tcp/9000".parse().unwrap());
        assert_eq!(due(&mut dialer, 0, now), 0);
    }
}
