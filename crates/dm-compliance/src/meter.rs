//! How long events waited for their anchors, and how many wait.

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use dm_core::{
    meter::{Counter, Histogram, HistogramReading},
    span::TraceContext,
};

/// Groups of events whose times are remembered until they are anchored. Later groups are
/// taken for a part of the last one: then a chain was away for long, and a group more or
/// less does not matter.
const MAX_GROUPS: usize = 4096;

/// Events that were recorded together and are not anchored.
#[derive(Debug)]
struct Group {
    first: u64,
    /// The position behind the last one.
    end: u64,
    recorded: Instant,
}

/// What the log of a node counts of its own work since the start of the process.
#[derive(Debug)]
pub(crate) struct LogMeter {
    waiting: Mutex<VecDeque<Group>>,
    to_anchor: Histogram,
    anchors: Counter,
}

impl Default for LogMeter {
    fn default() -> Self {
        Self {
            waiting: Mutex::default(),
            to_anchor: Histogram::of_long_seconds(),
            anchors: Counter::default(),
        }
    }
}

impl LogMeter {
    /// The log has grown from one size to another.
    pub(crate) fn recorded(&self, first: u64, end: u64, now: Instant) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let is_crowded = waiting.len() >= MAX_GROUPS;
        match waiting.back_mut() {
            Some(last) if is_crowded => last.end = end,
            _ => waiting.push_back(Group {
                first,
                end,
                recorded: now,
            }),
        }
    }

    /// An anchor covers the log up to this size.
    pub(crate) fn anchored(&self, size: u64, now: Instant) {
        self.anchors.increment();
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(group) = waiting.front_mut() {
            let covered = group.end.min(size).max(group.first);
            let took = now.saturating_duration_since(group.recorded);
            self.to_anchor.note(took.as_secs_f64(), covered - group.first);
            group.first = covered;
            if group.end > size {
                return;
            }
            waiting.pop_front();
        }
    }

    /// A request whose event has waited so long.
    pub(crate) fn note_example(&self, waited: Duration, trace: TraceContext) {
        self.to_anchor.exemplify(waited.as_secs_f64(), trace);
    }

    /// Another instance has anchored the log up to this size, and counts it.
    pub(crate) fn anchored_elsewhere(&self, size: u64) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.retain(|group| group.end > size);
    }

    /// How the log gets on, at these sizes.
    pub(crate) fn reading(&self, recorded: u64, anchored: u64) -> LogReading {
        LogReading {
            recorded,
            anchored,
            anchors: self.anchors.value(),
            to_anchor: self.to_anchor.reading(),
        }
    }
}

/// How the log of a node gets on.
#[derive(Debug, Clone, PartialEq)]
pub struct LogReading {
    /// Events that are recorded.
    pub recorded: u64,
    /// Those that are anchored.
    pub anchored: u64,
    /// Anchors that were made since the start of the process.
    pub anchors: u64,
    /// Seconds from the record of an event to its anchor, of what was recorded since the
    /// start of the process.
    pub to_anchor: HistogramReading,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_event_counts_with_the_time_that_it_has_waited() {
        let (meter, start) = (LogMeter::default(), Instant::now());
        let after = |secs| start + Duration::from_secs(secs);
        // Three events were there before, of which nobody knows how long they have waited.
        meter.recorded(3, 5, start);
        meter.recorded(5, 10, after(10));
        meter.anchored(3, after(11));
        assert_eq!(meter.reading(10, 3).to_anchor.count(), 0);
        meter.anchored(7, after(20));
        meter.anchored(10, after(40));
        let reading = meter.reading(10, 10);
        assert_eq!((reading.anchors, reading.to_anchor.count()), (3, 7));
        assert_eq!(reading.to_anchor.sum, 2.0 * 20.0 + 2.0 * 10.0 + 3.0 * 30.0);
    }

    #[test]
    fn a_chain_that_is_away_costs_no_memory_without_end() {
        let (meter, start) = (LogMeter::default(), Instant::now());
        (0..10_000).for_each(|size| meter.recorded(size, size + 1, start));
        assert_eq!(meter.waiting.lock().unwrap().len(), MAX_GROUPS);
        meter.anchored(10_000, start);
        assert_eq!(meter.reading(10_000, 10_000).to_anchor.count(), 10_000);
        assert!(meter.waiting.lock().unwrap().is_empty());
    }
}
