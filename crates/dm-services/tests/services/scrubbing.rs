//! Damage is found, told, and repaired from the network.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use dm_core::{
    bus::EventBus,
    damage::DamageLog,
    envelope::{CHUNK_SIZE, Chunk, ObjectId},
    news::{News, SystemTrouble},
    ports::{Network, NetworkStatus, ObjectStore, StoreError},
};
use dm_services::{ScrubConfig, ScrubPorts, ScrubReport, Scrubber};
use dm_testing::{
    network::{LyingStore, MemoryNetwork},
    objects::{DamagedStore, MemoryObjectStore, SampleObject},
};
use tokio_util::sync::CancellationToken;

const SETTINGS: ScrubConfig = ScrubConfig {
    bytes_per_second: u64::MAX,
    interval: Duration::from_secs(3600),
};

fn objects() -> [SampleObject; 3] {
    [(1, 900), (2, CHUNK_SIZE + 1), (3, 3 * CHUNK_SIZE)].map(|(seed, size)| SampleObject::new(1, seed, size))
}

fn ports(objects: Arc<dyn ObjectStore>, damage: DamageLog, network: Arc<dyn Network>) -> ScrubPorts {
    ScrubPorts {
        objects,
        damage,
        quota: Arc::new(MemoryObjectStore::new()),
        network,
        bus: EventBus::new(),
    }
}

fn scrubber(damaged: &DamagedStore, network: Arc<dyn Network>) -> Scrubber {
    Scrubber::new(ports(Arc::new(damaged.clone()), damaged.log(), network), SETTINGS)
}

async fn filled() -> MemoryObjectStore {
    let store = MemoryObjectStore::new();
    for object in objects() {
        object.store_in(&store).await.unwrap();
    }
    store
}

#[tokio::test]
async fn a_sound_store_is_found_sound_and_what_it_counts() {
    let store = filled().await;
    let network = MemoryNetwork::new().join(Arc::new(store.clone()));
    let ports = ports(Arc::new(store.clone()), DamageLog::new(), network);
    let bus = ports.bus.clone();
    let scrubber = Scrubber::new(ports, SETTINGS);
    assert_eq!(scrubber.last(), None);
    let report = scrubber.round().await.unwrap();
    let usage = store.usage().await.unwrap();
    assert_eq!((report.objects, report.bytes), (3, usage.bytes));
    assert_eq!((report.damaged, report.repaired, report.drift), (0, 0, Some(0)));
    assert_eq!(scrubber.last(), Some(report));
    assert!(bus.history(1).is_empty(), "there is nothing to tell");
}

#[tokio::test]
async fn a_damaged_object_is_brought_back_from_a_peer() {
    let hub = MemoryNetwork::new();
    let damaged = DamagedStore::new(filled().await);
    let object = &objects()[1];
    damaged.damage(object.id(), 1);
    let network = hub.join(Arc::new(damaged.clone()));
    let _peer = hub.join(Arc::new(filled().await));
    assert!(!object.is_in(&damaged).await);
    let scrubber = scrubber(&damaged, network);
    let report = scrubber.round().await.unwrap();
    assert_eq!((report.objects, report.damaged, report.repaired), (3, 1, 1));
    assert!(object.is_in(&damaged).await);
    let ScrubReport { damaged, drift, .. } = scrubber.round().await.unwrap();
    assert_eq!((damaged, drift), (0, Some(0)));
}

/// A store whose medium is away for the first few reads.
struct AwayStore {
    inner: MemoryObjectStore,
    refusals: AtomicU32,
}

#[async_trait]
impl dm_core::ports::ObjectStoreLayer for AwayStore {
    fn inner(&self) -> &dyn ObjectStore {
        &self.inner
    }

    async fn chunk_from_medium(&self, id: &ObjectId, index: u64) -> Result<Chunk, StoreError> {
        let left = self
            .refusals
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        match left {
            Ok(_) => Err(StoreError::Unavailable("a test".to_owned())),
            Err(_) => self.inner.chunk_from_medium(id, index).await,
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_round_waits_for_a_store_that_is_away_and_takes_nothing_for_damaged() {
    let store = AwayStore {
        inner: filled().await,
        refusals: AtomicU32::new(10),
    };
    let network = MemoryNetwork::new().join(Arc::new(store.inner.clone()));
    let scrubber = Scrubber::new(ports(Arc::new(store), DamageLog::new(), network), SETTINGS);
    let report = scrubber.round().await.unwrap();
    assert_eq!((report.objects, report.damaged, report.drift), (3, 0, Some(0)));
}

#[tokio::test]
async fn what_nobody_else_has_stays_damaged_and_is_told_each_time() {
    let hub = MemoryNetwork::new();
    let damaged = DamagedStore::new(filled().await);
    damaged.damage(objects()[0].id(), 0);
    let network = hub.join(Arc::new(damaged.clone()));
    // A peer with other bytes is of no help.
    let _liar = hub.join(Arc::new(LyingStore::new(Arc::new(filled().await))));
    let scrubber = scrubber(&damaged, network.clone());
    for _ in 0..2 {
        let report = scrubber.round().await.unwrap();
        assert_eq!((report.damaged, report.repaired), (1, 0));
        assert_eq!(scrubber.status().await.unwrap().damaged, 1);
    }
    assert!(network.is_running());
    assert!(
        damaged.envelope(&objects()[0].id()).await.unwrap().is_some(),
        "nothing is thrown away"
    );
}

#[tokio::test]
async fn damage_on_the_medium_is_found_although_memory_has_the_chunk() {
    let hub = MemoryNetwork::new();
    let damaged = DamagedStore::new(filled().await);
    let id = objects()[0].id();
    damaged.damage_on_medium(id, 0);
    damaged.chunk(&id, 0).await.unwrap();
    let network = hub.join(Arc::new(damaged.clone()));
    let report = scrubber(&damaged, network).round().await.unwrap();
    assert_eq!((report.damaged, report.repaired), (1, 0));
    assert!(damaged.is_damaged(&id));
}

#[tokio::test]
async fn what_a_reader_finds_to_be_damaged_is_mended_at_once_and_told() {
    let hub = MemoryNetwork::new();
    let damaged = DamagedStore::new(filled().await);
    let object = &objects()[2];
    damaged.damage(object.id(), 1);
    let network = hub.join(Arc::new(damaged.clone()));
    let _peer = hub.join(Arc::new(filled().await));
    let ports = ports(Arc::new(damaged.clone()), damaged.log(), network);
    let mut events = ports.bus.subscribe();
    let scrubber = Scrubber::new(ports, SETTINGS);
    let shutdown = CancellationToken::new();
    let running = tokio::spawn({
        let (scrubber, shutdown) = (scrubber.clone(), shutdown.clone());
        async move { scrubber.run(shutdown).await }
    });
    assert!(damaged.chunk(&object.id(), 1).await.is_err());
    let event = events.recv().await.unwrap();
    let News::SystemError(SystemTrouble::Storage {
        damaged: 1,
        repaired: 1,
        ..
    }) = event.news
    else {
        panic!("{event:?}");
    };
    assert!(object.is_in(&damaged).await);
    assert_eq!(scrubber.status().await.unwrap().damaged, 0);
    shutdown.cancel();
    running.await.unwrap().unwrap();
}
