use std::time::Duration;

use tokio::time::Instant;

/// How long anybody waits for an answer from the network.
const OVERALL: Duration = Duration::from_secs(4);
/// How long better answers are waited for once there is one.
const GRACE: Duration = Duration::from_millis(300);

/// Until when a lookup waits for answers: the first answer shortens the wait. Does no I/O.
pub(crate) struct AnswerDeadline {
    until: Instant,
}

impl AnswerDeadline {
    pub(crate) fn new(now: Instant) -> Self {
        Self { until: now + OVERALL }
    }

    /// There is an answer; others have a little time left.
    pub(crate) fn answered(&mut self, now: Instant) {
        self.until = self.until.min(now + GRACE);
    }

    /// When waiting ends.
    pub(crate) fn instant(&self) -> Instant {
        self.until
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_answer_shortens_the_wait_and_later_ones_do_not_prolong_it() {
        let start = Instant::now();
        let mut deadline = AnswerDeadline::new(start);
        assert_eq!(deadline.instant(), start + OVERALL);
        deadline.answered(start);
        deadline.answered(start + GRACE);
        assert_eq!(deadline.instant(), start + GRACE);
    }
}
