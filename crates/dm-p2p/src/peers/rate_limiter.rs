use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use libp2p::PeerId;

/// Peers whose requests are counted; who has asked for nothing lately is not.
const MAX_COUNTED: usize = 4096;

/// Bytes that were read, hashed or sent for a peer and count like one request more.
const BYTES_OF_REQUEST: f64 = 262_144.0;

/// What becomes of a request.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum RateDecision {
    /// It is answered at once.
    Now,
    /// The peer is too fast: it is answered after this time, or dropped.
    After(Duration),
    /// The peer goes on although it is too fast: as many requests as it may
    /// make at once are owed. They are forgiven, and it is to be scored.
    Flood,
}

/// Counts the requests of each peer: a token bucket that may be overdrawn.
/// Does no I/O.
pub(crate) struct RateLimiter {
    per_second: f64,
    burst: f64,
    buckets: HashMap<PeerId, Bucket>,
}

struct Bucket {
    /// Requests that the peer may still make; negative where it owes some.
    left: f64,
    since: Instant,
}

impl RateLimiter {
    /// `per_second` requests for long and `burst` at once.
    pub(crate) fn new(per_second: u32, burst: u32) -> Self {
        Self {
            per_second: f64::from(per_second.max(1)),
            burst: f64::from(burst.max(1)),
            buckets: HashMap::new(),
        }
    }

    /// Counts a request.
    pub(crate) fn count(&mut self, peer: PeerId, now: Instant) -> RateDecision {
        self.make_room(&peer, now);
        let (per_second, burst) = (self.per_second, self.burst);
        let bucket = self.buckets.entry(peer).or_insert(Bucket {
            left: burst,
            since: now,
        });
        bucket.left = bucket.left_at(now, per_second, burst) - 1.0;
        bucket.since = now;
        if bucket.left >= 0.0 {
            return RateDecision::Now;
        }
        if bucket.left < -burst {
            bucket.left = 0.0;
            return RateDecision::Flood;
        }
        RateDecision::After(Duration::from_secs_f64(-bucket.left / per_second))
    }

    /// Counts what a request has cost: bytes that were read, hashed or sent. The peer waits
    /// for it with its next requests, but is never scored for it: it owes half of what is a
    /// flood at most.
    pub(crate) fn count_bytes(&mut self, peer: PeerId, bytes: u64, now: Instant) {
        let (per_second, burst) = (self.per_second, self.burst);
        if let Some(bucket) = self.buckets.get_mut(&peer) {
            let left = bucket.left_at(now, per_second, burst);
            let reduced = left - bytes as f64 / BYTES_OF_REQUEST;
            bucket.left = reduced.max(left.min(-burst / 2.0));
            bucket.since = now;
        }
    }

    /// Forgets who may make as many requests as somebody new, and where that
    /// is nobody, whoever owes least: it gains little.
    fn make_room(&mut self, peer: &PeerId, now: Instant) {
        if self.buckets.len() < MAX_COUNTED || self.buckets.contains_key(peer) {
            return;
        }
        let (per_second, burst) = (self.per_second, self.burst);
        self.buckets
            .retain(|_, bucket| bucket.left_at(now, per_second, burst) < burst);
        if self.buckets.len() < MAX_COUNTED {
            return;
        }
        let richest = self.buckets.iter().max_by(|a, b| a.1.left.total_cmp(&b.1.left));
        if let Some(richest) = richest.map(|(peer, _)| *peer) {
            self.buckets.remove(&richest);
        }
    }
}

impl Bucket {
    fn left_at(&self, now: Instant, per_second: f64, burst: f64) -> f64 {
        let passed = now.saturating_duration_since(self.since).as_secs_f64();
        (self.left + passed * per_second).min(burst)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn count(rate_limiter: &mut RateLimiter, peer: PeerId, times: usize, now: Instant) -> Vec<RateDecision> {
        (0..times).map(|_| rate_limiter.count(peer, now)).collect()
    }

    #[test]
    fn a_burst_is_answered_and_the_rest_waits_its_turn() {
        let (mut rate_limiter, peer, now) = (RateLimiter::new(10, 3), PeerId::random(), Instant::now());
        assert_eq!(count(&mut rate_limiter, peer, 3, now), [RateDecision::Now; 3]);
        assert_eq!(rate_limiter.count(peer, now), RateDecision::After(SECOND / 10));
        assert_eq!(rate_limiter.count(peer, now), RateDecision::After(SECOND / 5));
        assert_eq!(rate_limiter.count(peer, now + SECOND), RateDecision::Now);
        assert_eq!(
            rate_limiter.count(PeerId::random(), now),
            RateDecision::Now,
            "others do not wait"
        );
    }

    #[test]
    fn who_goes_on_regardless_is_a_flood() {
        let (mut rate_limiter, peer, now) = (RateLimiter::new(1, 5), PeerId::random(), Instant::now());
        let turns = count(&mut rate_limiter, peer, 33, now);
        let floods: Vec<usize> = (0..)
            .zip(turns)
            .filter(|(_, turn)| *turn == RateDecision::Flood)
            .map(|(n, _)| n)
            .collect();
        // The burst, then as many again that are owed, and one too many.
        assert_eq!(floods, [10, 16, 22, 28]);
    }

    #[test]
    fn who_waits_its_turn_is_never_a_flood() {
        let (mut rate_limiter, peer, mut now) = (RateLimiter::new(10, 5), PeerId::random(), Instant::now());
        for _ in 0..1000 {
            match rate_limiter.count(peer, now) {
                RateDecision::Now => {}
                RateDecision::After(pause) => now += pause,
                RateDecision::Flood => panic!("it waited each time"),
            }
        }
    }

    #[test]
    fn bytes_count_like_requests_and_are_no_flood() {
        let (mut rate_limiter, peer, now) = (RateLimiter::new(10, 4), PeerId::random(), Instant::now());
        assert_eq!(rate_limiter.count(peer, now), RateDecision::Now);
        rate_limiter.count_bytes(peer, 2 * 262_144, now);
        assert_eq!(rate_limiter.count(peer, now), RateDecision::Now);
        assert_eq!(rate_limiter.count(peer, now), RateDecision::After(SECOND / 10));
        rate_limiter.count_bytes(peer, u64::MAX, now);
        assert_eq!(
            rate_limiter.count(peer, now),
            RateDecision::After(SECOND * 3 / 10)
        );
        rate_limiter.count_bytes(PeerId::random(), 1, now);
        assert_eq!(
            rate_limiter.buckets.len(),
            1,
            "who has asked for nothing owes nothing"
        );
    }

    #[test]
    fn the_number_of_counted_peers_is_bounded_and_who_floods_stays_counted() {
        let (mut rate_limiter, flood, now) = (RateLimiter::new(1, 2), PeerId::random(), Instant::now());
        count(&mut rate_limiter, flood, 4, now);
        for _ in 0..MAX_COUNTED + 100 {
            rate_limiter.count(PeerId::random(), now);
        }
        assert_eq!(rate_limiter.buckets.len(), MAX_COUNTED);
        assert_eq!(rate_limiter.count(flood, now), RateDecision::Flood);
    }

    proptest! {
        /// Whatever the times of its requests, a peer is not answered more
        /// often than its burst and its rate allow.
        #[test]
        fn no_pattern_of_requests_gets_more_than_the_rate(pauses in prop::collection::vec(0u64..2000, 1..300)) {
            let (mut rate_limiter, peer, start) = (RateLimiter::new(3, 4), PeerId::random(), Instant::now());
            let mut now = start;
            let mut answered = 0.0;
            for pause in pauses {
                now += Duration::from_millis(pause);
                answered += f64::from(u8::from(rate_limiter.count(peer, now) == RateDecision::Now));
                let allowed = 4.0 + 3.0 * (now - start).as_secs_f64();
                prop_assert!(answered <= allowed + 1e-6);
            }
        }
    }
}
