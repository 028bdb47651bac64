//! When the chain is looked at, and what the last looks have shown.

use std::time::Duration;

use alloy::primitives::B256;
use dm_core::ports::ChainError;
use tokio::time::Instant;

use super::{ChainSnapshot, SnapshotQuery};

/// Pause before the first look after something changed; each further one is
/// twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(2);
/// Looks are rarer by this factor where only reorganisations are waited for.
const CALM: u32 = 16;
/// Pause between two looks where nothing is waited for: they only show whether
/// the chain is still the same one.
const IDLE_PAUSE: Duration = Duration::from_secs(30);

/// What the next look may show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Awaited {
    /// Only whether the chain is still the same one.
    Nothing,
    /// That a reorganisation took something back, or that it is final.
    Finality,
    /// That a block has something.
    Blocks,
}

/// What is known of the chain, and when it is looked at next.
pub(super) struct Watch {
    /// Longest pause between two looks while something waits for a block.
    poll_interval: Duration,
    /// Number of looks that were begun.
    round: u64,
    is_running: bool,
    /// What the look under way is for.
    asked: SnapshotQuery,
    /// The block that shows whether the chain was reorganised.
    mark: Option<(u64, B256)>,
    next: Instant,
    pause: Duration,
    /// Why the last look failed: the next one waits, whoever wants it.
    failure: Option<String>,
    /// A look has succeeded since the last one that failed.
    has_seen: bool,
    height: u64,
    count: u64,
    final_count: Option<u64>,
    /// The last look gave no nonces to those that wait for some.
    is_fruitless: bool,
}

impl Watch {
    pub(super) fn new(poll_interval: Duration, now: Instant) -> Self {
        Self {
            poll_interval,
            round: 0,
            is_running: false,
            asked: SnapshotQuery::default(),
            mark: None,
            next: now,
            pause: FIRST_PAUSE,
            failure: None,
            has_seen: false,
            height: 0,
            count: 0,
            final_count: None,
            is_fruitless: false,
        }
    }

    /// Whether transactions may be given to the chain: after an outage another
    /// one may stand in its place.
    pub(super) fn may_send(&self) -> bool {
        self.has_seen
    }

    /// Nothing is given to the chain before the next look.
    pub(super) fn hold_sends(&mut self) {
        self.has_seen = false;
    }

    /// Why the last look failed.
    pub(super) fn failure(&self) -> Option<&str> {
        self.failure.as_deref()
    }

    /// Number of the newest block at the last look.
    pub(super) fn height(&self) -> u64 {
        self.height
    }

    /// Transactions of the account that were mined at the last look.
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// The account's count at the height that counts as final, where the last
    /// look asked for it.
    pub(super) fn final_count(&self) -> Option<u64> {
        self.final_count
    }

    /// Number of the look that was begun last.
    pub(super) fn round(&self) -> u64 {
        self.round
    }

    /// Whether the last look gave no nonces to those that wait for some. Another one does
    /// not either, before something changes.
    pub(super) fn is_fruitless(&self) -> bool {
        self.is_fruitless
    }

    pub(super) fn set_fruitless(&mut self, is_fruitless: bool) {
        self.is_fruitless = is_fruitless;
    }

    /// Nothing is waited for, so the next look has time.
    pub(super) fn rest(&mut self, now: Instant) {
        self.next = now + IDLE_PAUSE;
    }

    /// Something changed that a look will show.
    pub(super) fn hasten(&mut self, now: Instant) {
        self.pause = FIRST_PAUSE;
        self.next = self.next.min(now + FIRST_PAUSE);
    }

    /// When a look is due; `None` where one is under way.
    pub(super) fn next_look(&self) -> Option<Instant> {
        (!self.is_running).then_some(self.next)
    }

    /// Whether a look is to begin now; where one is wanted, before its time.
    pub(super) fn is_due(&self, is_wanted: bool, now: Instant) -> bool {
        let is_at_once = is_wanted && self.failure.is_none();
        self.next_look().is_some_and(|at| is_at_once || at <= now)
    }

    /// A look begins. The mark is the newest block that has something of the account.
    pub(super) fn begin(&mut self, query: SnapshotQuery, mark: Option<(u64, B256)>) {
        self.round += 1;
        self.is_running = true;
        self.asked = query;
        self.mark = mark;
    }

    /// What the look under way is for.
    pub(super) fn asked(&self) -> SnapshotQuery {
        self.asked
    }

    /// The look has found this; whether the chain has mined something of the account.
    pub(super) fn note_head(&mut self, snapshot: &ChainSnapshot) -> bool {
        self.failure = None;
        self.height = snapshot.height;
        snapshot.count > self.count
    }

    /// The chain is the account's, so what the look has found of it counts.
    pub(super) fn believe(&mut self, snapshot: &ChainSnapshot) {
        self.has_seen = true;
        self.count = snapshot.count;
        self.final_count = snapshot.count_at.filter(|_| self.asked.count_at.is_some());
    }

    /// Whether the chain has another block in the place of one that was seen.
    pub(super) fn is_reorganised(&self, snapshot: &ChainSnapshot) -> bool {
        self.mark.is_some_and(|(number, hash)| match snapshot.block {
            Some(found) => found != hash,
            // A node that lags says nothing of that block.
            None => snapshot.height >= number,
        })
    }

    /// The look has failed.
    pub(super) fn fail(&mut self, error: &ChainError) {
        self.failure = Some(error.to_string());
        self.has_seen = false;
    }

    /// The look has ended, with all that was asked for after it.
    pub(super) fn end(&mut self, awaited: Awaited, now: Instant) {
        self.is_running = false;
        self.next = match awaited {
            Awaited::Nothing if self.failure.is_none() => now + IDLE_PAUSE,
            _ => now + self.pause,
        };
        let longest = match awaited {
            Awaited::Blocks => self.poll_interval,
            Awaited::Nothing | Awaited::Finality => self.poll_interval * CALM,
        };
        self.pause = (self.pause * 2).min(longest);
    }

    /// Nothing is known of a chain that began anew.
    pub(super) fn forget_chain(&mut self) {
        (self.mark, self.height, self.count, self.final_count) = (None, 0, 0, None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLL: Duration = Duration::from_millis(500);

    fn look(watch: &mut Watch, awaited: Awaited, now: Instant) -> Duration {
        watch.begin(SnapshotQuery::default(), None);
        assert_eq!(watch.next_look(), None, "one look at a time");
        watch.end(awaited, now);
        watch.next_look().unwrap() - now
    }

    #[test]
    fn pauses_grow_to_what_is_awaited() {
        for (awaited, longest) in [
            (Awaited::Blocks, POLL),
            (Awaited::Finality, POLL * CALM),
            (Awaited::Nothing, IDLE_PAUSE),
        ] {
            let now = Instant::now();
            let mut watch = Watch::new(POLL, now);
            let pauses: Vec<_> = (0..20).map(|_| look(&mut watch, awaited, now)).collect();
            assert!(pauses.is_sorted(), "{awaited:?}");
            assert_eq!(pauses.last(), Some(&longest), "{awaited:?}");
        }
    }

    #[test]
    fn after_a_failure_even_a_wanted_look_waits_and_nothing_is_sent() {
        let now = Instant::now();
        let mut watch = Watch::new(POLL, now);
        watch.begin(SnapshotQuery::default(), None);
        watch.believe(&ChainSnapshot::default());
        assert!(watch.may_send());
        watch.fail(&ChainError::Unavailable("away".to_owned()));
        watch.end(Awaited::Nothing, now);
        assert!(!watch.may_send() && !watch.is_due(true, now));
        assert!(watch.is_due(false, now + FIRST_PAUSE));
    }

    #[test]
    fn only_another_block_or_none_at_a_height_that_is_reached_is_a_reorganisation() {
        let mut watch = Watch::new(POLL, Instant::now());
        let seen = B256::repeat_byte(1);
        watch.begin(SnapshotQuery::default(), Some((10, seen)));
        for (height, block, is_reorganised) in [
            (12, Some(seen), false),
            (9, None, false),
            (10, None, true),
            (12, Some(B256::repeat_byte(2)), true),
        ] {
            let snapshot = ChainSnapshot {
                height,
                block,
                ..ChainSnapshot::default()
            };
            assert_eq!(watch.is_reorganised(&snapshot), is_reorganised, "{snapshot:?}");
        }
    }
}
