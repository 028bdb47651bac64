//! When a plugin is started, and when again: decided without doing it.

use std::time::Duration;

use dm_core::plugin::PluginState;
use tokio::time::Instant;

/// First pause before a failed plugin is started again.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// Longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);
/// A plugin that ran this long before it failed begins with the first pause again.
const STABLE_AFTER: Duration = Duration::from_secs(300);

/// The life of one plugin, as told by the caller. Each start has a number;
/// what comes late of an earlier one changes nothing.
#[derive(Debug, Clone)]
pub(super) struct Lifecycle {
    phase: Phase,
    start: u64,
    /// The pause after the next failure.
    pause: Duration,
    failures: u64,
    last_error: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Disabled,
    Waiting { until: Instant },
    Starting,
    Running { since: Instant },
}

impl Lifecycle {
    /// A plugin that is to be started at once, or is switched off.
    pub(super) fn new(enabled: bool, now: Instant) -> Self {
        Self {
            phase: if enabled {
                Phase::Waiting { until: now }
            } else {
                Phase::Disabled
            },
            start: 0,
            pause: FIRST_PAUSE,
            failures: 0,
            last_error: None,
        }
    }

    /// When it wants to be started; `None` where it does not wait for that.
    pub(super) fn due(&self) -> Option<Instant> {
        match self.phase {
            Phase::Waiting { until } => Some(until),
            Phase::Disabled | Phase::Starting | Phase::Running { .. } => None,
        }
    }

    /// Begins a start where one is due, and says its number.
    pub(super) fn begin(&mut self, now: Instant) -> Option<u64> {
        if self.due().is_none_or(|due| due > now) {
            return None;
        }
        self.phase = Phase::Starting;
        self.start += 1;
        Some(self.start)
    }

    /// The start has succeeded. Says whether it still counts.
    pub(super) fn started(&mut self, start: u64, now: Instant) -> bool {
        let counts = self.start == start && self.phase == Phase::Starting;
        if counts {
            self.phase = Phase::Running { since: now };
        }
        counts
    }

    /// The plugin of this start has failed. Says whether that is news.
    pub(super) fn failed(&mut self, start: u64, reason: String, now: Instant) -> bool {
        let ran = match self.phase {
            Phase::Running { since } => now.saturating_duration_since(since),
            Phase::Starting => Duration::ZERO,
            Phase::Disabled | Phase::Waiting { .. } => return false,
        };
        if self.start != start {
            return false;
        }
        if ran >= STABLE_AFTER {
            self.pause = FIRST_PAUSE;
        }
        self.phase = Phase::Waiting {
            until: now + self.pause,
        };
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        self.failures += 1;
        self.last_error = Some(reason);
        true
    }

    /// An operator switches it off.
    pub(super) fn disable(&mut self) {
        self.phase = Phase::Disabled;
    }

    /// An operator switches it on; it is started at once if it was off.
    pub(super) fn enable(&mut self, now: Instant) {
        if self.phase == Phase::Disabled {
            self.restart(now);
        }
    }

    /// An operator wants it loaded anew, at once.
    pub(super) fn reload(&mut self, now: Instant) {
        if self.phase != Phase::Disabled {
            self.restart(now);
        }
    }

    fn restart(&mut self, now: Instant) {
        self.phase = Phase::Waiting { until: now };
        self.pause = FIRST_PAUSE;
        self.last_error = None;
    }

    pub(super) fn state(&self) -> PluginState {
        match self.phase {
            Phase::Disabled => PluginState::Disabled,
            Phase::Waiting { .. } if self.last_error.is_some() => PluginState::Failed,
            Phase::Waiting { .. } | Phase::Starting => PluginState::Starting,
            Phase::Running { .. } => PluginState::Running,
        }
    }

    pub(super) fn failures(&self) -> u64 {
        self.failures
    }

    pub(super) fn last_error(&self) -> Option<&str> {
        self.last_error.as_deref()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn second(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[test]
    fn the_pauses_grow_to_their_limit_and_shrink_after_a_long_run() {
        let mut now = Instant::now();
        let mut life = Lifecycle::new(true, now);
        for pause in [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300] {
            let start = life.begin(now).unwrap();
            assert!(life.failed(start, "no".to_owned(), now));
            assert_eq!(life.due(), Some(now + second(pause)));
            assert_eq!(life.begin(now), None, "before the pause is over");
            now += second(pause);
        }
        let start = life.begin(now).unwrap();
        assert!(life.started(start, now));
        now += STABLE_AFTER;
        assert!(life.failed(start, "late".to_owned(), now));
        assert_eq!(life.due(), Some(now + second(1)));
        assert_eq!(life.failures(), 12);
        assert_eq!(life.last_error(), Some("late"));
    }

    #[test]
    fn a_failure_counts_once_and_only_for_its_own_start() {
        let now = Instant::now();
        let mut life = Lifecycle::new(true, now);
        let first = life.begin(now).unwrap();
        assert!(life.started(first, now));
        assert!(life.failed(first, "a".to_owned(), now));
        assert!(!life.failed(first, "b".to_owned(), now));
        let second_start = life.begin(now + second(1)).unwrap();
        assert!(!life.failed(first, "c".to_owned(), now + second(1)));
        assert!(!life.started(first, now + second(1)));
        assert!(life.started(second_start, now + second(1)));
        assert_eq!(life.failures(), 1);
    }

    #[derive(Debug, Clone)]
    enum Step {
        Pass(u64),
        Begin,
        Started(u64),
        Failed(u64),
        Disable,
        Enable,
        Reload,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (0..400_u64).prop_map(Step::Pass),
            Just(Step::Begin),
            (0..2_u64).prop_map(Step::Started),
            (0..2_u64).prop_map(Step::Failed),
            Just(Step::Disable),
            Just(Step::Enable),
            Just(Step::Reload),
        ]
    }

    proptest! {
        #[test]
        fn whatever_happens_one_start_runs_and_a_disabled_plugin_does_not(
            steps in proptest::collection::vec(step(), 1..200),
        ) {
            let mut now = Instant::now();
            let mut life = Lifecycle::new(true, now);
            let (mut newest, mut off) = (0, false);
            for step in steps {
                match step {
                    Step::Pass(seconds) => now += second(seconds),
                    Step::Begin => if let Some(start) = life.begin(now) {
                        prop_assert!(start > newest && !off);
                        newest = start;
                    },
                    Step::Started(ago) => {
                        let counts = life.started(newest.saturating_sub(ago), now);
                        prop_assert!(!counts || (ago == 0 || newest == 0) && !off);
                    }
                    Step::Failed(ago) => {
                        let counts = life.failed(newest.saturating_sub(ago), "x".to_owned(), now);
                        prop_assert!(!counts || (ago == 0 || newest == 0) && !off);
                    }
                    Step::Disable => { life.disable(); off = true; }
                    Step::Enable => { life.enable(now); off = false; }
                    Step::Reload => life.reload(now),
                }
                prop_assert_eq!(life.state() == PluginState::Disabled, off);
                // Whoever is neither off nor at work wants to be started some time soon.
                if let Some(due) = life.due() {
                    prop_assert!(due <= now + LONGEST_PAUSE);
                } else {
                    prop_assert!(matches!(
                        life.state(),
                        PluginState::Disabled | PluginState::Running | PluginState::Starting
                    ));
                }
            }
        }
    }
}
