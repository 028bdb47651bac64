//! What a part of the node counts of its own work, for whoever shows it. Noting something
//! costs some nanoseconds, waits for no lock and asks nobody; nothing of it survives a restart.

mod exemplar;

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

pub use self::exemplar::Exemplar;
use self::exemplar::ExemplarPlace;
use crate::span::{self, TraceContext};

/// Upper bounds in seconds for what a client waits for.
const SECONDS: [f64; 15] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0,
];
/// Upper bounds in seconds for what waits for a chain.
const LONG_SECONDS: [f64; 13] = [
    0.1, 0.5, 1.0, 2.5, 5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 900.0, 3600.0, 14_400.0,
];
/// Upper bounds for how many share something.
const GROUP_SIZES: [f64; 10] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0];

/// Counts since the start of the process.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Nothing was counted yet.
    pub const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// One more.
    pub fn increment(&self) {
        self.add(1);
    }

    /// So many more.
    pub fn add(&self, by: u64) {
        self.0.fetch_add(by, Ordering::Relaxed);
    }

    /// How many there have been.
    pub fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Counts values by their size since the start of the process.
#[derive(Debug)]
pub struct Histogram {
    bounds: &'static [f64],
    /// One for each bound, and one for what is above the last.
    counts: Box<[Counter]>,
    /// One for each count.
    exemplars: Box<[ExemplarPlace]>,
    /// The bits of a float.
    sum: AtomicU64,
}

impl Histogram {
    /// For durations from half a millisecond to a minute.
    pub fn of_seconds() -> Self {
        Self::new(&SECONDS)
    }

    /// For durations from a tenth of a second to four hours.
    pub fn of_long_seconds() -> Self {
        Self::new(&LONG_SECONDS)
    }

    /// For numbers from 1 to some hundred.
    pub fn of_group_sizes() -> Self {
        Self::new(&GROUP_SIZES)
    }

    fn new(bounds: &'static [f64]) -> Self {
        Self {
            bounds,
            counts: (0..=bounds.len()).map(|_| Counter::default()).collect(),
            exemplars: (0..=bounds.len()).map(|_| ExemplarPlace::default()).collect(),
            sum: AtomicU64::new(0f64.to_bits()),
        }
    }

    /// Counts a duration. Where it is part of a trace that is recorded, the trace is an example
    /// of it.
    pub fn took(&self, duration: Duration) {
        self.took_in(duration, span::recorded());
    }

    /// Counts a duration of which this trace is an example.
    pub fn took_in(&self, duration: Duration, trace: Option<TraceContext>) {
        let seconds = duration.as_secs_f64();
        self.note(seconds, 1);
        if let Some(trace) = trace {
            self.exemplify(seconds, trace);
        }
    }

    /// Says of which request a value is that was counted.
    pub fn exemplify(&self, value: f64, trace: TraceContext) {
        if let Some(place) = self.exemplars.get(self.bucket_of(value)) {
            place.offer(trace, value);
        }
    }

    /// Counts the same value so many times.
    pub fn note(&self, value: f64, times: u64) {
        if times == 0 {
            return;
        }
        if let Some(count) = self.counts.get(self.bucket_of(value)) {
            count.add(times);
        }
        let sum = |bits| Some((f64::from_bits(bits) + value * times as f64).to_bits());
        // It is never refused.
        let _ = self.sum.fetch_update(Ordering::Relaxed, Ordering::Relaxed, sum);
    }

    fn bucket_of(&self, value: f64) -> usize {
        self.bounds.partition_point(|bound| *bound < value)
    }

    /// What was counted.
    pub fn reading(&self) -> HistogramReading {
        let bounds = self.bounds.iter().copied().chain([f64::INFINITY]);
        HistogramReading {
            sum: f64::from_bits(self.sum.load(Ordering::Relaxed)),
            buckets: bounds.zip(self.counts.iter().map(Counter::value)).collect(),
            exemplars: self.exemplars.iter().map(ExemplarPlace::get).collect(),
        }
    }
}

/// What a [`Histogram`] has counted.
#[derive(Debug, Clone, PartialEq)]
pub struct HistogramReading {
    /// The sum of all values.
    pub sum: f64,
    /// Upper bounds, the last of which is infinite, and the number of values above the bound
    /// before and not above this one.
    pub buckets: Vec<(f64, u64)>,
    /// For each of these buckets an example of what is counted in it, where there is one.
    pub exemplars: Vec<Option<Exemplar>>,
}

impl HistogramReading {
    /// How many values there were.
    pub fn count(&self) -> u64 {
        self.buckets.iter().map(|(_, count)| count).sum()
    }
}

/// What a part counts that makes changes durable in groups.
#[derive(Debug)]
pub struct CommitMeter {
    /// How long commits took.
    pub seconds: Histogram,
    /// How many changes shared each.
    pub changes: Histogram,
    /// Commits that failed.
    pub failed: Counter,
}

impl Default for CommitMeter {
    fn default() -> Self {
        Self {
            seconds: Histogram::of_seconds(),
            changes: Histogram::of_group_sizes(),
            failed: Counter::default(),
        }
    }
}

impl CommitMeter {
    /// Counts a commit of so many changes.
    pub fn note(&self, changes: usize, took: Duration, succeeded: bool) {
        self.seconds.took(took);
        self.changes.note(changes as f64, 1);
        if !succeeded {
            self.failed.increment();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_counts_in_the_first_bucket_that_holds_it() {
        let sizes = Histogram::of_group_sizes();
        sizes.note(1.0, 1);
        sizes.note(3.0, 2);
        sizes.note(4.0, 1);
        sizes.note(1000.0, 1);
        sizes.note(7.0, 0);
        let reading = sizes.reading();
        assert_eq!(reading.count(), 5);
        assert_eq!(reading.sum, 1011.0);
        let filled: Vec<_> = reading.buckets.iter().filter(|(_, count)| *count > 0).collect();
        assert_eq!(filled, [&(1.0, 1), &(4.0, 3), &(f64::INFINITY, 1)]);
    }

    #[test]
    fn nothing_is_lost_where_many_count_at_once() {
        let meter = CommitMeter::default();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..1000).for_each(|_| meter.note(2, Duration::from_secs(1), false)));
            }
        });
        assert_eq!(meter.failed.value(), 4000);
        assert_eq!(meter.seconds.reading().sum, 4000.0);
        assert_eq!(meter.changes.reading().count(), 4000);
    }
}
