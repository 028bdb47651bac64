//! Nonces that nobody uses, and that keep everything behind them out of the blocks.

use std::time::Duration;

use tokio::time::Instant;

/// A nonce that is missing for so long is filled.
const GAP_AFTER: Duration = Duration::from_secs(5);
/// Most missing nonces that are filled at a time.
const MAX_FILLED: u64 = 64;

/// Watches whether own transactions wait for one that is missing.
#[derive(Default)]
pub(super) struct Gap {
    since: Option<Instant>,
}

impl Gap {
    /// So many nonces were missing at a look; how many of them are to be filled now.
    pub(super) fn note(&mut self, missing: u64, now: Instant) -> Option<u64> {
        if missing == 0 {
            self.since = None;
            return None;
        }
        let since = *self.since.get_or_insert(now);
        if now.saturating_duration_since(since) < GAP_AFTER {
            return None;
        }
        self.since = Some(now);
        Some(missing.min(MAX_FILLED))
    }

    /// What is missing may come by itself, or the chain is another one.
    pub(super) fn forget(&mut self) {
        self.since = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_is_filled_when_it_has_lasted_and_not_before() {
        let (mut gap, now) = (Gap::default(), Instant::now());
        assert_eq!(gap.note(100, now), None);
        assert_eq!(gap.note(100, now + GAP_AFTER / 2), None);
        assert_eq!(gap.note(100, now + GAP_AFTER), Some(MAX_FILLED));
        assert_eq!(gap.note(3, now + GAP_AFTER), None, "the fillers are on their way");
        assert_eq!(gap.note(3, now + GAP_AFTER * 2), Some(3));
    }

    #[test]
    fn a_gap_that_closes_counts_no_more() {
        let (mut gap, now) = (Gap::default(), Instant::now());
        gap.note(1, now);
        gap.note(0, now + GAP_AFTER / 2);
        assert_eq!(gap.note(1, now + GAP_AFTER), None);
    }
}
