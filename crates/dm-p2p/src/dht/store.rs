use std::{
    borrow::Cow,
    collections::{HashMap, hash_map},
    sync::Arc,
    time::Instant,
};

use libp2p::{
    PeerId,
    kad::{
        ProviderRecord, Record, RecordKey,
        store::{Error, RecordStore, Result},
    },
};

use super::{
    provider_records::ProviderRecords,
    shares::{Distance, Origin, Room, Shares},
};

/// How many address records are kept for others.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RecordLimits {
    /// Of all senders.
    pub(crate) total: usize,
    /// Of one sender: an honest one passes on those of its neighbours.
    pub(crate) per_sender: usize,
}

impl Default for RecordLimits {
    /// Some 20 MiB when everything is full.
    fn default() -> Self {
        Self {
            total: 16 * 1024,
            per_sender: 1024,
        }
    }
}

/// Keeps the records of the DHT in memory, within limits: in all and for each sender, so
/// that neither one peer nor many fill it. What is nearest to this node stays.
pub(crate) struct BoundedStore {
    local: PeerId,
    origin: Origin,
    limits: RecordLimits,
    records: HashMap<Distance, KeptRecord>,
    shares: Shares,
    providers: Arc<ProviderRecords>,
}

/// A record, and the peer as whose it counts.
pub(crate) struct KeptRecord {
    record: Record,
    sender: PeerId,
}

impl BoundedStore {
    pub(crate) fn new(local: PeerId, limits: RecordLimits, providers: Arc<ProviderRecords>) -> Self {
        Self {
            local,
            origin: Origin::new(&local),
            limits,
            records: HashMap::new(),
            shares: Shares::default(),
            providers,
        }
    }

    /// Keeps a checked record that `sender` sent, where it has its place.
    ///
    /// A record counts as that of its publisher once the publisher has sent it; who only
    /// repeats it can neither take it over nor shorten its life.
    pub(crate) fn keep(&mut self, mut record: Record, sender: PeerId) -> Result<()> {
        let distance = self.origin.distance_to(record.key.as_ref());
        let is_published = record.publisher.is_none_or(|publisher| publisher == sender);
        let Some(held) = self.records.get(&distance) else {
            self.make_room(&sender, &distance)?;
            self.shares.insert(sender, distance);
            self.records.insert(distance, KeptRecord { record, sender });
            return Ok(());
        };
        if held.record.value == record.value {
            record.expires = later(held.record.expires, record.expires);
        }
        let sender = if is_published { sender } else { held.sender };
        self.shares.remove(&held.sender, &distance);
        if sender != self.local {
            self.shares.insert(sender, distance);
        }
        self.records.insert(distance, KeptRecord { record, sender });
        Ok(())
    }

    fn make_room(&mut self, sender: &PeerId, distance: &Distance) -> Result<()> {
        let limits = self.limits;
        match self
            .shares
            .room_for(sender, distance, limits.per_sender, limits.total)
        {
            Room::Free => Ok(()),
            Room::InPlaceOf(other, farthest) => {
                self.shares.remove(&other, &farthest);
                self.records.remove(&farthest);
                Ok(())
            }
            Room::None => Err(Error::MaxRecords),
        }
    }
}

/// The later end of two; never is the latest.
fn later(one: Option<Instant>, other: Option<Instant>) -> Option<Instant> {
    one.zip(other).map(|(one, other)| one.max(other))
}

impl RecordStore for BoundedStore {
    type RecordsIter<'a> =
        std::iter::Map<hash_map::Values<'a, Distance, KeptRecord>, fn(&'a KeptRecord) -> Cow<'a, Record>>;
    type ProvidedIter<'a> = std::iter::Empty<Cow<'a, ProviderRecord>>;

    fn get(&self, key: &RecordKey) -> Option<Cow<'_, Record>> {
        let kept = self.records.get(&self.origin.distance_to(key.as_ref()))?;
        Some(Cow::Borrowed(&kept.record))
    }

    /// Keeps a record of this node itself, beyond all limits: those of others come through
    /// [`BoundedStore::keep`].
    fn put(&mut self, record: Record) -> Result<()> {
        let distance = self.origin.distance_to(record.key.as_ref());
        let sender = self.local;
        if let Some(held) = self.records.insert(distance, KeptRecord { record, sender }) {
            self.shares.remove(&held.sender, &distance);
        }
        Ok(())
    }

    fn remove(&mut self, key: &RecordKey) {
        let distance = self.origin.distance_to(key.as_ref());
        if let Some(held) = self.records.remove(&distance) {
            self.shares.remove(&held.sender, &distance);
        }
    }

    fn records(&self) -> Self::RecordsIter<'_> {
        self.records.values().map(|kept| Cow::Borrowed(&kept.record))
    }

    fn add_provider(&mut self, record: ProviderRecord) -> Result<()> {
        if record.provider == self.local || self.providers.add(&record) {
            Ok(())
        } else {
            Err(Error::MaxProvidedKeys)
        }
    }

    fn providers(&self, key: &RecordKey) -> Vec<ProviderRecord> {
        self.providers.of_key(key)
    }

    fn provided(&self) -> Self::ProvidedIter<'_> {
        std::iter::empty()
    }

    fn remove_provider(&mut self, key: &RecordKey, provider: &PeerId) {
        self.providers.remove(key, provider);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{super::ProviderLimits, *};

    const LIMITS: RecordLimits = RecordLimits {
        total: 12,
        per_sender: 8,
    };

    fn store() -> BoundedStore {
        let local = PeerId::random();
        let providers = Arc::new(ProviderRecords::new(local, ProviderLimits::default()));
        BoundedStore::new(local, LIMITS, providers)
    }

    fn record(key: u8) -> Record {
        Record::new(vec![key; 32], vec![key])
    }

    fn has(store: &BoundedStore, key: u8) -> bool {
        store.get(&RecordKey::new(&[key; 32])).is_some()
    }

    #[test]
    fn neither_one_peer_nor_several_fill_the_store() {
        let mut store = store();
        let flooder = PeerId::random();
        for key in 0..100 {
            let _ = store.keep(record(key), flooder);
        }
        assert_eq!(store.records().count(), LIMITS.per_sender);
        let honest = PeerId::random();
        store.keep(record(200), honest).unwrap();
        for _ in 0..3 {
            let flooder = PeerId::random();
            for key in 0..100 {
                let _ = store.keep(record(key), flooder);
            }
        }
        assert_eq!(store.records().count(), LIMITS.total);
        assert!(has(&store, 200));
    }

    #[test]
    fn who_repeats_a_record_does_not_take_it_over() {
        let mut store = store();
        let (publisher, other) = (PeerId::random(), PeerId::random());
        let end = Instant::now() + Duration::from_secs(3600);
        let of_publisher = Record {
            publisher: Some(publisher),
            expires: Some(end),
            ..record(200)
        };
        store.keep(of_publisher.clone(), publisher).unwrap();
        let shortened = Record {
            expires: Some(Instant::now()),
            ..of_publisher
        };
        store.keep(shortened, other).unwrap();
        let held = store.get(&RecordKey::new(&[200; 32])).unwrap();
        assert_eq!(held.expires, Some(end));
        assert_eq!(
            (store.shares.count(&publisher), store.shares.count(&other)),
            (1, 0)
        );
    }

    #[test]
    fn records_of_this_node_need_no_room() {
        let mut store = store();
        for key in 0..100 {
            let _ = store.keep(record(key), PeerId::random());
        }
        store.put(record(200)).unwrap();
        assert!(has(&store, 200));
        assert_eq!(store.records().count(), LIMITS.total + 1);
        store.remove(&RecordKey::new(&[200; 32]));
        assert!(!has(&store, 200));
    }
}
