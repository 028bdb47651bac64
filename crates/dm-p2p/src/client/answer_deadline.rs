use std::time::Duration;

use tokio::time::Instant;

/// How long anybody waits for an answer from the network.
const OVERALL: Duration = Duration::from_secs(4);
/// How long better answers are waited for once there is one that can be relied on.
const GRACE: Duration = Duration::from_millis(300);
/// How long others are waited for where one peer alone has answered that nobody knows: who
/// answers first may have done so to hide the others.
const DOUBT: Duration = Duration::from_millis(1500);

/// Until when a lookup waits for answers: an answer shortens the wait. Does no I/O.
pub(crate) struct AnswerDeadline {
    until: Instant,
}

impl AnswerDeadline {
    pub(crate) fn new(now: Instant) -> Self {
        Self { until: now + OVERALL }
    }

    /// There is an answer that can be relied on; others have a little time left.
    pub(crate) fn answered(&mut self, now: Instant) {
        self.until = self.until.min(now + GRACE);
    }

    /// There is an answer, and perhaps it is there to hide better ones.
    pub(crate) fn doubtfully_answered(&mut self, now: Instant) {
        self.until = self.until.min(now + DOUBT);
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

    #[test]
    fn an_answer_of_a_stranger_alone_leaves_others_more_time() {
        let start = Instant::now();
        let mut deadline = AnswerDeadline::new(start);
        deadline.doubtfully_answered(start);
        assert_eq!(deadline.instant(), start + DOUBT);
        deadline.answered(start);
        assert_eq!(deadline.instant(), start + GRACE);
    }
}
