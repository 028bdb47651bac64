//! Whether the head of the chain moves.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use dm_core::ports::ChainHead;

/// When the head was seen to move.
#[derive(Debug, Default)]
pub(crate) struct HeadWatch(Mutex<Option<SeenHead>>);

#[derive(Debug, Clone, Copy)]
pub(crate) struct SeenHead {
    head: ChainHead,
    /// When it was seen first and last, in milliseconds since the Unix epoch.
    first: u64,
    pub(crate) last: u64,
}

impl HeadWatch {
    /// This is the head now.
    pub(crate) fn note(&self, head: ChainHead, now: u64) {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let first = seen
            .filter(|seen| seen.head == head)
            .map_or(now, |seen| seen.first);
        *seen = Some(SeenHead {
            head,
            first,
            last: now,
        });
    }

    /// The head that was seen last.
    pub(crate) fn get(&self) -> Option<SeenHead> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The head that has stood still for longer than `patience`, and since when.
    pub(crate) fn standing(&self, patience: Duration, now: u64) -> Option<(u64, u64)> {
        let seen = self.get()?;
        // A block may have been old when it was first seen.
        let since = seen.first.min(seen.head.timestamp.saturating_mul(1000));
        let stood = Duration::from_millis(now.saturating_sub(since));
        (stood > patience).then_some((seen.head.number, since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(60);

    fn block(number: u64, timestamp: u64) -> ChainHead {
        ChainHead { number, timestamp }
    }

    #[test]
    fn a_head_that_moves_does_not_stand_still() {
        let watch = HeadWatch::default();
        for minute in 1..10 {
            watch.note(block(minute, minute * 60), minute * 60_000);
            assert_eq!(watch.standing(PATIENCE, minute * 60_000 + 1000), None);
        }
    }

    #[test]
    fn a_head_stands_still_since_its_own_time() {
        let watch = HeadWatch::default();
        for second in 100..=170 {
            watch.note(block(7, 95), second * 1000);
        }
        assert_eq!(watch.standing(PATIENCE, 154_000), None);
        assert_eq!(watch.standing(PATIENCE, 170_000), Some((7, 95_000)));
        watch.note(block(8, 170), 170_000);
        assert_eq!(watch.standing(PATIENCE, 171_000), None);
    }
}
