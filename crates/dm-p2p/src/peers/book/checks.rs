//! Who is asked whether he is still there, and when; who is forgotten.

use dm_core::peer::PeerRecord;
use libp2p::{Multiaddr, PeerId};

use super::{PeerBook, PeerEntry, is_steady};
use crate::wire::Hint;

/// Checks without an answer after which a connection counts as dead.
const SILENT_CHECKS: u32 = 3;
/// Milliseconds until a peer that was here and is away is dialled for the second time: most
/// that come back were away for a moment. The pauses grow from there.
const FIRST_REDIAL: u64 = 2000;
/// Milliseconds after which a peer that came back counts as one that stays.
const STAYS_AFTER: u64 = 10_000;
/// A peer that does not answer is dialled less and less often: after at most so many intervals.
const LONGEST_REDIAL: u64 = 64;

/// When peers are checked and removed from the book, in milliseconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PeerBookConfig {
    /// Between two checks of a peer that answers.
    pub(crate) check_interval: u64,
    /// A peer that has been away this long and mostly failed is forgotten.
    pub(crate) forget_after: u64,
}

/// What a check needs to have done.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Check {
    /// The peer is away: dial it.
    Dial(PeerId, Vec<Multiaddr>),
    /// The connection stands and nobody answers on it: close it.
    Close(PeerId),
}

impl PeerBook {
    /// Notes which connected peers have answered since their last check, and
    /// says whom to dial, at most `dials` peers, and whose connection to
    /// close. Those that are due longest come first.
    pub(crate) fn due_checks(&mut self, config: &PeerBookConfig, dials: usize, now: u64) -> Vec<Check> {
        let mut due: Vec<(u64, PeerId)> = self
            .entries
            .iter()
            .filter(|(_, entry)| entry.next_check <= now || entry.has_stayed(now))
            .map(|(peer, entry)| (entry.next_check, *peer))
            .collect();
        due.sort_unstable();
        let mut checks = Vec::new();
        let mut dials_left = dials;
        for (_, peer) in due {
            let Some(entry) = self.entries.get_mut(&peer) else {
                continue;
            };
            if entry.connected {
                checks.extend(entry.check_connected(peer, config, now));
            } else if dials_left > 0 {
                dials_left -= 1;
                checks.push(entry.check_away(peer, config, now));
            } else {
                continue;
            }
            self.changed.insert(peer);
        }
        checks
    }

    /// Peers that are away, steady ones before others and those that were seen
    /// last first: whom to dial by a node that has lost its network.
    pub(crate) fn best_disconnected(&self, limit: usize) -> Vec<(PeerId, Vec<Multiaddr>)> {
        let mut away: Vec<_> = self
            .entries
            .iter()
            .filter(|(_, entry)| !entry.connected)
            .collect();
        away.sort_by_key(|(_, entry)| {
            let record = &entry.record;
            (entry.failing, !is_steady(record), u64::MAX - record.last_seen)
        });
        away.truncate(limit);
        away.into_iter()
            .map(|(peer, entry)| (*peer, entry.addresses()))
            .collect()
    }

    /// Removes who has been away for long and mostly failed.
    pub(crate) fn forget_dead(&mut self, config: &PeerBookConfig, now: u64) {
        let dead: Vec<PeerId> = self
            .entries
            .iter()
            .filter(|(_, entry)| entry.is_dead(config, now))
            .map(|(peer, _)| *peer)
            .collect();
        for peer in dead {
            self.remove(&peer);
        }
    }

    /// Peers that are connected, or answered when they were last asked, which
    /// was not long ago.
    pub(crate) fn reachable(&self, now: u64) -> Vec<PeerId> {
        let is_reachable = |entry: &PeerEntry| {
            let answered = now.saturating_sub(entry.record.last_seen) < PeerRecord::HEALTHY_FOR;
            entry.connected || (entry.failing == 0 && answered)
        };
        let entries = self.entries.iter().filter(|(_, entry)| is_reachable(entry));
        entries.map(|(peer, _)| *peer).collect()
    }

    /// Whether a peer is connected.
    pub(crate) fn has_connected(&self) -> bool {
        self.entries.values().any(|entry| entry.connected)
    }

    /// Healthy peers that others may want to meet, the last seen first.
    pub(crate) fn hints(&self, limit: usize, now: u64) -> Vec<Hint> {
        let mut healthy: Vec<_> = self
            .entries
            .iter()
            .filter(|(_, entry)| entry.record.is_healthy(now))
            .collect();
        healthy.sort_by_key(|(_, entry)| u64::MAX - entry.record.last_seen);
        let hints = healthy.into_iter().map(|(peer, entry)| Hint {
            peer: *peer,
            addresses: entry.addresses(),
        });
        hints
            .filter(|hint| !hint.addresses.is_empty())
            .take(limit)
            .collect()
    }
}

impl PeerEntry {
    /// An answer to a ping since the last check is a success, none is a failure.
    fn check_connected(&mut self, peer: PeerId, config: &PeerBookConfig, now: u64) -> Option<Check> {
        let answered = self.answered > self.checked;
        self.checked = now;
        self.next_check = now + config.check_interval;
        if answered {
            self.succeeded(self.answered);
            self.redials = 0;
            return None;
        }
        self.failed();
        (self.failing >= SILENT_CHECKS).then_some(Check::Close(peer))
    }

    /// Whether the peer came back some time ago, and is still dialled ever more rarely when it
    /// goes.
    fn has_stayed(&self, now: u64) -> bool {
        self.connected && self.redials > 0 && now.saturating_sub(self.connected_at) >= STAYS_AFTER
    }

    /// That the dial fails is noted when it does.
    fn check_away(&mut self, peer: PeerId, config: &PeerBookConfig, now: u64) -> Check {
        self.checked = now;
        self.next_check = now + self.redial_pause(config);
        self.redials = self.redials.saturating_add(1);
        Check::Dial(peer, self.addresses())
    }

    /// Until the next dial, by the dials so far. Exchanges that failed say nothing: there may
    /// have been many at the same time. No two nodes dial a peer that they lost together at
    /// the same moment again and again.
    fn redial_pause(&self, config: &PeerBookConfig) -> u64 {
        let was_here = self.answered > 0;
        let first = if was_here {
            FIRST_REDIAL.min(config.check_interval)
        } else {
            config.check_interval
        };
        let longest = config.check_interval.saturating_mul(LONGEST_REDIAL);
        let pause = first.saturating_mul(1 << self.redials.min(32)).min(longest);
        rand::random_range(pause - pause / 4..=pause + pause / 4)
    }

    fn is_dead(&self, config: &PeerBookConfig, now: u64) -> bool {
        !self.connected
            && now.saturating_sub(self.record.last_seen) >= config.forget_after
            && self.record.failures > self.record.successes
    }

    fn addresses(&self) -> Vec<Multiaddr> {
        let addresses = self.record.addresses.iter();
        addresses.filter_map(|address| address.parse().ok()).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    const MINUTE: u64 = 60_000;
    const RULES: PeerBookConfig = PeerBookConfig {
        check_interval: MINUTE,
        forget_after: 24 * 60 * MINUTE,
    };

    fn address() -> Multiaddr {
        "/ip4/127.0.0.1/tcp/1".parse().unwrap()
    }

    fn record(book: &PeerBook) -> dm_core::peer::PeerRecord {
        book.statuses(0)[0].1.record.clone()
    }

    fn knows(book: &PeerBook, peer: &PeerId) -> bool {
        book.entries.contains_key(peer)
    }

    #[test]
    fn only_healthy_peers_with_an_address_are_named() {
        let (healthy, nowhere, failing) = (PeerId::random(), PeerId::random(), PeerId::random());
        let mut book = PeerBook::default();
        book.connected(healthy, Some(&address()), 1);
        book.connected(nowhere, None, 1);
        book.connected(failing, Some(&address()), 1);
        for _ in 0..3 {
            book.failed(failing, 1);
        }
        let named: Vec<PeerId> = book.hints(9, 2).into_iter().map(|hint| hint.peer).collect();
        assert_eq!(named, [healthy]);
    }

    #[test]
    fn a_peer_that_answers_pings_is_healthy_and_one_that_does_not_is_closed() {
        let peer = PeerId::random();
        let mut book = PeerBook::default();
        book.connected(peer, None, 1);
        for minute in 1..=10 {
            book.answered_ping(&peer, Duration::from_millis(1), minute * MINUTE - 1);
            assert_eq!(book.due_checks(&RULES, 9, minute * MINUTE), []);
        }
        assert_eq!((record(&book).successes, record(&book).failures), (10, 0));
        let silent: Vec<Check> = (11..=13)
            .flat_map(|minute| book.due_checks(&RULES, 9, minute * MINUTE))
            .collect();
        assert_eq!(silent, [Check::Close(peer)]);
        assert_eq!(record(&book).failures, 3);
    }

    /// Dials the peer so often, each time as soon as that is due; the pauses in between, in
    /// milliseconds.
    fn pauses_between_dials(book: &mut PeerBook, peer: PeerId, mut now: u64, dials: usize) -> Vec<u64> {
        let mut pauses = Vec::new();
        for _ in 0..dials {
            assert_eq!(
                book.due_checks(&RULES, 1, now),
                [Check::Dial(peer, book.addresses(&peer))]
            );
            assert_eq!(book.due_checks(&RULES, 1, now), []);
            book.failed(peer, now);
            let next = book.entries[&peer].next_check;
            pauses.push(next - now);
            now = next;
        }
        pauses
    }

    fn assert_about(pauses: &[u64], expected: &[u64]) {
        assert_eq!(pauses.len(), expected.len());
        for (pause, expected) in pauses.iter().zip(expected) {
            let about = expected - expected / 4..=expected + expected / 4;
            assert!(about.contains(pause), "{pauses:?}, and not {expected}");
        }
    }

    #[test]
    fn who_is_lost_is_dialled_at_once_and_soon_again_and_then_ever_more_rarely() {
        let peer = PeerId::random();
        let mut book = PeerBook::default();
        book.connected(peer, Some(&address()), 1);
        // It was asked much when it stopped answering.
        for _ in 0..12 {
            book.failed(peer, 4);
        }
        book.disconnected(&peer, 5);
        let pauses = pauses_between_dials(&mut book, peer, 5, 14);
        let seconds = [2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 3840, 3840, 3840];
        assert_about(&pauses, &seconds.map(|seconds| seconds * 1000));
    }

    #[test]
    fn who_comes_and_goes_is_dialled_ever_more_rarely_until_it_stays() {
        let peer = PeerId::random();
        let mut book = PeerBook::default();
        let mut now = 1;
        book.connected(peer, Some(&address()), now);
        let mut pauses = Vec::new();
        for _ in 0..5 {
            book.disconnected(&peer, now);
            now = book.entries[&peer].next_check;
            assert_eq!(book.due_checks(&RULES, 1, now).len(), 1);
            let next = book.entries[&peer].next_check;
            pauses.push(next - now);
            now += 1;
            book.connected(peer, Some(&address()), now);
        }
        assert_about(&pauses, &[2, 4, 8, 16, 32].map(|seconds| seconds * 1000));

        now += STAYS_AFTER;
        assert_eq!(book.due_checks(&RULES, 1, now), [], "it is still here");
        book.disconnected(&peer, now);
        assert_about(&pauses_between_dials(&mut book, peer, now, 2), &[2000, 4000]);
    }

    #[test]
    fn who_was_not_here_since_the_start_is_dialled_at_the_interval_first() {
        let mut earlier = PeerBook::default();
        let peer = PeerId::random();
        earlier.connected(peer, Some(&address()), 1);
        let mut book = PeerBook::new(earlier.take_changes().updated);
        let minutes = [1, 2, 4, 8, 16, 32, 64, 64];
        let pauses = pauses_between_dials(&mut book, peer, 5, 8);
        assert_about(&pauses, &minutes.map(|minutes| minutes * MINUTE));
    }

    #[test]
    fn those_that_wait_longest_are_dialled_first() {
        let peers: Vec<PeerId> = (0..5).map(|_| PeerId::random()).collect();
        let mut book = PeerBook::default();
        for (now, peer) in (10..).zip(&peers) {
            book.connected(*peer, None, 0);
            book.disconnected(peer, now);
        }
        let dialled: Vec<Check> = (0..3).flat_map(|_| book.due_checks(&RULES, 2, 100)).collect();
        let expected: Vec<Check> = peers.iter().map(|peer| Check::Dial(*peer, vec![])).collect();
        assert_eq!(dialled, expected);
    }

    #[test]
    fn who_is_dead_for_a_day_and_mostly_failed_is_forgotten() {
        let (dead, reliable, connected) = (PeerId::random(), PeerId::random(), PeerId::random());
        let mut book = PeerBook::default();
        for peer in [dead, reliable, connected] {
            book.connected(peer, None, 0);
            book.failed(peer, 1);
        }
        book.succeeded(reliable, 1);
        book.disconnected(&dead, 1);
        book.disconnected(&reliable, 1);
        book.forget_dead(&RULES, RULES.forget_after);
        assert!(knows(&book, &dead), "a day has not passed");
        book.forget_dead(&RULES, RULES.forget_after + 1);
        assert!(!knows(&book, &dead) && knows(&book, &reliable) && knows(&book, &connected));
        assert_eq!(book.take_changes().removed, [dead.to_base58()]);
    }

    proptest! {
        /// Whatever happens, health is what the interface says, each peer is
        /// checked at its interval, and nobody is dialled while connected.
        #[test]
        fn health_follows_from_the_history_alone(steps in prop::collection::vec((0..6u8, 0..3usize, 0..90_000u64), 1..120)) {
            let peers: Vec<PeerId> = (0..3).map(|_| PeerId::random()).collect();
            let mut book = PeerBook::default();
            let mut model = [(0u64, 0u64, None::<u64>); 3];
            let mut now = 1;
            for (step, index, pause) in steps {
                now += pause;
                let (peer, expected) = (peers[index], &mut model[index]);
                match step {
                    0 => { book.connected(peer, None, now); expected.2 = Some(now); }
                    1 => { book.disconnected(&peer, now); expected.2 = expected.2.map(|_| now); }
                    2 => { book.succeeded(peer, now); expected.0 += 1; expected.2 = Some(now); }
                    3 => { book.failed(peer, now); expected.1 += 1; expected.2 = expected.2.or(Some(0)); }
                    4 if expected.2.is_some() => { book.answered_ping(&peer, Duration::ZERO, now); expected.2 = Some(now); }
                    _ => {
                        for check in book.due_checks(&RULES, 3, now) {
                            if let Check::Dial(peer, _) = check {
                                prop_assert!(!book.entries[&peer].connected);
                            }
                        }
                        // What the checks counted is part of the history.
                        for (peer, expected) in peers.iter().zip(&mut model) {
                            if let Some(entry) = book.entries.get(peer) {
                                expected.0 = entry.record.successes;
                                expected.1 = entry.record.failures;
                            }
                        }
                    }
                }
                for (_, status) in book.statuses(now) {
                    let index = peers.iter().position(|peer| peer.to_base58() == status.record.peer_id).unwrap();
                    let (successes, failures, last) = model[index];
                    let recent = now - last.unwrap_or(0) < 5 * MINUTE;
                    let mostly = successes + failures < 3 || successes * 2 > successes + failures;
                    prop_assert_eq!(status.healthy, recent && mostly);
                }
            }
        }
    }
}
