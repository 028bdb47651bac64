//! Who has to wait, and for how long: no clock, no I/O.

use std::{
    collections::HashMap,
    net::IpAddr,
    time::{Duration, Instant},
};

/// Addresses that are remembered; then the one that was quiet for longest is
/// forgotten.
const CAPACITY: usize = 4096;
/// The first wait.
const SHORTEST: Duration = Duration::from_secs(1);
/// How long an address must be quiet, beyond its wait, to be forgotten.
const MEMORY: Duration = Duration::from_secs(15 * 60);

/// Counts the wrong keys of addresses.
pub(super) struct Waits {
    free: u32,
    longest: Duration,
    addresses: HashMap<IpAddr, Attempts>,
}

struct Attempts {
    count: u32,
    /// When the wait after the last one ends.
    until: Instant,
}

impl Attempts {
    fn is_forgotten(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.until) >= MEMORY
    }
}

impl Waits {
    /// Lets `free` wrong keys of an address pass without a wait.
    pub(super) fn new(free: u32, longest: Duration) -> Self {
        Self {
            free,
            longest,
            addresses: HashMap::new(),
        }
    }

    /// Whether this many wrong keys are the first for which an address waits.
    pub(super) fn begins_to_wait(&self, count: u32) -> bool {
        count.checked_sub(1) == Some(self.free)
    }

    pub(super) fn wait(&self, address: IpAddr, now: Instant) -> Option<Duration> {
        let until = self.addresses.get(&address)?.until;
        let wait = until.saturating_duration_since(now);
        (!wait.is_zero()).then_some(wait)
    }

    /// Counts a wrong key; how many these are by now.
    pub(super) fn note_wrong_key(&mut self, address: IpAddr, now: Instant) -> u32 {
        let known = self.addresses.get(&address);
        let before = known.filter(|attempts| !attempts.is_forgotten(now));
        let count = before.map_or(0, |attempts| attempts.count).saturating_add(1);
        if known.is_none() {
            self.make_room(now);
        }
        let until = now + self.wait_after(count);
        self.addresses.insert(address, Attempts { count, until });
        count
    }

    fn wait_after(&self, count: u32) -> Duration {
        let beyond = count.saturating_sub(self.free);
        let Some(doublings) = beyond.checked_sub(1) else {
            return Duration::ZERO;
        };
        let factor = 2_u32.checked_pow(doublings).unwrap_or(u32::MAX);
        SHORTEST.saturating_mul(factor).min(self.longest)
    }

    fn make_room(&mut self, now: Instant) {
        if self.addresses.len() < CAPACITY {
            return;
        }
        self.addresses.retain(|_, attempts| !attempts.is_forgotten(now));
        if self.addresses.len() < CAPACITY {
            return;
        }
        let quietest = self.addresses.iter().min_by_key(|(_, attempts)| attempts.until);
        if let Some(address) = quietest.map(|(address, _)| *address) {
            self.addresses.remove(&address);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LONGEST: Duration = Duration::from_secs(60);

    fn address(number: u32) -> IpAddr {
        IpAddr::from(number.to_be_bytes())
    }

    #[test]
    fn each_wrong_key_beyond_the_free_ones_doubles_the_wait() {
        let mut waits = Waits::new(3, LONGEST);
        let now = Instant::now();
        let mut seconds = Vec::new();
        for _ in 0..12 {
            waits.note_wrong_key(address(1), now);
            seconds.push(waits.wait(address(1), now).map_or(0, |wait| wait.as_secs()));
        }
        assert_eq!(seconds, [0, 0, 0, 1, 2, 4, 8, 16, 32, 60, 60, 60]);
        assert_eq!(waits.wait(address(2), now), None);
        assert_eq!(waits.wait(address(1), now + LONGEST), None);
    }

    #[test]
    fn an_address_that_is_quiet_is_forgotten() {
        let mut waits = Waits::new(0, LONGEST);
        let now = Instant::now();
        assert_eq!(waits.note_wrong_key(address(1), now), 1);
        let later = now + SHORTEST + MEMORY - Duration::from_millis(1);
        assert_eq!(waits.note_wrong_key(address(1), later), 2);
        assert_eq!(waits.note_wrong_key(address(1), later + LONGEST + MEMORY), 1);
    }

    #[test]
    fn a_flood_of_addresses_takes_no_room_and_frees_nobody_who_goes_on() {
        let mut waits = Waits::new(0, LONGEST);
        let mut now = Instant::now();
        for number in 0..3 * CAPACITY as u32 {
            waits.note_wrong_key(address(number + 1), now);
            if number % 1000 == 0 {
                waits.note_wrong_key(address(0), now);
            }
            now += Duration::from_micros(10);
        }
        assert_eq!(waits.addresses.len(), CAPACITY);
        assert!(waits.wait(address(0), now).is_some());
    }

    proptest! {
        #[test]
        fn whatever_comes_no_wait_is_longer_than_the_longest(
            free in any::<u32>(),
            seconds in 0..100_000u64,
            steps in proptest::collection::vec((0..5u32, 0..100_000u64), 0..80),
        ) {
            let longest = Duration::from_secs(seconds);
            let mut waits = Waits::new(free, longest);
            let mut now = Instant::now();
            for (number, pause) in steps {
                now += Duration::from_millis(pause);
                waits.note_wrong_key(address(number), now);
                let wait = waits.wait(address(number), now);
                prop_assert!(wait.is_none_or(|wait| wait <= longest));
            }
        }
    }
}
