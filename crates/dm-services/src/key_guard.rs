//! Slows down those who try API keys, and reports them.

use std::{
    net::IpAddr,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use dm_core::{bus::EventBus, config::ApiKeysConfig, news::News};

mod waits;

use waits::Waits;

/// Keeps count of the wrong API keys of each address. An address that has sent
/// too many has to wait before another key of it is looked at.
pub struct KeyGuard {
    waits: Mutex<Waits>,
    wrong_keys: AtomicU64,
    bus: EventBus,
}

impl KeyGuard {
    /// A guard that has seen nothing yet.
    pub fn new(config: &ApiKeysConfig, bus: EventBus) -> Self {
        let longest = Duration::from_secs(config.longest_wait_secs);
        Self {
            waits: Mutex::new(Waits::new(config.max_wrong, longest)),
            wrong_keys: AtomicU64::new(0),
            bus,
        }
    }

    /// How long this address has to wait before a key of it is looked at.
    pub fn wait(&self, address: IpAddr) -> Option<Duration> {
        self.waits().wait(address, Instant::now())
    }

    /// Notes that a wrong key came from this address. The first time that it has
    /// to wait is logged and told on the bus.
    pub fn note_wrong_key(&self, address: IpAddr) {
        self.wrong_keys.fetch_add(1, Ordering::Relaxed);
        let mut waits = self.waits();
        let attempts = waits.note_wrong_key(address, Instant::now());
        let begins_to_wait = waits.begins_to_wait(attempts);
        drop(waits);
        tracing::debug!(%address, attempts, "an API key was not recognised");
        if begins_to_wait {
            tracing::warn!(%address, attempts, "an address that sends wrong API keys has to wait");
            self.bus.publish(News::WrongApiKeys {
                address: address.to_string(),
                attempts,
            });
        }
    }

    /// Wrong keys since the node was started.
    pub fn wrong_keys(&self) -> u64 {
        self.wrong_keys.load(Ordering::Relaxed)
    }

    fn waits(&self) -> MutexGuard<'_, Waits> {
        self.waits.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_begins_to_wait_is_reported_once() {
        let bus = EventBus::new();
        let config = ApiKeysConfig {
            max_wrong: 2,
            longest_wait_secs: 60,
        };
        let guard = KeyGuard::new(&config, bus.clone());
        let (liar, other) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
        for _ in 0..5 {
            guard.note_wrong_key(liar);
        }
        guard.note_wrong_key(other);
        assert!(guard.wait(liar).is_some());
        assert_eq!(guard.wait(other), None);
        assert_eq!(guard.wrong_keys(), 6);
        let events = bus.history(10);
        let told: Vec<_> = events.into_iter().map(|event| event.news).collect();
        let waits = News::WrongApiKeys {
            address: liar.to_string(),
            attempts: 3,
        };
        assert_eq!(told, [waits]);
    }
}
