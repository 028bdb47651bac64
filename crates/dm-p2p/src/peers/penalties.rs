use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use libp2p::PeerId;

/// Points at which a peer is banned.
const MAX_POINTS: u32 = 6;
/// Peers whose points are remembered.
const MAX_REMEMBERED: usize = 4096;

/// How bad it is what a peer did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Offence {
    /// No honest peer does it: three of them are a ban.
    Breach,
    /// An honest peer may do it by accident, but not often: six are a ban.
    Nuisance,
}

impl Offence {
    fn points(self) -> u32 {
        match self {
            Self::Breach => 2,
            Self::Nuisance => 1,
        }
    }
}

/// Scores what peers did. Does no I/O.
pub(crate) struct Penalties {
    /// How long a ban lasts, and how long points are remembered.
    ban: Duration,
    points: HashMap<PeerId, (u32, Instant)>,
}

impl Penalties {
    /// `ban`: for how long a peer is ignored.
    pub(crate) fn new(ban: Duration) -> Self {
        Self {
            ban,
            points: HashMap::new(),
        }
    }

    /// Notes an offence; whether the peer is banned now.
    pub(crate) fn score(&mut self, peer: PeerId, offence: Offence, now: Instant) -> bool {
        if self.points.len() >= MAX_REMEMBERED {
            self.points
                .retain(|_, (_, last)| now.duration_since(*last) < self.ban);
        }
        if self.points.len() >= MAX_REMEMBERED && !self.points.contains_key(&peer) {
            self.forget_least();
        }
        let (points, last) = self.points.entry(peer).or_insert((0, now));
        if now.duration_since(*last) >= self.ban {
            *points = 0;
        }
        *points += offence.points();
        *last = now;
        *points >= MAX_POINTS
    }

    /// Many peers with few points do not hide one with many.
    fn forget_least(&mut self) {
        let least = self
            .points
            .iter()
            .min_by_key(|(_, (points, last))| (*points, *last));
        if let Some(least) = least.map(|(peer, _)| *peer) {
            self.points.remove(&least);
        }
    }

    /// Whether the last of too many offences is not long ago.
    pub(crate) fn is_banned(&self, peer: &PeerId, now: Instant) -> bool {
        self.points
            .get(peer)
            .is_some_and(|(points, last)| *points >= MAX_POINTS && now.duration_since(*last) < self.ban)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BAN: Duration = Duration::from_secs(600);

    #[test]
    fn a_ban_comes_after_some_offences_and_ends() {
        for (offence, allowed) in [(Offence::Breach, 2), (Offence::Nuisance, 5)] {
            let (peer, start) = (PeerId::random(), Instant::now());
            let mut penalties = Penalties::new(BAN);
            for _ in 0..allowed {
                assert!(!penalties.score(peer, offence, start));
            }
            assert!(!penalties.is_banned(&peer, start));
            assert!(penalties.score(peer, offence, start));
            assert!(penalties.is_banned(&peer, start));
            assert!(!penalties.is_banned(&peer, start + BAN));
            assert!(
                !penalties.score(peer, offence, start + BAN),
                "old points are forgotten"
            );
        }
    }

    #[test]
    fn the_memory_for_points_is_bounded() {
        let (mut penalties, banned, now) = (Penalties::new(BAN), PeerId::random(), Instant::now());
        while !penalties.score(banned, Offence::Breach, now) {}
        for _ in 0..MAX_REMEMBERED + 100 {
            penalties.score(PeerId::random(), Offence::Breach, now);
        }
        assert_eq!(penalties.points.len(), MAX_REMEMBERED);
        assert!(
            penalties.is_banned(&banned, now),
            "a flood of others does not free it"
        );
    }
}
