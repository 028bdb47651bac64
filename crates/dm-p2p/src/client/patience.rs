use std::time::Duration;

use tokio::time::Instant;

/// How long anybody waits for an answer from the network.
const OVERALL: Duration = Duration::from_secs(4);
/// How long better answers are waited for once there is one.
const GRACE: Duration = Duration::from_millis(300);

/// Decides how long to wait for answers. Does no I/O.
pub(crate) struct Patience {
    until: Instant,
}

impl Patience {
    pub(crate) fn new(now: Instant) -> Self {
        Self { until: now + OVERALL }
    }

    /// There is an answer; others have a little time left.
    pub(crate) fn answered(&mut self, now: Instant) {
        self.until = self.until.min(now + GRACE);
    }

    /// When waiting ends.
    pub(crate) fn until(&self) -> Instant {
        self.until
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_answer_shortens_the_wait_and_later_ones_do_not_prolong_it() {
        let start = Instant::now();
        let mut patience = Patience::new(start);
        assert_eq!(patience.until(), start + OVERALL);
        patience.answered(start);
        patience.answered(start + GRACE);
        assert_eq!(patience.until(), start + GRACE);
    }
}
