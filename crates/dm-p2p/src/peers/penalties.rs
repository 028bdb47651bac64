use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use libp2p::PeerId;

/// Points at which a peer is banned.
const MAX_POINTS: u32 = 6;
/// Stalls after which each one is a pause. An honest peer is busy for some time and then
/// answers; one that withholds goes on.
const STALLS_BEFORE_PAUSE: u32 = 3;
/// The first of these pauses; each one is twice as long as the one before, up to a ban.
const FIRST_PAUSE: Duration = Duration::from_secs(30);
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
    records: HashMap<PeerId, PenaltyRecord>,
}

/// What a peer did.
struct PenaltyRecord {
    /// Of breaches and nuisances.
    points: u32,
    stalls: u32,
    last: Instant,
    last_offence: String,
    /// Until when the peer is ignored.
    ignored_until: Instant,
}

/// What is held against a peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Standing {
    /// Those of offences, and one for each stall.
    pub(crate) points: u32,
    /// What it was last scored for.
    pub(crate) last_offence: String,
    /// For how long it is still ignored.
    pub(crate) banned_for: Option<Duration>,
}

impl Penalties {
    /// `ban`: for how long a peer is ignored.
    pub(crate) fn new(ban: Duration) -> Self {
        Self {
            ban,
            records: HashMap::new(),
        }
    }

    /// Notes an offence; whether the peer is banned because of it, and was not before.
    pub(crate) fn score(&mut self, peer: PeerId, offence: Offence, what: &str, now: Instant) -> bool {
        let ban = self.ban;
        self.note(peer, what, now, |record| {
            record.points += offence.points();
            if record.points >= MAX_POINTS {
                record.ignored_until = now + ban;
            }
        })
    }

    /// Notes that a peer stalled, once for all that stalled at the time; whether the peer is
    /// ignored because of it, and was not before.
    pub(crate) fn stall(&mut self, peer: PeerId, what: &str, now: Instant) -> bool {
        let ban = self.ban;
        self.note(peer, what, now, |record| {
            record.stalls += 1;
            if let Some(pauses) = record.stalls.checked_sub(STALLS_BEFORE_PAUSE) {
                let pause = FIRST_PAUSE.saturating_mul(1 << pauses.min(16)).min(ban);
                record.ignored_until = record.ignored_until.max(now + pause);
            }
        })
    }

    fn note(&mut self, peer: PeerId, what: &str, now: Instant, add: impl FnOnce(&mut PenaltyRecord)) -> bool {
        if self.records.len() >= MAX_REMEMBERED {
            let ban = self.ban;
            self.records.retain(|_, record| record.counts(ban, now));
        }
        if self.records.len() >= MAX_REMEMBERED && !self.records.contains_key(&peer) {
            self.forget_least();
        }
        let was_banned = self.is_banned(&peer, now);
        let held = self.records.remove(&peer);
        let held = held.filter(|record| record.counts(self.ban, now));
        let mut record = held.unwrap_or_else(|| PenaltyRecord::new(now));
        record.last = now;
        what.clone_into(&mut record.last_offence);
        add(&mut record);
        self.records.insert(peer, record);
        !was_banned && self.is_banned(&peer, now)
    }

    /// Many peers with few points do not hide one with many.
    fn forget_least(&mut self) {
        let least = self
            .records
            .iter()
            .min_by_key(|(_, record)| (record.total(), record.last));
        if let Some(least) = least.map(|(peer, _)| *peer) {
            self.records.remove(&least);
        }
    }

    /// Whether the last of too many offences is not long ago.
    pub(crate) fn is_banned(&self, peer: &PeerId, now: Instant) -> bool {
        self.standing(peer, now)
            .is_some_and(|standing| standing.banned_for.is_some())
    }

    /// What is held against a peer; `None` where that is nothing.
    pub(crate) fn standing(&self, peer: &PeerId, now: Instant) -> Option<Standing> {
        let record = self
            .records
            .get(peer)
            .filter(|record| record.counts(self.ban, now))?;
        let left = record.ignored_until.saturating_duration_since(now);
        Some(Standing {
            points: record.total(),
            last_offence: record.last_offence.clone(),
            banned_for: (!left.is_zero()).then_some(left),
        })
    }
}

impl PenaltyRecord {
    /// A peer that has done nothing yet.
    fn new(now: Instant) -> Self {
        Self {
            points: 0,
            stalls: 0,
            last: now,
            last_offence: String::new(),
            ignored_until: now,
        }
    }

    fn total(&self) -> u32 {
        self.points + self.stalls
    }

    /// Whether it is not forgotten yet.
    fn counts(&self, ban: Duration, now: Instant) -> bool {
        now.duration_since(self.last) < ban
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
                assert!(!penalties.score(peer, offence, "harm", start));
            }
            assert!(!penalties.is_banned(&peer, start));
            assert!(penalties.score(peer, offence, "harm", start));
            assert!(penalties.is_banned(&peer, start));
            assert!(!penalties.score(peer, offence, "harm", start), "it is one ban");
            assert!(!penalties.is_banned(&peer, start + BAN));
            assert!(
                !penalties.score(peer, offence, "harm", start + BAN),
                "old points are forgotten"
            );
        }
    }

    #[test]
    fn stalls_are_a_pause_that_grows_up_to_a_ban() {
        let (peer, mut now) = (PeerId::random(), Instant::now());
        let mut penalties = Penalties::new(BAN);
        for _ in 1..STALLS_BEFORE_PAUSE {
            assert!(!penalties.stall(peer, "stalled", now));
        }
        let mut pauses = Vec::new();
        for _ in 0..6 {
            assert!(penalties.stall(peer, "stalled", now));
            let standing = penalties.standing(&peer, now).unwrap();
            let pause = standing.banned_for.unwrap();
            pauses.push(pause.as_secs());
            assert!(penalties.is_banned(&peer, now + pause - Duration::from_millis(1)));
            now += pause - Duration::from_millis(1);
            assert!(!penalties.is_banned(&peer, now + Duration::from_millis(1)));
            now += Duration::from_millis(1);
        }
        assert_eq!(pauses, [30, 60, 120, 240, 480, 600]);
        assert!(
            !penalties.stall(peer, "stalled", now + BAN),
            "old stalls are forgotten"
        );
    }

    #[test]
    fn a_stall_is_no_step_to_the_ban_of_who_lies() {
        let (peer, now) = (PeerId::random(), Instant::now());
        let mut penalties = Penalties::new(BAN);
        for _ in 0..2 {
            penalties.score(peer, Offence::Breach, "lies", now);
            penalties.stall(peer, "stalled", now);
        }
        assert_eq!(penalties.standing(&peer, now).unwrap().points, 6);
        assert!(!penalties.is_banned(&peer, now));
        assert!(penalties.score(peer, Offence::Breach, "lies", now));
        penalties.stall(peer, "stalled", now);
        assert_eq!(
            penalties.standing(&peer, now).unwrap().banned_for,
            Some(BAN),
            "no pause shortens it"
        );
    }

    #[test]
    fn what_is_held_against_a_peer_says_what_and_for_how_long() {
        let (peer, start) = (PeerId::random(), Instant::now());
        let mut penalties = Penalties::new(BAN);
        assert_eq!(penalties.standing(&peer, start), None);
        penalties.score(peer, Offence::Nuisance, "slow", start);
        let standing = penalties.standing(&peer, start).unwrap();
        assert_eq!((standing.points, standing.banned_for), (1, None));
        for _ in 0..3 {
            penalties.score(peer, Offence::Breach, "lies", start);
        }
        let standing = penalties.standing(&peer, start + BAN / 3).unwrap();
        assert_eq!((standing.points, standing.last_offence.as_str()), (7, "lies"));
        assert_eq!(standing.banned_for, Some(BAN - BAN / 3));
        assert_eq!(penalties.standing(&peer, start + BAN), None);
    }

    #[test]
    fn the_memory_for_points_is_bounded() {
        let (mut penalties, banned, now) = (Penalties::new(BAN), PeerId::random(), Instant::now());
        while !penalties.score(banned, Offence::Breach, "harm", now) {}
        for _ in 0..MAX_REMEMBERED + 100 {
            penalties.score(PeerId::random(), Offence::Breach, "harm", now);
        }
        assert_eq!(penalties.records.len(), MAX_REMEMBERED);
        assert!(
            penalties.is_banned(&banned, now),
            "a flood of others does not free it"
        );
    }
}
