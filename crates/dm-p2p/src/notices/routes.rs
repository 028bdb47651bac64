use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use dm_core::{Address, keyed_locks::KeyedLocks};
use libp2p::PeerId;

/// How long it is remembered where the letters for an account go.
pub(super) const FRESH: Duration = Duration::from_secs(5 * 60);
/// How long it is remembered that an account was not reached, and which few peers keep its
/// letters in a network that is still growing.
pub(super) const BRIEF: Duration = Duration::from_secs(20);
/// How long it is remembered that nobody knew where an account is: somebody may know soon.
pub(super) const UNKNOWN: Duration = Duration::from_secs(5);
/// Accounts that are remembered; the longest known is forgotten.
const MAX_RECIPIENTS: usize = 1024;

/// Where letters go: many for one addressee take one walk through the DHT.
#[derive(Default)]
pub(crate) struct NoticeRoutes {
    /// The peer of each addressee.
    pub(super) direct: Recent<PeerId>,
    /// Addressees that were not reached, each with the peer that its record names.
    pub(super) away: Recent<Option<PeerId>>,
    /// The peers closest to its inbox key.
    pub(super) keepers: Recent<Vec<PeerId>>,
    /// The right to look for the peer of an addressee: one does, and the others wait for what it
    /// finds.
    pub(super) looking: KeyedLocks<Address>,
}

impl NoticeRoutes {
    /// A peer has connected: it may know, or be, who was not found, and may keep letters.
    pub(crate) fn peer_connected(&self) {
        self.away.forget(Option::is_none);
        self.keepers.forget(Vec::is_empty);
    }
}

/// What was found out about accounts lately.
pub(super) struct Recent<T>(Mutex<HashMap<Address, Finding<T>>>);

struct Finding<T> {
    found: T,
    since: Instant,
    lasts: Duration,
}

impl<T> Default for Recent<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T: Clone> Recent<T> {
    pub(super) fn get(&self, recipient: &Address) -> Option<T> {
        let known = self.lock();
        let finding = known.get(recipient)?;
        (finding.since.elapsed() < finding.lasts).then(|| finding.found.clone())
    }

    /// Remembers it for so long.
    pub(super) fn insert(&self, recipient: Address, found: T, lasts: Duration) {
        let mut known = self.lock();
        if known.len() >= MAX_RECIPIENTS && !known.contains_key(&recipient) {
            let oldest = known.iter().min_by_key(|(_, finding)| finding.since);
            if let Some(oldest) = oldest.map(|(recipient, _)| *recipient) {
                known.remove(&oldest);
            }
        }
        let since = Instant::now();
        known.insert(recipient, Finding { found, since, lasts });
    }

    /// It has turned out to be of no use.
    pub(super) fn remove(&self, recipient: &Address) {
        self.lock().remove(recipient);
    }

    /// What is like this counts no more.
    fn forget(&self, is_stale: impl Fn(&T) -> bool) {
        self.lock().retain(|_, finding| !is_stale(&finding.found));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Address, Finding<T>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_remembered_recipients_is_bounded_and_the_oldest_goes_first() {
        let recent = Recent::default();
        let recipient = |number: usize| Address::left_padding_from(&number.to_be_bytes());
        for number in 0..=MAX_RECIPIENTS {
            recent.insert(recipient(number), number, FRESH);
        }
        assert_eq!(recent.lock().len(), MAX_RECIPIENTS);
        assert_eq!(recent.get(&recipient(0)), None);
        assert_eq!(recent.get(&recipient(1)), Some(1));
        recent.remove(&recipient(1));
        assert_eq!(recent.get(&recipient(1)), None);
    }

    #[test]
    fn who_was_not_found_is_looked_for_again_when_a_peer_connects() {
        let routes = NoticeRoutes::default();
        let (unknown, known) = (Address::repeat_byte(1), Address::repeat_byte(2));
        let peer = Some(PeerId::random());
        routes.away.insert(unknown, None, FRESH);
        routes.away.insert(known, peer, FRESH);
        routes.keepers.insert(unknown, Vec::new(), FRESH);
        routes.peer_connected();
        assert_eq!(routes.away.get(&unknown), None);
        assert_eq!(routes.away.get(&known), Some(peer));
        assert_eq!(routes.keepers.get(&unknown), None);
    }

    #[test]
    fn what_was_found_out_is_forgotten_after_its_time() {
        let recent = Recent::default();
        recent.insert(Address::ZERO, 1, Duration::ZERO);
        assert_eq!(recent.get(&Address::ZERO), None);
        recent.insert(Address::ZERO, 2, BRIEF);
        assert_eq!(recent.get(&Address::ZERO), Some(2));
    }
}
