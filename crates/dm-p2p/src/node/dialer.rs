use std::time::{Duration, Instant};

use libp2p::{Multiaddr, PeerId};

use crate::{addresses::without_peer, initial_peers::DialTarget};

const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Decides when the initial peers are dialled: at the start, and with growing
/// pauses for as long as none of them is connected. Does no I/O.
pub(crate) struct Dialer {
    targets: Vec<DialTarget>,
    connected: Vec<PeerId>,
    next: Instant,
    pause: Duration,
}

impl Dialer {
    pub(crate) fn new(targets: Vec<DialTarget>, now: Instant) -> Self {
        Self {
            targets,
            connected: Vec::new(),
            next: now,
            pause: FIRST_PAUSE,
        }
    }

    /// The peers to dial now.
    pub(crate) fn due(&mut self, now: Instant) -> Vec<DialTarget> {
        if !self.connected.is_empty() || now < self.next {
            return Vec::new();
        }
        self.next = now + self.pause;
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        self.targets.clone()
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
        Dialer::new(vec![parse_initial_peer("127.0.0.1:9000").unwrap()], now)
    }

    #[test]
    fn pauses_between_attempts_grow_to_a_minute() {
        let mut now = Instant::now();
        let mut dialer = dialer(now);
        let mut pauses = Vec::new();
        for _ in 0..9 {
            assert_eq!(dialer.due(now).len(), 1);
            assert!(dialer.due(now).is_empty());
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
        dialer.due(now);
        dialer.connected(peer, Some(&"/ip4/127.0.0.1/tcp/9000".parse().unwrap()));
        assert!(dialer.due(later).is_empty());
        dialer.disconnected(&peer, later);
        assert!(dialer.due(later).is_empty());
        assert_eq!(dialer.due(later + FIRST_PAUSE).len(), 1);
    }

    #[test]
    fn a_connection_with_somebody_else_does_not_count() {
        let now = Instant::now();
        let mut dialer = dialer(now);
        dialer.connected(PeerId::random(), Some(&"/ip4/127.0.0.1/tcp/1".parse().unwrap()));
        dialer.connected(PeerId::random(), None);
        assert_eq!(dialer.due(now).len(), 1);
    }

    #[test]
    fn the_own_address_is_never_dialled_again() {
        let now = Instant::now();
        let mut dialer = dialer(now);
        dialer.is_self(&"/ip4/127.0.0.1/tcp/9000".parse().unwrap());
        assert!(dialer.due(now).is_empty());
    }
}
