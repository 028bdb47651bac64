use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use libp2p::PeerId;

use super::speeds::Speeds;

/// Chunks that are asked of a holder whose speed is not known yet: 1 MiB.
const RUN: u32 = 4;
/// Most chunks that are asked for at once: 3 MiB. More would not be faster,
/// and more would be lost with a holder that fails.
const LONGEST_RUN: u32 = 12;
/// How long a holder shall work on a run, by its measured speed.
const RUN_TIME: Duration = Duration::from_millis(300);
/// Chunks that may be on their way or wait for their turn: 12 MiB.
const WINDOW: u64 = 48;
/// A run that takes longer is also asked of another holder that has nothing
/// else to do.
const OVERTAKE_AFTER: Duration = Duration::from_secs(1);
/// A run is also asked of another holder that has nothing else to do where
/// that one would be this much sooner, by the measured speeds of both.
const HEAD_START: f64 = 2.0;

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
/// come for more when they are ready, and those that were measured to be fast
/// get longer runs; what a slow one has not delivered is asked of a faster one
/// that has nothing else to do. Does no I/O and is told the time.
pub(crate) struct Plan<T> {
    total: u64,
    /// Chunks that were handed on.
    delivered: u64,
    /// First chunk that nobody was asked for yet.
    next: u64,
    failed: Vec<Run>,
    flying: Vec<Flight>,
    ready: BTreeMap<u64, T>,
    speeds: Speeds,
}

struct Flight {
    run: Run,
    holder: PeerId,
    since: Instant,
    overtaken: bool,
}

impl<T> Plan<T> {
    /// A plan for the chunks from `first` up to, not including, `total`.
    pub(crate) fn new(first: u64, total: u64) -> Self {
        Self {
            total,
            delivered: first,
            next: first,
            failed: Vec::new(),
            flying: Vec::new(),
            ready: BTreeMap::new(),
            speeds: Speeds::default(),
        }
    }

    /// What to ask of a holder that is free.
    pub(crate) fn assign(&mut self, holder: PeerId, now: Instant) -> Option<Run> {
        let run = match self.take_failed().or_else(|| self.take_next(&holder)) {
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
    pub(crate) fn arrived(&mut self, holder: PeerId, run: Run, items: Vec<T>, now: Instant) {
        if let Some(since) = self.land(holder, run) {
            let took = now.saturating_duration_since(since);
            self.speeds.measured(holder, run.count, took);
        }
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
    fn take_next(&mut self, holder: &PeerId) -> Option<Run> {
        let end = self.total.min(self.delivered + WINDOW);
        let by_speed = self.speeds.chunks_within(holder, RUN_TIME, LONGEST_RUN);
        let is_first = self.flying.is_empty() && self.next == self.delivered && self.ready.is_empty();
        let longest = match by_speed {
            None if is_first => 1,
            None => RUN,
            Some(chunks) => chunks,
        };
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
        let speeds = &self.speeds;
        let slow = self
            .flying
            .iter_mut()
            .filter(|flight| !flight.overtaken && flight.holder != holder)
            .filter(|flight| flight.is_overdue(now) || flight.would_be_beaten(&holder, speeds, now))
            .min_by_key(|flight| flight.run.first)?;
        slow.overtaken = true;
        Some(slow.run)
    }

    /// Takes a run off those on their way; since when it was on its way.
    fn land(&mut self, holder: PeerId, run: Run) -> Option<Instant> {
        let flight = |flight: &Flight| flight.run == run && flight.holder == holder;
        let index = self.flying.iter().position(flight)?;
        Some(self.flying.swap_remove(index).since)
    }
}

impl Flight {
    fn is_overdue(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.since) >= OVERTAKE_AFTER
    }

    /// Whether another holder that begins now is probably much sooner.
    fn would_be_beaten(&self, other: &PeerId, speeds: &Speeds, now: Instant) -> bool {
        let count = self.run.count;
        let (Some(own), Some(others)) = (
            speeds.expected(&self.holder, count),
            speeds.expected(other, count),
        ) else {
            return false;
        };
        let flown = now.saturating_duration_since(self.since);
        own.saturating_sub(flown).as_secs_f64() > others.as_secs_f64() * HEAD_START
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
        let mut plan = Plan::new(0, 1000);
        let runs: Vec<Run> = std::iter::from_fn(|| plan.assign(holder, now)).collect();
        assert_eq!(runs.iter().map(|run| u64::from(run.count)).sum::<u64>(), WINDOW);
        assert_eq!(runs[0], Run { first: 0, count: 1 });
        plan.arrived(holder, runs[0], items(runs[0]), now);
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
        let mut plan: Plan<u64> = Plan::new(0, 100);
        let run = plan.assign(bad, now).unwrap();
        plan.assign(bad, now).unwrap();
        plan.failed(bad, run);
        assert_eq!(plan.assign(good, now), Some(run));
    }

    #[test]
    fn a_stalled_holder_is_overtaken_once() {
        let (now, slow, fast) = (Instant::now(), PeerId::random(), PeerId::random());
        let mut plan = Plan::new(0, 1);
        let run = plan.assign(slow, now).unwrap();
        assert_eq!(plan.assign(fast, now), None);
        let later = now + OVERTAKE_AFTER;
        assert_eq!(plan.assign(slow, later), None, "not by itself");
        assert_eq!(plan.assign(fast, later), Some(run));
        assert_eq!(plan.assign(PeerId::random(), later + OVERTAKE_AFTER), None);
        plan.arrived(fast, run, items(run), later);
        assert_eq!(plan.take_ready(), Some(0));
        plan.failed(slow, run);
        assert!(plan.is_done());
        assert_eq!(plan.assign(fast, later), None);
    }

    #[test]
    fn an_interrupted_fetch_asks_for_the_rest_alone() {
        let (now, holder) = (Instant::now(), PeerId::random());
        let mut plan = Plan::new(97, 100);
        let first = plan.assign(holder, now).unwrap();
        assert_eq!(first, Run { first: 97, count: 1 });
        let rest = plan.assign(holder, now).unwrap();
        assert_eq!(rest, Run { first: 98, count: 2 });
        assert_eq!(plan.assign(holder, now), None);
        plan.arrived(holder, rest, items(rest), now);
        plan.arrived(holder, first, items(first), now);
        assert_eq!(
            std::iter::from_fn(|| plan.take_ready()).collect::<Vec<_>>(),
            [97, 98, 99]
        );
        assert!(plan.is_done());
        assert!(Plan::<u64>::new(100, 100).is_done());
    }

    #[test]
    fn who_was_measured_to_be_fast_is_asked_for_more() {
        let (start, fast, slow) = (Instant::now(), PeerId::random(), PeerId::random());
        let mut plan = Plan::new(0, 1000);
        let (first, second) = (
            plan.assign(fast, start).unwrap(),
            plan.assign(slow, start).unwrap(),
        );
        plan.arrived(fast, first, items(first), start + Duration::from_millis(30));
        let later = start + Duration::from_millis(800);
        plan.arrived(slow, second, items(second), later);
        assert_eq!(plan.assign(fast, later).unwrap().count, 10, "30 ms a chunk");
        assert_eq!(plan.assign(slow, later).unwrap().count, 1, "200 ms a chunk");
    }

    #[test]
    fn who_would_be_much_sooner_takes_over_what_a_slow_one_is_at() {
        let (start, fast, slow) = (Instant::now(), PeerId::random(), PeerId::random());
        let mut plan = Plan::new(0, 9);
        let (first, second) = (
            plan.assign(fast, start).unwrap(),
            plan.assign(slow, start).unwrap(),
        );
        plan.arrived(fast, first, items(first), start + Duration::from_millis(10));
        let then = start + Duration::from_millis(800);
        plan.arrived(slow, second, items(second), then);
        let stuck = plan.assign(slow, then).unwrap();
        let rest = plan.assign(fast, then).unwrap();
        let soon = then + Duration::from_millis(30);
        plan.arrived(fast, rest, items(rest), soon);
        assert_eq!(plan.assign(fast, soon), Some(stuck));
    }

    /// Chunks that the plan asks of holders of these paces (milliseconds for a
    /// chunk), all in time, until everything is there.
    fn asked_of(paces: &[u64], total: u64) -> Vec<u64> {
        let holders: Vec<PeerId> = paces.iter().map(|_| PeerId::random()).collect();
        let mut now = Instant::now();
        let mut plan = Plan::new(0, total);
        let mut asked = vec![0; paces.len()];
        let mut flying: Vec<(Instant, usize, Run)> = Vec::new();
        while !plan.is_done() {
            for (index, holder) in holders.iter().enumerate() {
                if flying.iter().all(|(_, busy, _)| *busy != index)
                    && let Some(run) = plan.assign(*holder, now)
                {
                    asked[index] += u64::from(run.count);
                    let takes = Duration::from_millis(paces[index] * u64::from(run.count));
                    flying.push((now + takes, index, run));
                }
            }
            let first = (0..flying.len()).min_by_key(|flight| flying[*flight].0).unwrap();
            let (then, index, run) = flying.swap_remove(first);
            now = now.max(then);
            plan.arrived(holders[index], run, items(run), now);
            while plan.take_ready().is_some() {}
        }
        asked
    }

    proptest! {
        /// A holder that is twice as fast is asked for more than another one,
        /// and little is asked for twice.
        #[test]
        fn the_fast_are_asked_for_more(fast in 1u64..200, factor in 2u64..20, total in 100u64..400) {
            let asked = asked_of(&[fast * factor, fast], total);
            prop_assert!(asked[1] > asked[0], "{asked:?}");
            prop_assert!(asked.iter().sum::<u64>() <= total + total / 5 + u64::from(LONGEST_RUN), "{asked:?}");
        }

        /// Whatever holders do, what comes out is complete and in order as
        /// long as somebody delivers in the end.
        #[test]
        fn chunks_come_out_complete_and_in_order(
            first in 0u64..50,
            length in 0u64..300,
            steps in prop::collection::vec((0usize..4, 0u8..4, 0usize..8), 0..400),
        ) {
            let holders: Vec<PeerId> = (0..4).map(|_| PeerId::random()).collect();
            let mut now = Instant::now();
            let total = first + length;
            let mut plan = Plan::new(first, total);
            let mut flying: Vec<(PeerId, Run)> = Vec::new();
            let mut out = Vec::new();
            for (holder, action, pick) in steps {
                now += Duration::from_millis(300);
                match action {
                    0 | 1 => flying.extend(plan.assign(holders[holder], now).map(|run| (holders[holder], run))),
                    _ if flying.is_empty() => {}
                    2 => {
                        let (holder, run) = flying.swap_remove(pick % flying.len());
                        plan.arrived(holder, run, items(run), now);
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
                plan.arrived(holders[0], run, items(run), now);
                out.extend(std::iter::from_fn(|| plan.take_ready()));
            }
            prop_assert!(plan.is_done());
            prop_assert_eq!(out, (first..total).collect::<Vec<_>>());
        }
    }
}
