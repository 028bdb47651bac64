//! The provider records that are kept for others.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use dm_core::hash::Locator;
use libp2p::{Multiaddr, PeerId, kad};

use super::{
    RECORD_TTL,
    shares::{Distance, Origin, Room, Shares},
};

/// How many provider records are kept.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ProviderLimits {
    /// Of all keys.
    pub(crate) total: usize,
    /// Of one key.
    pub(crate) per_key: usize,
    /// Of one provider.
    pub(crate) per_provider: usize,
}

impl Default for ProviderLimits {
    /// Some 40 MiB when everything is full.
    fn default() -> Self {
        Self {
            total: 128 * 1024,
            per_key: 20,
            per_provider: 32 * 1024,
        }
    }
}

/// Between two looks for what has expired, at the least.
const PURGE_PAUSE: Duration = Duration::from_secs(60);
/// Records that are taken while others wait.
const TAKEN_AT_ONCE: usize = 64;

/// The provider records, shared by the DHT and by those who take announcements.
pub(crate) struct ProviderRecords(Mutex<Kept>);

struct Kept {
    local: PeerId,
    origin: Origin,
    limits: ProviderLimits,
    keys: HashMap<Distance, Vec<Provider>>,
    shares: Shares,
    /// Where each provider is reached.
    addresses: HashMap<PeerId, Vec<Multiaddr>>,
    purged: Option<Instant>,
}

/// A peer that provides a key, and until when that counts.
struct Provider {
    peer: PeerId,
    expires: Instant,
}

impl ProviderRecords {
    pub(crate) fn new(local: PeerId, limits: ProviderLimits) -> Self {
        Self(Mutex::new(Kept {
            local,
            origin: Origin::new(&local),
            limits,
            keys: HashMap::new(),
            shares: Shares::default(),
            addresses: HashMap::new(),
            purged: None,
        }))
    }

    /// Takes a record, where it has its place. What this node itself provides has none: the
    /// object store knows, and it is announced from there.
    pub(super) fn add(&self, record: &kad::ProviderRecord) -> bool {
        let now = Instant::now();
        let expires = record.expires.unwrap_or(now + RECORD_TTL);
        let mut kept = self.lock();
        let taken = kept.add(record.provider, record.key.as_ref(), expires, now);
        kept.reach(record.provider, &record.addresses);
        taken
    }

    /// Takes what a peer announces to provide, and returns how much of it has its place.
    pub(crate) fn add_all(&self, peer: PeerId, locators: &[Locator], addresses: &[Multiaddr]) -> usize {
        let now = Instant::now();
        let mut taken = 0;
        for some in locators.chunks(TAKEN_AT_ONCE) {
            let mut kept = self.lock();
            let of_some = some
                .iter()
                .filter(|locator| kept.add(peer, locator.as_bytes(), now + RECORD_TTL, now));
            taken += of_some.count();
            kept.reach(peer, addresses);
        }
        taken
    }

    /// Who provides a key.
    pub(super) fn of_key(&self, key: &kad::RecordKey) -> Vec<kad::ProviderRecord> {
        self.lock().of_key(key, Instant::now())
    }

    pub(super) fn remove(&self, key: &kad::RecordKey, provider: &PeerId) {
        let mut kept = self.lock();
        let distance = kept.origin.distance_to(key.as_ref());
        kept.remove(&distance, provider);
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn add(&mut self, peer: PeerId, key: &[u8], expires: Instant, now: Instant) -> bool {
        if peer == self.local {
            return false;
        }
        let distance = self.origin.distance_to(key);
        if let Some(held) = self.find(&distance, &peer) {
            held.expires = expires;
            return true;
        }
        self.purge(now);
        let in_place_of = match self.place_at(key, &distance, &peer) {
            Place::Free => None,
            Place::InPlaceOf(farther) => Some(farther),
            Place::None => return false,
        };
        let limits = self.limits;
        match self
            .shares
            .room_for(&peer, &distance, limits.per_provider, limits.total)
        {
            Room::None => return false,
            // The one that leaves this key makes room, too.
            Room::InPlaceOf(other, farthest) if in_place_of.is_none() || other == peer => {
                self.remove(&farthest, &other);
            }
            Room::InPlaceOf(..) | Room::Free => {}
        }
        if let Some(other) = in_place_of {
            self.remove(&distance, &other);
        }
        let providers = self.keys.entry(distance).or_insert_with(|| Vec::with_capacity(1));
        providers.push(Provider { peer, expires });
        self.shares.insert(peer, distance);
        true
    }

    /// Whether one more may provide a key. Those closest to it stay: copies are put there.
    fn place_at(&self, key: &[u8], distance: &Distance, peer: &PeerId) -> Place {
        let held = self.keys.get(distance).map_or(&[][..], Vec::as_slice);
        if held.len() < self.limits.per_key {
            return Place::Free;
        }
        let from_key = |peer: &PeerId| Origin::new(peer).distance_to(key);
        match held.iter().map(|held| held.peer).max_by_key(from_key) {
            Some(farthest) if from_key(&farthest) > from_key(peer) => Place::InPlaceOf(farthest),
            _ => Place::None,
        }
    }

    fn reach(&mut self, peer: PeerId, addresses: &[Multiaddr]) {
        if self.shares.count(&peer) > 0 {
            self.addresses.insert(peer, addresses.to_vec());
        }
    }

    fn of_key(&self, key: &kad::RecordKey, now: Instant) -> Vec<kad::ProviderRecord> {
        let distance = self.origin.distance_to(key.as_ref());
        let held = self.keys.get(&distance).into_iter().flatten();
        held.filter(|provider| provider.expires > now)
            .map(|provider| kad::ProviderRecord {
                key: key.clone(),
                provider: provider.peer,
                expires: Some(provider.expires),
                addresses: self.addresses.get(&provider.peer).cloned().unwrap_or_default(),
            })
            .collect()
    }

    fn find(&mut self, distance: &Distance, peer: &PeerId) -> Option<&mut Provider> {
        let mut held = self.keys.get_mut(distance)?.iter_mut();
        held.find(|provider| provider.peer == *peer)
    }

    fn remove(&mut self, distance: &Distance, peer: &PeerId) {
        if let Some(held) = self.keys.get_mut(distance) {
            held.retain(|provider| provider.peer != *peer);
            if held.is_empty() {
                self.keys.remove(distance);
            }
        }
        self.shares.remove(peer, distance);
        if self.shares.count(peer) == 0 {
            self.addresses.remove(peer);
        }
    }

    /// Drops what has expired, now and then.
    fn purge(&mut self, now: Instant) {
        if self.purged.is_some_and(|purged| now < purged + PURGE_PAUSE) {
            return;
        }
        self.purged = Some(now);
        let mut expired = Vec::new();
        for (distance, held) in &self.keys {
            let of_key = held.iter().filter(|provider| provider.expires <= now);
            expired.extend(of_key.map(|provider| (*distance, provider.peer)));
        }
        for (distance, peer) in expired {
            self.remove(&distance, &peer);
        }
    }
}

/// Whether a key takes one more provider.
enum Place {
    Free,
    /// In the place of this one, which is farther from the key.
    InPlaceOf(PeerId),
    None,
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: ProviderLimits = ProviderLimits {
        total: 40,
        per_key: 3,
        per_provider: 20,
    };

    fn records() -> ProviderRecords {
        ProviderRecords::new(PeerId::random(), LIMITS)
    }

    fn locators(numbers: std::ops::Range<u8>) -> Vec<Locator> {
        numbers.map(|number| Locator::from_bytes([number; 32])).collect()
    }

    fn providers(records: &ProviderRecords, number: u8) -> Vec<PeerId> {
        let found = records.of_key(&kad::RecordKey::new(&[number; 32]));
        found.into_iter().map(|record| record.provider).collect()
    }

    #[test]
    fn four_identities_with_many_keys_crowd_nobody_out() {
        let records = records();
        for _ in 0..4 {
            records.add_all(PeerId::random(), &locators(0..200), &[]);
        }
        assert!(records.lock().shares.total() <= LIMITS.total);
        let honest = PeerId::random();
        assert_eq!(records.add_all(honest, &locators(201..204), &[]), 3);
        for _ in 0..4 {
            records.add_all(PeerId::random(), &locators(0..200), &[]);
        }
        for number in 201..204 {
            assert_eq!(providers(&records, number), [honest]);
        }
        // A farther provider of a key may have gone besides the one that made room.
        assert!(records.lock().shares.total() <= LIMITS.total);
    }

    #[test]
    fn of_one_provider_the_nearest_keys_stay() {
        let records = records();
        let peer = PeerId::random();
        let mut by_distance = locators(0..200);
        records.add_all(peer, &by_distance, &[]);
        let origin = records.lock().origin;
        by_distance.sort_by_key(|locator| origin.distance_to(locator.as_bytes()));
        for (place, locator) in by_distance.iter().enumerate() {
            let key = kad::RecordKey::new(locator.as_bytes());
            let expected = if place < LIMITS.per_provider { 1 } else { 0 };
            assert_eq!(records.of_key(&key).len(), expected, "{place}");
        }
    }

    #[test]
    fn of_one_key_the_closest_providers_stay() {
        let records = records();
        let mut peers: Vec<PeerId> = (0..30).map(|_| PeerId::random()).collect();
        for peer in &peers {
            records.add_all(*peer, &locators(1..2), &[]);
        }
        peers.sort_by_key(|peer| Origin::new(peer).distance_to(&[1; 32]));
        let mut kept = providers(&records, 1);
        kept.sort_by_key(|peer| Origin::new(peer).distance_to(&[1; 32]));
        assert_eq!(kept, peers[..LIMITS.per_key]);
        assert_eq!(records.lock().shares.total(), LIMITS.per_key);
        assert!(records.lock().addresses.len() <= LIMITS.per_key);
    }

    #[test]
    fn what_expired_is_not_told_and_makes_room() {
        let records = records();
        let (peer, now) = (PeerId::random(), Instant::now());
        for number in 0..20 {
            records.lock().add(peer, &[number; 32], now + PURGE_PAUSE, now);
        }
        let later = now + PURGE_PAUSE;
        let key = kad::RecordKey::new(&[3; 32]);
        assert!(records.lock().of_key(&key, later).is_empty());
        for number in 20..40 {
            assert!(
                records
                    .lock()
                    .add(peer, &[number; 32], later + PURGE_PAUSE, later)
            );
        }
        assert_eq!(records.lock().shares.total(), LIMITS.per_provider);
    }

    #[test]
    fn own_records_are_left_to_the_object_store() {
        let records = records();
        let local = records.lock().local;
        assert_eq!(records.add_all(local, &locators(0..5), &[]), 0);
        assert!(providers(&records, 1).is_empty());
    }
}
