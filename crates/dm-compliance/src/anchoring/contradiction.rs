//! Telling a fork of the log from a chain that only seems to contradict it.

use std::time::Duration;

use dm_core::news::{News, SystemTrouble};
use tokio::time::Instant;

use super::{Anchorer, FIRST_PAUSE};
use crate::board::ChainState;

/// How long the chain must contradict the local log before it counts as a
/// fork: a reorganisation between two reads, or endpoints of which one lags a
/// block behind another, are over within a few blocks' time at most.
const LASTING: Duration = Duration::from_secs(5);
/// How many looks must have shown the contradiction, however slow they are.
const LOOKS: u32 = 3;

/// A contradiction that was seen and has not been resolved.
#[derive(Debug)]
pub(super) struct Contradiction {
    since: Instant,
    looks: u32,
}

impl Contradiction {
    fn new(now: Instant) -> Self {
        Self { since: now, looks: 0 }
    }

    /// Notes a look that showed it; whether it has lasted.
    fn seen(&mut self, now: Instant) -> bool {
        self.looks = self.looks.saturating_add(1);
        self.looks >= LOOKS && now.saturating_duration_since(self.since) >= LASTING
    }
}

impl Anchorer {
    /// Stops recording. A contradiction that lasts is reported as a fork; it is
    /// looked at all the same, in case the chain was wrong.
    pub(super) fn chain_contradicts(&mut self, reason: &str) {
        let now = Instant::now();
        if self.deps.board.set_chain(ChainState::Contradicts) {
            tracing::warn!(reason, "the chain contradicts the local log; looking again");
            self.pause = FIRST_PAUSE;
        }
        let contradiction = self.contradiction.get_or_insert_with(|| Contradiction::new(now));
        if contradiction.seen(now) && self.deps.board.fault().is_none() {
            self.report_fork(reason);
        }
    }

    /// Goes on where the chain had contradicted the local log.
    pub(super) fn chain_agrees(&mut self) {
        let fault = self.deps.board.set_agreed();
        if self.contradiction.take().is_some() || fault.is_some() {
            self.pause = FIRST_PAUSE;
            tracing::info!("the chain agrees with the local log again; events are recorded");
        }
    }

    fn report_fork(&self, reason: &str) {
        tracing::error!(reason, "the compliance log has forked; nothing more is recorded");
        self.deps.board.set_fault(reason);
        self.deps
            .bus
            .publish(News::SystemError(SystemTrouble::Compliance {
                error: reason.to_owned(),
            }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neither_many_quick_looks_nor_few_slow_ones_make_a_fork() {
        let start = Instant::now();
        let mut quick = Contradiction::new(start);
        assert!((0..100).all(|n| !quick.seen(start + Duration::from_millis(10 * n))));
        assert!(quick.seen(start + LASTING));

        let mut slow = Contradiction::new(start);
        assert!(!slow.seen(start));
        assert!(!slow.seen(start + 10 * LASTING));
        assert!(slow.seen(start + 20 * LASTING));
    }
}
