use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use dm_core::Address;
use libp2p::PeerId;

/// How long it is remembered where the letters for an account go.
const FRESH: Duration = Duration::from_secs(5 * 60);
/// Accounts that are remembered; the longest known is forgotten.
const MAX_RECIPIENTS: usize = 1024;

/// Where letters go: many for one addressee take one walk through the DHT.
#[derive(Default)]
pub(crate) struct NoticeRoutes {
    /// The peer of each addressee.
    pub(super) direct: Recent<PeerId>,
    /// The peers closest to its inbox key.
    pub(super) keepers: Recent<Vec<PeerId>>,
}

/// What was found out about accounts lately.
pub(super) struct Recent<T>(Mutex<HashMap<Address, (T, Instant)>>);

impl<T> Default for Recent<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T: Clone> Recent<T> {
    pub(super) fn get(&self, recipient: &Address) -> Option<T> {
        let known = self.lock();
        let (found, since) = known.get(recipient)?;
        (since.elapsed() < FRESH).then(|| found.clone())
    }

    pub(super) fn insert(&self, recipient: Address, found: T) {
        let mut known = self.lock();
        if known.len() >= MAX_RECIPIENTS && !known.contains_key(&recipient) {
            let oldest = known.iter().min_by_key(|(_, (_, since))| *since);
            if let Some(oldest) = oldest.map(|(recipient, _)| *recipient) {
                known.remove(&oldest);
            }
        }
        known.insert(recipient, (found, Instant::now()));
    }

    /// It has turned out to be of no use.
    pub(super) fn remove(&self, recipient: &Address) {
        self.lock().remove(recipient);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Address, (T, Instant)>> {
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
            recent.insert(recipient(number), number);
        }
        assert_eq!(recent.lock().len(), MAX_RECIPIENTS);
        assert_eq!(recent.get(&recipient(0)), None);
        assert_eq!(recent.get(&recipient(1)), Some(1));
        recent.remove(&recipient(1));
        assert_eq!(recent.get(&recipient(1)), None);
    }
}
