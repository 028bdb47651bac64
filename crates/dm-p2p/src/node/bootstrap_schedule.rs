use std::time::{Duration, Instant};

use libp2p::{Multiaddr, PeerId};

use crate::{addresses::without_peer, initial_peers::DialTarget};

const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// When the initial peers are dialled: at the start, and with growing pauses for
/// as long as none of them is connected, or too few peers are. Does
/// no I/O.
pub(crate) struct BootstrapSchedule {
    targets: Vec<DialTarget>,
    /// Connected peers that are enough.
    enough: usize,
    connected: Vec<PeerId>,
    next: Instant,
    pause: Duration,
}

impl BootstrapSchedule {
    pub(crate) fn new(targets: Vec<DialTarget>, enough: usize, now: Instant) -> Self {
        Self {
            targets: merged(targets),
            enough,
            connected: Vec::new(),
            next: now,
            pause: FIRST_PAUSE,
        }
    }

    /// Whether a node with this many connected peers is to look for more now.
    pub(crate) fn is_due(&self, peers: usize, now: Instant) -> bool {
        let has_enough = peers >= self.enough && (self.targets.is_empty() || !self.connected.is_empty());
        !has_enough && now >= self.next
    }

    /// The node looks for peers now: the next attempt comes after a longer pause.
    pub(crate) fn attempted(&mut self, now: Instant) {
        self.next = now + self.pause;
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
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

    /// The address turned out to be this node's own: it is not dialled again.
    pub(crate) fn remove_own_address(&mut self, address: &Multiaddr) {
        let address = without_peer(address);
        self.targets.retain(|target| !target.addresses.contains(&address));
    }
}

/// One target for each peer that is named, with all its addresses: while a peer is dialled, no
/// other dial of it begins, so that its first address alone would be tried.
fn merged(targets: Vec<DialTarget>) -> Vec<DialTarget> {
    let mut merged: Vec<DialTarget> = Vec::with_capacity(targets.len());
    for target in targets {
        let known = merged
            .iter_mut()
            .find(|known| known.peer.is_some() && known.peer == target.peer);
        match known {
            Some(known) => known.addresses.extend(target.addresses),
            None => merged.push(target),
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::initial_peers::parse_initial_peer;

    fn schedule(now: Instant) -> BootstrapSchedule {
        BootstrapSchedule::new(vec![parse_initial_peer("127.0.0.1:9000").unwrap()], 3, now)
    }

    fn due(schedule: &mut BootstrapSchedule, peers: usize, now: Instant) -> usize {
        if !schedule.is_due(peers, now) {
            return 0;
        }
        schedule.attempted(now);
        schedule.missing().len()
    }

    #[test]
    fn pauses_between_attempts_grow_to_a_minute() {
        let mut now = Instant::now();
        let mut schedule = schedule(now);
        let mut pauses = Vec::new();
        for _ in 0..9 {
            assert_eq!(due(&mut schedule, 0, now), 1);
            assert_eq!(due(&mut schedule, 0, now), 0);
            let pause = schedule.next - now;
            pauses.push(pause.as_secs());
            now += pause;
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
    }

    #[test]
    fn all_addresses_of_a_peer_are_tried_in_one_dial() {
        let peer = PeerId::random();
        let entry = |port: u16| parse_initial_peer(&format!("/ip4/127.0.0.1/tcp/{port}/p2p/{peer}")).unwrap();
        let stranger = parse_initial_peer("127.0.0.1:9000").unwrap();
        let targets = vec![entry(9001), stranger.clone(), entry(9002), stranger.clone()];
        let schedule = BootstrapSchedule::new(targets, 3, Instant::now());
        let both = DialTarget {
            peer: Some(peer),
            addresses: [entry(9001).addresses, entry(9002).addresses].concat(),
        };
        assert_eq!(schedule.missing(), [both, stranger.clone(), stranger]);
    }

    #[test]
    fn a_connected_initial_peer_is_not_dialled_until_it_is_lost() {
        let now = Instant::now();
        let later = now + Duration::from_secs(3600);
        let (mut schedule, peer) = (schedule(now), PeerId::random());
        due(&mut schedule, 0, now);
        schedule.connected(peer, Some(&"/ip4/127.0.0.1/tcp/9000".parse().unwrap()));
        assert_eq!(due(&mut schedule, 3, later), 0);
        schedule.disconnected(&peer, later);
        assert_eq!(due(&mut schedule, 0, later), 0);
        assert_eq!(due(&mut schedule, 0, later + FIRST_PAUSE), 1);
    }

    #[test]
    fn below_three_peers_a_node_looks_for_more_although_an_initial_one_is_connected() {
        let now = Instant::now();
        let mut schedule = schedule(now);
        schedule.connected(
            PeerId::random(),
            Some(&"/ip4/127.0.0.1/tcp/9000".parse().unwrap()),
        );
        assert!(schedule.is_due(2, now));
        schedule.attempted(now);
        assert!(!schedule.is_due(2, now), "not without a pause");
        assert!(schedule.is_due(2, now + LONGEST_PAUSE));
        schedule.attempted(now + LONGEST_PAUSE);
        assert!(!schedule.is_due(3, now + LONGEST_PAUSE * 2), "three are enough");
    }

    #[test]
    fn a_connection_with_somebody_else_does_not_count() {
        let now = Instant::now();
        let mut schedule = schedule(now);
        schedule.connected(PeerId::random(), Some(&"/ip4/127.0.0.1/tcp/1".parse().unwrap()));
        schedule.connected(PeerId::random(), None);
        assert_eq!(due(&mut schedule, 5, now), 1);
    }

    #[test]
    fn the_own_address_is_never_dialled_again() {
        let now = Instant::now();
        let mut schedule = schedule(now);
        schedule.remove_own_address(&"/ip4/127.0.0.1/tcp/9000".parse().unwrap());
        assert_eq!(due(&mut schedule, 0, now), 0);
    }
}
