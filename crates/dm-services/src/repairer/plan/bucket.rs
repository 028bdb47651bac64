/// A token bucket that may go into debt: what was begun is paid for
/// afterwards. Does no I/O and is told the time in milliseconds.
pub(super) struct Bucket {
    per_second: u64,
    /// Thousandths of a token.
    level: i128,
    full: i128,
    at: u64,
}

impl Bucket {
    /// A full bucket of `burst` tokens that fills at `per_second`.
    pub(super) fn new(per_second: u64, burst: u64, now: u64) -> Self {
        let full = i128::from(burst.max(1)) * 1000;
        Self {
            per_second: per_second.max(1),
            level: full,
            full,
            at: now,
        }
    }

    /// Whether at least one token is there.
    pub(super) fn has_any(&self, now: u64) -> bool {
        self.level_at(now) >= 1000
    }

    pub(super) fn take(&mut self, tokens: u64, now: u64) {
        self.level = self.level_at(now) - i128::from(tokens) * 1000;
        self.at = self.at.max(now);
    }

    fn level_at(&self, now: u64) -> i128 {
        let passed = now.saturating_sub(self.at);
        (self.level + i128::from(passed) * i128::from(self.per_second)).min(self.full)
    }

    /// Returns tokens that were taken and not used.
    pub(super) fn give_back(&mut self, tokens: u64) {
        self.level = (self.level + i128::from(tokens) * 1000).min(self.full);
    }

    /// When there is a token again, not before `at`.
    pub(super) fn next(&self, at: u64) -> u64 {
        let lacking = (1000 - self.level).max(0) as u128;
        let wait = lacking.div_ceil(u128::from(self.per_second));
        at.max(self.at.saturating_add(u64::try_from(wait).unwrap_or(u64::MAX)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn debts_are_paid_before_anything_is_begun() {
        let mut bucket = Bucket::new(10, 10, 0);
        assert!(bucket.has_any(0));
        bucket.take(30, 0);
        assert!(!bucket.has_any(2_000));
        assert_eq!(bucket.next(0), 2_100);
        assert!(bucket.has_any(2_100));
    }

    #[test]
    fn what_was_not_used_can_be_taken_again() {
        let mut bucket = Bucket::new(10, 10, 0);
        bucket.take(30, 0);
        bucket.give_back(25);
        assert!(bucket.has_any(0));
        bucket.give_back(1_000);
        bucket.take(10, 0);
        assert!(!bucket.has_any(0), "never more than it holds");
    }

    proptest! {
        #[test]
        fn no_more_is_taken_than_rate_and_burst_allow(steps in prop::collection::vec(0..500u64, 1..200)) {
            let mut bucket = Bucket::new(7, 5, 0);
            let (mut now, mut taken) = (0, 0);
            for pause in steps {
                now += pause;
                while bucket.has_any(now) {
                    bucket.take(1, now);
                    taken += 1;
                }
                prop_assert!(taken <= 5 + now * 7 / 1000);
                prop_assert!(!bucket.has_any(bucket.next(now) - 1) && bucket.next(now) > now);
            }
        }
    }
}
