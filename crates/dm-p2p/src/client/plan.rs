use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use libp2p::PeerId;

/// Chunks that are asked for at once: 1 MiB.
const RUN: u32 = 4;
/// Chunks that may be on their way or wait for their turn: 12 MiB.
const WINDOW: u64 = 48;
/// A run that takes longer is also asked of another holder that has nothing
/// else to do.
const OVERTAKE_AFTER: Duration = Duration::from_secs(1);

/// Consecutive chunks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) first: u64,
    pub(crate) count: u32,
}

impl Run {
    fn indexes(self) -> std::ops::Range<u64> {
        self.first..self.first + u64::from(self.count)
    }
}

/// Decides which chunks are asked of whom, and puts them in order. Holders
/// come for more when they are ready, so that fast ones get more. Does no I/O
/// and is told the time.
pub(crate) struct Plan<T> {
    total: u64,
    /// Chunks that were handed on.
    delivered: u64,
    /// First chunk that nobody was asked for yet.
    next: u64,
    failed: Vec<Run>,
    flying: Vec<Flight>,
    ready: BTreeMap<u64, T>,
}

struct Flight {
    run: Run,
    holder: PeerId,
    since: Instant,
    overtaken: bool,
}

impl<T> Plan<T> {
    pub(crate) fn new(total: u64) -> Self {
        Self {
            total,
            delivered: 0,
            next: 0,
            failed: Vec::new(),
            flying: Vec::new(),
            ready: BTreeMap::new(),
        }
    }

    /// What to ask of a holder that is free.
    pub(crate) fn assign(&mut self, holder: PeerId, now: Instant) -> Option<Run> {
        let run = match self.take_failed().or_else(|| self.take_next()) {
            Some(run) => run,
            None => self.overtake(holder, now)?,
        };
        let overtaken = self.flying.iter().any(|flight| flight.run == run);
        self.flying.push(Flight {
            run,
            holder,
            since: now,
            overtaken,
        });
        Some(run)
    }

    /// A holder delivered a run.
    pub(crate) fn arrived(&mut self, holder: PeerId, run: Run, items: Vec<T>) {
        self.land(holder, run);
        for (index, item) in run.indexes().zip(items) {
            if index >= self.delivered {
                self.ready.entry(index).or_insert(item);
            }
        }
    }

    /// A holder did not deliver a run; somebody else has to.
    pub(crate) fn failed(&mut self, holder: PeerId, run: Run) {
        self.land(holder, run);
        let is_here = run
            .indexes()
            .all(|index| index < self.delivered || self.ready.contains_key(&index));
        let is_coming = self.flying.iter().any(|flight| flight.run == run);
        if !is_here && !is_coming {
            self.failed.push(run);
        }
    }

    /// Whether the next chunk in order is here.
    pub(crate) fn has_ready(&self) -> bool {
        self.ready.contains_key(&self.delivered)
    }

    /// The next chunk in order.
    pub(crate) fn take_ready(&mut self) -> Option<T> {
        let item = self.ready.remove(&self.delivered)?;
        self.delivered += 1;
        Some(item)
    }

    /// Whether everything was handed on.
    pub(crate) fn is_done(&self) -> bool {
        self.delivered == self.total
    }

    fn take_failed(&mut self) -> Option<Run> {
        let lowest = (0..self.failed.len()).min_by_key(|index| self.failed[*index].first)?;
        Some(self.failed.swap_remove(lowest))
    }

    /// The next run within the window; the first one is a single chunk, so
    /// that the reader has something soon.
    fn take_next(&mut self) -> Option<Run> {
        let end = self.total.min(self.delivered + WINDOW);
        let longest = if self.next == 0 { 1 } else { RUN };
        let count = end.saturating_sub(self.next).min(u64::from(longest)) as u32;
        let run = Run {
            first: self.next,
            count,
        };
        self.next += u64::from(count);
        (count > 0).then_some(run)
    }

    /// The first run that another holder is too slow with.
    fn overtake(&mut self, holder: PeerId, now: Instant) -> Option<Run> {
        let slow = self
            .flying
            .iter_mut()
            .filter(|flight| !flight.overtaken && flight.holder != holder)
            .filter(|flight| now.duration_since(flight.since) >= OVERTAKE_AFTER)
            .min_by_key(|flight| flight.run.first)?;
        slow.overtaken = true;
        Some(slow.run)
    }

    fn land(&mut self, holder: PeerId, run: Run) {
        self.flying
            .retain(|flight| flight.run != run || flight.holder != holder);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn items(run: Run) -> Vec<u64> {
        run.indexes().collect()
    }

    #[test]
    fn no_more_than_the_window_is_asked_for_ahead_of_the_reader() {
        let (now, holder) = (Instant::now(), PeerId::random());
        let mut plan = Plan::new(1000);
        let runs: Vec<Run> = std::iter::from_fn(|| plan.assign(holder, now)).collect();
        assert_eq!(runs.iter().map(|run| u64::from(run.count)).sum::<u64>(), WINDOW);
        assert_eq!(runs[0], Run { first: 0, count: 1 });
        plan.arrived(holder, runs[0], items(runs[0]));
        assert_eq!(plan.assign(holder, now), None, "the reader has not read yet");
        assert_eq!(plan.take_ready(), Some(0));
        assert_eq!(
            plan.assign(holder, now),
            Some(Run {
                first: WINDOW,
                count: 1
            })
        );
    }

    #[test]
    fn what_a_holder_does_not_deliver_is_asked_of_another_first() {
        let (now, bad, good) = (Instant::now(), PeerId::random(), PeerId::random());
        let mut plan: Plan<u64> = Plan::new(100);
        let run = plan.assign(bad, now).unwrap();
        plan.assign(bad, now).unwrap();
        plan.failed(bad, run);
        assert_eq!(plan.assign(good, now), Some(run));
    }

    #[test]
    fn a_stalled_holder_is_overtaken_once() {
        let (now, slow, fast) = (Instant::now(), PeerId::random(), PeerId::random());
        let mut plan = Plan::new(1);
        let run = plan.assign(slow, now).unwrap();
        assert_eq!(plan.assign(fast, now), None);
        let later = now + OVERTAKE_AFTER;
        assert_eq!(plan.assign(slow, later), None, "not by itself");
        assert_eq!(plan.assign(fast, later), Some(run));
        assert_eq!(plan.assign(PeerId::random(), later + OVERTAKE_AFTER), None);
        plan.arrived(fast, run, items(run));
        assert_eq!(plan.take_ready(), Some(0));
        plan.failed(slow, run);
        assert!(plan.is_done());
        assert_eq!(plan.assign(fast, later), None);
    }

    proptest! {
        /// Whatever holders do, what comes out is complete and in order as
        /// long as somebody delivers in the end.
        #[test]
        fn chunks_come_out_complete_and_in_order(
            total in 1u64..300,
            steps in prop::collection::vec((0usize..4, 0u8..4, 0usize..8), 0..400),
        ) {
            let holders: Vec<PeerId> = (0..4).map(|_| PeerId::random()).collect();
            let mut now = Instant::now();
            let mut plan = Plan::new(total);
            let mut flying: Vec<(PeerId, Run)> = Vec::new();
            let mut out = Vec::new();
            for (holder, action, pick) in steps {
                now += Duration::from_millis(300);
                match action {
                    0 | 1 => flying.extend(plan.assign(holders[holder], now).map(|run| (holders[holder], run))),
                    _ if flying.is_empty() => {}
                    2 => {
                        let (holder, run) = flying.swap_remove(pick % flying.len());
                        plan.arrived(holder, run, items(run));
                    }
                    _ => {
                        let (holder, run) = flying.swap_remove(pick % flying.len());
                        plan.failed(holder, run);
                    }
                }
                out.extend(std::iter::from_fn(|| plan.take_ready()));
                prop_assert!(plan.ready.len() as u64 <= WINDOW);
            }
            for (holder, run) in flying {
                plan.failed(holder, run);
            }
            while let Some(run) = plan.assign(holders[0], now) {
                plan.arrived(holders[0], run, items(run));
                out.extend(std::iter::from_fn(|| plan.take_ready()));
            }
            prop_assert!(plan.is_done());
            prop_assert_eq!(out, (0..total).collect::<Vec<_>>());
        }
    }
}
