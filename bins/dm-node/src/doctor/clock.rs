//! Whether this machine's clock is right, as far as the clocks of others tell.

use super::Finding;

/// Seconds that a clock may be wrong by before it is said: a `Date` header has whole seconds.
const TOLERATED: i64 = 5;
/// Seconds from which others refuse what this machine signs or dates (S3: 15 minutes).
const REFUSED: i64 = 300;

/// What another clock said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reading {
    /// Whose clock it is.
    pub(super) place: String,
    /// Seconds by which this machine's clock is ahead of it.
    pub(super) ahead_secs: i64,
}

/// Judges the clock by the reading that is nearest to it: one clock elsewhere may be wrong.
pub(super) fn judge(readings: impl Iterator<Item = Reading>) -> Vec<Finding> {
    let Some(nearest) = readings.min_by_key(|reading| reading.ahead_secs.abs()) else {
        let action = "make sure that a time service runs, such as `timedatectl show -p NTPSynchronized`";
        let found = "no other clock was reached to compare this machine's with";
        return vec![Finding::warning("clock", found, action)];
    };
    let Reading { place, ahead_secs } = nearest;
    let way = if ahead_secs < 0 { "behind" } else { "ahead of" };
    let found = format!("the clock is {} s {way} that of {place}", ahead_secs.abs());
    let action = "set the clock, and have a time service keep it right (systemd-timesyncd, chrony)";
    vec![match ahead_secs.abs() {
        0..=TOLERATED => Finding::good("clock", found),
        secs if secs < REFUSED => Finding::warning("clock", found, action),
        _ => Finding::fault("clock", found, action),
    }]
}

#[cfg(test)]
mod tests {
    use super::{super::Severity, *};

    fn severity(ahead: &[i64]) -> Severity {
        let readings = ahead.iter().map(|ahead_secs| Reading {
            place: "x".to_owned(),
            ahead_secs: *ahead_secs,
        });
        judge(readings)[0].severity
    }

    #[test]
    fn a_clock_is_judged_by_the_nearest_other_one() {
        assert_eq!(severity(&[2]), Severity::Good);
        assert_eq!(severity(&[-60]), Severity::Warning);
        assert_eq!(severity(&[-3600]), Severity::Fault);
        assert_eq!(severity(&[3600, 900]), Severity::Fault);
        assert_eq!(severity(&[3600, 1]), Severity::Good);
        assert_eq!(severity(&[]), Severity::Warning);
    }
}
