//! Damage is found, told, and repaired from the network.

use std::{sync::Arc, time::Duration};

use dm_core::{
    envelope::CHUNK_SIZE,
    ports::{Network, ObjectStore},
    services::{ScrubReport, ScrubSettings, Scrubber},
    testing::{
        network::{LyingStore, MemoryNetwork},
        objects::{DamagedStore, MemoryObjectStore, SampleObject},
    },
};

const SETTINGS: ScrubSettings = ScrubSettings {
    bytes_per_second: u64::MAX,
    interval: Duration::from_secs(3600),
};

fn objects() -> [SampleObject; 3] {
    [(1, 900), (2, CHUNK_SIZE + 1), (3, 3 * CHUNK_SIZE)].map(|(seed, size)| SampleObject::new(1, seed, size))
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
    let scrubber = Scrubber::new(Arc::new(store.clone()), network, SETTINGS);
    assert_eq!(scrubber.last(), None);
    let report = scrubber.round().await.unwrap();
    let usage = store.usage().await.unwrap();
    assert_eq!((report.objects, report.bytes), (3, usage.bytes));
    assert_eq!((report.damaged, report.repaired, report.drift), (0, 0, Some(0)));
    assert_eq!(scrubber.last(), Some(report));
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
    let scrubber = Scrubber::new(Arc::new(damaged.clone()), network, SETTINGS);
    let report = scrubber.round().await.unwrap();
    assert_eq!((report.objects, report.damaged, report.repaired), (3, 1, 1));
    assert!(object.is_in(&damaged).await);
    let ScrubReport { damaged, drift, .. } = scrubber.round().await.unwrap();
    assert_eq!((damaged, drift), (0, Some(0)));
}

#[tokio::test]
async fn what_nobody_else_has_stays_damaged_and_is_told_each_time() {
    let hub = MemoryNetwork::new();
    let damaged = DamagedStore::new(filled().await);
    damaged.damage(objects()[0].id(), 0);
    let network = hub.join(Arc::new(damaged.clone()));
    // A peer with other bytes is of no help.
    let _liar = hub.join(Arc::new(LyingStore::new(Arc::new(filled().await))));
    let scrubber = Scrubber::new(Arc::new(damaged.clone()), network.clone(), SETTINGS);
    for _ in 0..2 {
        let report = scrubber.round().await.unwrap();
        assert_eq!((report.damaged, report.repaired), (1, 0));
    }
    assert!(network.is_running());
    assert!(
        damaged.envelope(&objects()[0].id()).await.unwrap().is_some(),
        "nothing is thrown away"
    );
}
