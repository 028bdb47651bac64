use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use libp2p::PeerId;

/// Peers that are remembered; the one that stalled longest ago is forgotten.
const MAX_PEERS: usize = 4096;

/// When streams with peers stalled. Of a peer that stops for a moment all streams stall,
/// however many there are: that is one stall. Does no I/O.
#[derive(Default)]
pub(super) struct Stalls {
    last: HashMap<PeerId, Instant>,
}

impl Stalls {
    /// A stream with the peer stalled, after nothing had moved for `timeout`; whether that is
    /// another stall than the last one.
    pub(super) fn is_new(&mut self, peer: PeerId, timeout: Duration, now: Instant) -> bool {
        let last = self.last.get(&peer);
        // Whatever was under way at the last one has ended after this time.
        if last.is_some_and(|last| now.duration_since(*last) < timeout) {
            return false;
        }
        if self.last.len() >= MAX_PEERS && last.is_none() {
            let oldest = self.last.iter().min_by_key(|(_, last)| **last);
            if let Some(oldest) = oldest.map(|(peer, _)| *peer) {
                self.last.remove(&oldest);
            }
        }
        self.last.insert(peer, now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(20);

    #[test]
    fn what_stalls_at_the_same_time_is_one_stall() {
        let (peer, other, now) = (PeerId::random(), PeerId::random(), Instant::now());
        let mut stalls = Stalls::default();
        assert!(stalls.is_new(peer, TIMEOUT, now));
        for _ in 0..12 {
            assert!(!stalls.is_new(peer, TIMEOUT, now));
        }
        assert!(!stalls.is_new(peer, TIMEOUT, now + TIMEOUT - Duration::from_millis(1)));
        assert!(stalls.is_new(other, TIMEOUT, now));
        assert!(stalls.is_new(peer, TIMEOUT, now + TIMEOUT), "it goes on");
    }

    #[test]
    fn the_number_of_remembered_peers_is_bounded() {
        let (first, now) = (PeerId::random(), Instant::now());
        let mut stalls = Stalls::default();
        stalls.is_new(first, TIMEOUT, now);
        for n in 1..=MAX_PEERS as u64 {
            stalls.is_new(PeerId::random(), TIMEOUT, now + Duration::from_millis(n));
        }
        assert_eq!(stalls.last.len(), MAX_PEERS);
        assert!(!stalls.last.contains_key(&first));
    }
}
