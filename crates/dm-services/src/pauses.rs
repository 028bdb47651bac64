//! What is tried again and again: when, and for how long.

use serde::{Deserialize, Serialize};

/// What has not succeeded after so long is given up, in milliseconds.
const GIVE_UP_AFTER: u64 = 30 * 24 * 3_600_000;

/// What was tried so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Attempts {
    /// When it began, in milliseconds since the Unix epoch.
    pub(crate) since: u64,
    /// Attempts that failed.
    pub(crate) failed: u32,
}

impl Attempts {
    /// Nothing was tried yet of what began at `since` (milliseconds since the Unix epoch).
    pub(crate) fn none(since: u64) -> Self {
        Self { since, failed: 0 }
    }

    /// Another attempt has failed at `now`; when the next one is due, after a pause that is
    /// longer each time.
    pub(crate) fn fail(&mut self, now: u64, pauses: (u64, u64)) -> u64 {
        let pause = pause_after(self.failed, pauses);
        self.failed = self.failed.saturating_add(1);
        now.saturating_add(pause)
    }

    /// When it is given up, in milliseconds since the Unix epoch.
    pub(crate) fn end(&self) -> u64 {
        self.since.saturating_add(GIVE_UP_AFTER)
    }
}

/// Milliseconds after so many attempts that failed before: twice as many each time, from the
/// first pause to the longest.
pub(crate) fn pause_after(failed: u32, (first, longest): (u64, u64)) -> u64 {
    first.saturating_mul(1 << failed.min(16)).min(longest)
}
