//! Says of the upkeep how it is: by its oldest due work, and by what keeps failing.

use async_trait::async_trait;
use dm_core::{
    clock::now_ms,
    health::{Finding, Trouble},
    ports::HealthCheck,
};

use super::{
    Upkeep,
    due::{Progress, Work},
};

/// A round that takes longer than this, in milliseconds, is late.
const LATE_MS: u64 = 10 * 60 * 1000;
/// Rounds in a row in which something failed, from which on the work keeps failing.
const KEEPS_FAILING: u64 = 2;

#[async_trait]
impl HealthCheck for Upkeep {
    fn part(&self) -> &'static str {
        "upkeep"
    }

    async fn check(&self) -> Finding {
        judge(&self.works.progress(), now_ms())
    }
}

fn judge<'a>(works: impl IntoIterator<Item = (&'a Work, &'a Progress)>, now: u64) -> Finding {
    let troubles: Vec<(String, u64)> = works
        .into_iter()
        .filter_map(|(work, progress)| trouble(*work, progress, now))
        .collect();
    let Some(since) = troubles.iter().map(|(_, since)| *since).min() else {
        return Finding::Working;
    };
    let reasons: Vec<String> = troubles.into_iter().map(|(reason, _)| reason).collect();
    let action = "See to what the reason names; the work goes on by itself once it can";
    Finding::Degraded(Trouble::new(reasons.join("; "), action).since(since))
}

/// What is wrong with one kind of work, and since when.
fn trouble(work: Work, progress: &Progress, now: u64) -> Option<(String, u64)> {
    let subject = work.subject();
    let age = progress
        .oldest_due()
        .map(|since| {
            format!(
                ", the oldest is due for {} minutes",
                now.saturating_sub(since) / 60_000
            )
        })
        .unwrap_or_default();
    if progress.failed_rounds >= KEEPS_FAILING {
        let failures = &progress.failures;
        let reason = format!(
            "{subject} keeps failing ({} entries{age}): {}",
            failures.count, failures.reason
        );
        return Some((reason, progress.failing_since.unwrap_or(now)));
    }
    let began = progress
        .began
        .filter(|began| now.saturating_sub(*began) > LATE_MS)?;
    // A walk through everything may take its time.
    let walks_through_everything = matches!(work, Work::FetchingBack | Work::Collecting);
    (!walks_through_everything).then(|| (format!("{subject} is late{age}"), began))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::upkeep::due::Failures;

    fn reason(progress: &Progress, now: u64) -> Option<String> {
        match judge([(&Work::Refunding, progress)], now) {
            Finding::Degraded(trouble) => Some(trouble.reason),
            _ => None,
        }
    }

    #[test]
    fn work_that_fails_twice_in_a_row_is_trouble_and_says_why() {
        let mut progress = Progress {
            failed_rounds: 1,
            failing_since: Some(1),
            failures: Failures {
                count: 3,
                oldest: Some(0),
                reason: "the chain is away".to_owned(),
            },
            ..Progress::default()
        };
        assert_eq!(reason(&progress, 5), None);
        progress.failed_rounds = 2;
        let reason = reason(&progress, 180_000).unwrap_or_default();
        assert!(
            reason.contains("3 entries, the oldest is due for 3 minutes"),
            "{reason}"
        );
        assert!(reason.ends_with(": the chain is away"), "{reason}");
    }

    #[test]
    fn a_round_that_does_not_end_is_trouble() {
        let progress = Progress {
            began: Some(1000),
            ..Progress::default()
        };
        assert_eq!(reason(&progress, 1000 + LATE_MS), None);
        assert!(reason(&progress, 1001 + LATE_MS).is_some());
    }
}
