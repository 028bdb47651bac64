//! Bounds what is spent on incoming connections before it is known whose they are.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use dm_core::config::NetworkConfig;
use futures::future::AbortHandle;
use rand::seq::IteratorRandom;

use super::origin::Origin;

/// Seconds of its rate that an address may use at once.
const BURST_SECS: u32 = 4;
/// Addresses whose rate is remembered.
const MAX_ADDRESSES: usize = 4096;

/// How many handshakes may be under way, and how fast they may begin.
#[derive(Debug, Clone, Copy)]
pub(super) struct HandshakeLimits {
    /// At the same time, all together.
    in_all: usize,
    /// At the same time, with one address.
    of_address: usize,
    /// That begin in a second, with one address.
    per_sec: u32,
}

impl HandshakeLimits {
    /// As many as there may be connections afterwards.
    pub(super) fn new(network: &NetworkConfig) -> Self {
        let in_all = network.max_connections_each_way() as usize;
        Self {
            in_all,
            of_address: in_all.min(network.max_connections_per_address as usize),
            per_sec: network.address_connections_per_sec,
        }
    }
}

/// Counts handshakes. Where they are too many, a random one is given up for the
/// new one, so that whoever holds them open keeps nobody out.
#[derive(Clone)]
pub(super) struct Handshakes {
    limits: HandshakeLimits,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    last_id: u64,
    under_way: HashMap<u64, (IpAddr, AbortHandle)>,
    buckets: HashMap<IpAddr, Bucket>,
}

/// What an address has left of its rate.
struct Bucket {
    tokens: f64,
    filled: Instant,
}

/// A place among the handshakes, until it is dropped.
pub(super) struct Handshake {
    handshakes: Handshakes,
    id: u64,
}

impl Handshakes {
    pub(super) fn new(limits: HandshakeLimits) -> Self {
        Self {
            limits,
            state: Arc::default(),
        }
    }

    /// A place for a handshake that `abort` ends; an error where connections
    /// from there come too fast. Within one process nothing is counted.
    pub(super) fn begin(
        &self,
        origin: Origin,
        abort: AbortHandle,
        now: Instant,
    ) -> Result<Option<Handshake>, TooFast> {
        let Some(address) = origin.address else {
            return Ok(None);
        };
        let mut state = self.lock();
        if !state.take_token(address, self.limits.per_sec, now) {
            return Err(TooFast);
        }
        state.make_room(address, self.limits);
        state.last_id += 1;
        let id = state.last_id;
        state.under_way.insert(id, (address, abort));
        drop(state);
        Ok(Some(Handshake {
            handshakes: self.clone(),
            id,
        }))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Connections from an address come faster than they may.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("connections from this address come too fast")]
pub(super) struct TooFast;

impl State {
    fn take_token(&mut self, address: IpAddr, per_sec: u32, now: Instant) -> bool {
        let (rate, burst) = (f64::from(per_sec), f64::from(per_sec.saturating_mul(BURST_SECS)));
        let level = |bucket: &Bucket| {
            let filled = now.duration_since(bucket.filled).as_secs_f64() * rate;
            (bucket.tokens + filled).min(burst)
        };
        if self.buckets.len() >= MAX_ADDRESSES {
            self.buckets.retain(|_, bucket| level(bucket) < burst);
        }
        if self.buckets.len() >= MAX_ADDRESSES {
            // So many addresses are no single host: the limits in all hold.
            self.buckets.clear();
        }
        let bucket = self.buckets.entry(address).or_insert(Bucket {
            tokens: burst,
            filled: now,
        });
        bucket.tokens = level(bucket);
        bucket.filled = now;
        let free = bucket.tokens >= 1.0;
        if free {
            bucket.tokens -= 1.0;
        }
        free
    }

    fn make_room(&mut self, address: IpAddr, limits: HandshakeLimits) {
        let mut counts: HashMap<IpAddr, usize> = HashMap::new();
        for (address, _) in self.under_way.values() {
            *counts.entry(*address).or_default() += 1;
        }
        if counts
            .get(&address)
            .is_some_and(|count| *count >= limits.of_address)
        {
            self.give_up_one_of(address);
        } else if self.under_way.len() >= limits.in_all {
            let most = counts.into_iter().max_by_key(|(_, count)| *count);
            if let Some((crowd, _)) = most {
                self.give_up_one_of(crowd);
            }
        }
    }

    fn give_up_one_of(&mut self, address: IpAddr) {
        let of_address = self.under_way.iter().filter(|(_, (other, _))| *other == address);
        let chosen = of_address.map(|(id, _)| *id).choose(&mut rand::rng());
        if let Some((_, abort)) = chosen.and_then(|id| self.under_way.remove(&id)) {
            abort.abort();
        }
    }
}

impl Drop for Handshake {
    fn drop(&mut self) {
        self.handshakes.lock().under_way.remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const LIMITS: HandshakeLimits = HandshakeLimits {
        in_all: 8,
        of_address: 5,
        per_sec: 10,
    };

    fn origin(n: u8) -> Origin {
        Origin::of(&format!("/ip4/8.8.{n}.1/tcp/1").parse().unwrap())
    }

    fn begin(handshakes: &Handshakes, n: u8, now: Instant) -> (Handshake, AbortHandle) {
        let (abort, _) = AbortHandle::new_pair();
        let place = handshakes.begin(origin(n), abort.clone(), now).unwrap();
        (place.unwrap(), abort)
    }

    fn count_aborted(held: &[(Handshake, AbortHandle)]) -> usize {
        held.iter().filter(|(_, abort)| abort.is_aborted()).count()
    }

    #[test]
    fn who_holds_all_handshakes_of_an_address_makes_room_for_the_next() {
        let (handshakes, now) = (Handshakes::new(LIMITS), Instant::now());
        let held: Vec<_> = (0..LIMITS.of_address)
            .map(|_| begin(&handshakes, 1, now))
            .collect();
        assert_eq!(count_aborted(&held), 0);
        let (_next, abort) = begin(&handshakes, 1, now);
        assert!(!abort.is_aborted());
        assert_eq!(count_aborted(&held), 1);
    }

    #[test]
    fn the_address_with_the_most_handshakes_makes_room_for_others() {
        let (handshakes, now) = (Handshakes::new(LIMITS), Instant::now());
        let crowd: Vec<_> = (0..LIMITS.of_address)
            .map(|_| begin(&handshakes, 1, now))
            .collect();
        let others: Vec<_> = (2..=6).map(|n| begin(&handshakes, n, now)).collect();
        assert_eq!((count_aborted(&crowd), count_aborted(&others)), (2, 0));
        assert_eq!(handshakes.lock().under_way.len(), LIMITS.in_all);
        drop((crowd, others));
        assert!(handshakes.lock().under_way.is_empty());
    }

    #[test]
    fn an_address_that_connects_too_fast_is_slowed_down_and_others_are_not() {
        let (handshakes, now) = (Handshakes::new(LIMITS), Instant::now());
        let (abort, _) = AbortHandle::new_pair();
        let begin = |n, now| handshakes.begin(origin(n), abort.clone(), now).map(drop);
        let at_once = (0..100).filter(|_| begin(1, now).is_ok()).count();
        assert_eq!(at_once, (LIMITS.per_sec * BURST_SECS) as usize);
        assert_eq!(begin(2, now), Ok(()));
        let later = now + Duration::from_secs(1);
        let in_a_second = (0..100).filter(|_| begin(1, later).is_ok()).count();
        assert_eq!(in_a_second, LIMITS.per_sec as usize);
    }

    #[test]
    fn the_addresses_that_are_remembered_are_bounded() {
        let (mut state, now) = (State::default(), Instant::now());
        for n in 0..2 * MAX_ADDRESSES as u32 {
            assert!(state.take_token(IpAddr::from(n.to_be_bytes()), 1, now));
        }
        assert!(state.buckets.len() <= MAX_ADDRESSES);
    }
}
