use std::{borrow::Cow, collections::HashMap, time::Instant};

use libp2p::{
    PeerId,
    kad::{
        ProviderRecord, Record, RecordKey,
        store::{Error, RecordStore, Result},
    },
};

/// How much is kept for others.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StoreLimits {
    /// Records.
    pub(crate) records: usize,
    /// Provider records of all keys.
    pub(crate) providers: usize,
    /// Provider records of one key.
    pub(crate) providers_per_key: usize,
    /// Provider records of one provider.
    pub(crate) keys_per_provider: usize,
}

impl Default for StoreLimits {
    /// Some 60 MiB when everything is full.
    fn default() -> Self {
        Self {
            records: 16 * 1024,
            providers: 128 * 1024,
            providers_per_key: 20,
            keys_per_provider: 32 * 1024,
        }
    }
}

/// Keeps the records of the DHT in memory, within limits: in all, for each
/// key, and for each provider, so that one peer cannot fill it.
///
/// What this node itself provides is not kept here: the object store knows,
/// and [`super::provide_stored`] announces it from there.
pub(crate) struct BoundedStore {
    local: PeerId,
    limits: StoreLimits,
    records: HashMap<RecordKey, Record>,
    providers: HashMap<RecordKey, Vec<ProviderRecord>>,
    keys_of: HashMap<PeerId, usize>,
    provider_count: usize,
}

impl BoundedStore {
    pub(crate) fn new(local: PeerId, limits: StoreLimits) -> Self {
        Self {
            local,
            limits,
            records: HashMap::new(),
            providers: HashMap::new(),
            keys_of: HashMap::new(),
            provider_count: 0,
        }
    }

    fn is_own(&self, record: &Record) -> bool {
        record.publisher == Some(self.local)
    }

    /// Drops what has expired, to make room.
    fn purge(&mut self, now: Instant) {
        self.records.retain(|_, record| !record.is_expired(now));
        let expired: Vec<(RecordKey, PeerId)> = self
            .providers
            .values()
            .flatten()
            .filter(|record| record.is_expired(now))
            .map(|record| (record.key.clone(), record.provider))
            .collect();
        for (key, provider) in expired {
            self.remove_provider(&key, &provider);
        }
    }

    fn has_room_for(&self, record: &ProviderRecord) -> bool {
        let of_provider = self.keys_of.get(&record.provider).copied().unwrap_or(0);
        self.provider_count < self.limits.providers && of_provider < self.limits.keys_per_provider
    }
}

impl RecordStore for BoundedStore {
    type RecordsIter<'a> = std::iter::Map<
        std::collections::hash_map::Values<'a, RecordKey, Record>,
        fn(&'a Record) -> Cow<'a, Record>,
    >;
    type ProvidedIter<'a> = std::iter::Empty<Cow<'a, ProviderRecord>>;

    fn get(&self, key: &RecordKey) -> Option<Cow<'_, Record>> {
        self.records.get(key).map(Cow::Borrowed)
    }

    fn put(&mut self, record: Record) -> Result<()> {
        let is_new = !self.records.contains_key(&record.key);
        if is_new && self.records.len() >= self.limits.records && !self.is_own(&record) {
            self.purge(Instant::now());
            if self.records.len() >= self.limits.records {
                return Err(Error::MaxRecords);
            }
        }
        self.records.insert(record.key.clone(), record);
        Ok(())
    }

    fn remove(&mut self, key: &RecordKey) {
        self.records.remove(key);
    }

    fn records(&self) -> Self::RecordsIter<'_> {
        self.records.values().map(Cow::Borrowed)
    }

    fn add_provider(&mut self, record: ProviderRecord) -> Result<()> {
        if record.provider == self.local {
            return Ok(());
        }
        let known = self.providers.get_mut(&record.key);
        let of_key = known.as_ref().map_or(0, |providers| providers.len());
        if let Some(held) =
            known.and_then(|providers| providers.iter_mut().find(|held| held.provider == record.provider))
        {
            *held = record;
            return Ok(());
        }
        if !self.has_room_for(&record) {
            self.purge(Instant::now());
        }
        if of_key >= self.limits.providers_per_key || !self.has_room_for(&record) {
            return Err(Error::MaxProvidedKeys);
        }
        *self.keys_of.entry(record.provider).or_default() += 1;
        self.provider_count += 1;
        self.providers.entry(record.key.clone()).or_default().push(record);
        Ok(())
    }

    fn providers(&self, key: &RecordKey) -> Vec<ProviderRecord> {
        self.providers.get(key).cloned().unwrap_or_default()
    }

    fn provided(&self) -> Self::ProvidedIter<'_> {
        std::iter::empty()
    }

    fn remove_provider(&mut self, key: &RecordKey, provider: &PeerId) {
        let Some(providers) = self.providers.get_mut(key) else {
            return;
        };
        let before = providers.len();
        providers.retain(|record| record.provider != *provider);
        if providers.len() == before {
            return;
        }
        if providers.is_empty() {
            self.providers.remove(key);
        }
        self.provider_count -= 1;
        if let Some(count) = self.keys_of.get_mut(provider) {
            *count -= 1;
            if *count == 0 {
                self.keys_of.remove(provider);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn store() -> BoundedStore {
        BoundedStore::new(
            PeerId::random(),
            StoreLimits {
                records: 4,
                providers: 6,
                providers_per_key: 2,
                keys_per_provider: 3,
            },
        )
    }

    fn provider(key: u8, provider: PeerId) -> ProviderRecord {
        ProviderRecord::new(vec![key; 32], provider, vec![])
    }

    #[test]
    fn one_provider_cannot_fill_the_store() {
        let mut store = store();
        let flooder = PeerId::random();
        let stored = (0..10)
            .filter(|key| store.add_provider(provider(*key, flooder)).is_ok())
            .count();
        assert_eq!(stored, 3);
        assert!(store.add_provider(provider(0, PeerId::random())).is_ok());
    }

    #[test]
    fn providers_are_bounded_for_each_key_and_in_all() {
        let mut store = store();
        for _ in 0..10 {
            let _ = store.add_provider(provider(1, PeerId::random()));
        }
        assert_eq!(store.providers(&vec![1; 32].into()).len(), 2);
        for key in 2..20 {
            let _ = store.add_provider(provider(key, PeerId::random()));
        }
        assert_eq!(store.provider_count, 6);
    }

    #[test]
    fn what_expired_makes_room() {
        let mut store = store();
        let peer = PeerId::random();
        let past = Instant::now().checked_sub(Duration::from_secs(1)).unwrap();
        for key in 0..3 {
            let mut record = provider(key, peer);
            record.expires = Some(past);
            store.add_provider(record).unwrap();
        }
        assert!(store.add_provider(provider(9, peer)).is_ok());
        assert_eq!(store.provider_count, 1);
        assert_eq!(store.keys_of[&peer], 1);
    }

    #[test]
    fn records_are_bounded_but_for_the_own_one() {
        let mut store = store();
        for key in 0..10u8 {
            let _ = store.put(Record::new(vec![key; 32], vec![]));
        }
        assert_eq!(store.records().count(), 4);
        let mut own = Record::new(vec![99; 32], vec![]);
        own.publisher = Some(store.local);
        assert!(store.put(own).is_ok());
    }

    #[test]
    fn own_provider_records_are_left_to_the_object_store() {
        let mut store = store();
        let local = store.local;
        store.add_provider(provider(1, local)).unwrap();
        assert!(store.providers(&vec![1; 32].into()).is_empty());
    }
}
