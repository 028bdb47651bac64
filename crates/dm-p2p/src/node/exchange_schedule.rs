use std::time::{Duration, Instant};

use libp2p::PeerId;

/// When a peer is asked for further peers, and which one. Does no I/O.
pub(super) struct ExchangeSchedule {
    interval: Duration,
    next: Instant,
    turn: usize,
}

impl ExchangeSchedule {
    pub(super) fn new(interval: Duration, now: Instant) -> Self {
        Self {
            interval,
            next: now + interval,
            turn: 0,
        }
    }

    /// The peer to ask now, if any; the connected peers take turns.
    pub(super) fn take_due(&mut self, connected: &[PeerId], now: Instant) -> Option<PeerId> {
        if now < self.next || connected.is_empty() {
            return None;
        }
        self.next = now + self.interval;
        self.turn = self.turn.wrapping_add(1);
        connected.get(self.turn % connected.len()).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn at_each_interval_another_peer_is_asked() {
        let now = Instant::now();
        let minute = Duration::from_secs(60);
        let peers: Vec<PeerId> = (0..3).map(|_| PeerId::random()).collect();
        let mut schedule = ExchangeSchedule::new(minute, now);
        assert_eq!(schedule.take_due(&peers, now), None);
        let asked: std::collections::HashSet<PeerId> = (1..=3)
            .map(|turn| {
                let peer = schedule.take_due(&peers, now + minute * turn).unwrap();
                assert_eq!(schedule.take_due(&peers, now + minute * turn), None);
                peer
            })
            .collect();
        assert_eq!(asked.len(), 3);
        assert_eq!(schedule.take_due(&[], now + minute * 9), None);
    }
}
