use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use libp2p::PeerId;

/// Strikes after which a peer is banned.
const STRIKES: u32 = 3;
/// How long a ban lasts, and how long a strike is remembered.
const BAN: Duration = Duration::from_secs(600);
/// Peers whose strikes are remembered.
const MAX_REMEMBERED: usize = 4096;

/// Counts what peers did that no honest peer does. Does no I/O.
#[derive(Default)]
pub(crate) struct Penalties {
    strikes: HashMap<PeerId, (u32, Instant)>,
}

impl Penalties {
    /// Notes a strike; whether the peer is banned now.
    pub(crate) fn strike(&mut self, peer: PeerId, now: Instant) -> bool {
        if self.strikes.len() >= MAX_REMEMBERED {
            self.strikes
                .retain(|_, (_, last)| now.duration_since(*last) < BAN);
        }
        if self.strikes.len() >= MAX_REMEMBERED && !self.strikes.contains_key(&peer) {
            return false;
        }
        let (count, last) = self.strikes.entry(peer).or_insert((0, now));
        if now.duration_since(*last) >= BAN {
            *count = 0;
        }
        *count += 1;
        *last = now;
        *count >= STRIKES
    }

    /// Whether the last of too many strikes is not long ago.
    pub(crate) fn is_banned(&self, peer: &PeerId, now: Instant) -> bool {
        self.strikes
            .get(peer)
            .is_some_and(|(count, last)| *count >= STRIKES && now.duration_since(*last) < BAN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ban_comes_after_some_strikes_and_ends() {
        let (peer, start) = (PeerId::random(), Instant::now());
        let mut penalties = Penalties::default();
        for _ in 1..STRIKES {
            assert!(!penalties.strike(peer, start));
        }
        assert!(!penalties.is_banned(&peer, start));
        assert!(penalties.strike(peer, start));
        assert!(penalties.is_banned(&peer, start));
        assert!(!penalties.is_banned(&peer, start + BAN));
        assert!(!penalties.strike(peer, start + BAN), "old strikes are forgotten");
    }

    #[test]
    fn the_memory_for_strikes_is_bounded() {
        let mut penalties = Penalties::default();
        for _ in 0..MAX_REMEMBERED + 100 {
            penalties.strike(PeerId::random(), Instant::now());
        }
        assert_eq!(penalties.strikes.len(), MAX_REMEMBERED);
    }
}
