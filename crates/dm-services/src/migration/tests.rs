use std::sync::Mutex;

use dm_core::{envelope::CHUNK_SIZE, ports::ObjectStore};
use dm_testing::{
    key_value::MemoryKeyValueStore,
    objects::{DamagedStore, MemoryObjectStore, SampleObject},
};

use super::*;

/// More than are listed at a time.
const OBJECTS: u64 = 300;

async fn sample(store: &MemoryObjectStore) -> Vec<SampleObject> {
    let mut objects = Vec::new();
    for seed in 0..OBJECTS {
        // A few have several chunks.
        let size = if seed % 50 == 0 { 2 * CHUNK_SIZE + 1 } else { 10 };
        let object = SampleObject::new((seed % 3) as u8 + 1, seed, size);
        object.store_in(store).await.unwrap();
        objects.push(object);
    }
    objects
}

async fn both(
    pass: Pass,
    source: &dyn ObjectStore,
    target: &dyn ObjectStore,
) -> Result<ObjectTotals, MigrationError> {
    objects(source, target, pass, &|_| {}).await
}

#[tokio::test]
async fn every_object_arrives_and_is_read_back() {
    let (source, target) = (MemoryObjectStore::default(), MemoryObjectStore::default());
    let stored = sample(&source).await;
    let told = Mutex::new(ObjectTotals::default());
    let tell = |totals| *told.lock().unwrap() = totals;
    let copied = objects(&source, &target, Pass::Copy, &tell).await.unwrap();
    assert_eq!((copied.objects, copied), (OBJECTS, *told.lock().unwrap()));
    assert_eq!(copied.bytes, source.usage().await.unwrap().bytes);
    for object in stored {
        assert!(object.is_in(&target).await);
    }
    assert_eq!(both(Pass::Compare, &source, &target).await.unwrap(), copied);
}

#[tokio::test]
async fn objects_that_have_arrived_are_not_copied_again() {
    let (source, target) = (MemoryObjectStore::default(), MemoryObjectStore::default());
    let stored = sample(&source).await;
    for object in stored.iter().skip(1) {
        object.store_in(&target).await.unwrap();
    }
    // What has arrived cannot be read any more at its source.
    let damaged = DamagedStore::new(source.clone());
    for object in stored.iter().skip(1) {
        damaged.damage(object.id(), 0);
    }
    assert_eq!(
        both(Pass::Copy, &damaged, &target).await.unwrap().objects,
        OBJECTS
    );
    assert!(stored[0].is_in(&target).await);
}

#[tokio::test]
async fn an_object_that_is_damaged_at_its_source_is_named() {
    let (source, target) = (MemoryObjectStore::default(), MemoryObjectStore::default());
    let stored = sample(&source).await;
    let damaged = DamagedStore::new(source);
    damaged.damage(stored[7].id(), 0);
    match both(Pass::Copy, &damaged, &target).await {
        Err(MigrationError::Damaged { id, .. }) => assert_eq!(id, stored[7].id()),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn an_object_that_is_missing_damaged_or_too_much_is_a_difference() {
    let (source, target) = (MemoryObjectStore::default(), MemoryObjectStore::default());
    let stored = sample(&source).await;
    both(Pass::Copy, &source, &target).await.unwrap();

    let damaged = DamagedStore::new(target.clone());
    damaged.damage(stored[0].id(), 2);
    let compared = both(Pass::Compare, &source, &damaged).await;
    assert!(
        matches!(compared, Err(MigrationError::Store(StoreError::Corrupt(_)))),
        "{compared:?}"
    );
    let surplus = SampleObject::new(1, OBJECTS, 10);
    surplus.store_in(&target).await.unwrap();
    let is_different = |compared: Result<ObjectTotals, MigrationError>| match compared {
        Err(MigrationError::Different(what)) => what.contains("object"),
        other => panic!("{other:?}"),
    };
    assert!(is_different(both(Pass::Compare, &source, &target).await));
    target.remove(&surplus.id()).await.unwrap();
    target.remove(&stored[9].id()).await.unwrap();
    assert!(is_different(both(Pass::Compare, &source, &target).await));
    let newer = stored[9].envelope_with_sequence(1, 2);
    stored[9].store_under(&target, &newer).await.unwrap();
    assert!(is_different(both(Pass::Compare, &source, &target).await));
    assert!(is_different(both(Pass::Copy, &source, &target).await));
}

async fn put(store: &dyn KeyValueStore, keys: impl Iterator<Item = u32>, value: &'static str) {
    let mut batch = WriteBatch::new();
    for key in keys {
        batch.put(key.to_be_bytes().to_vec(), value);
    }
    store.commit(batch).await.unwrap();
}

#[tokio::test]
async fn entries_arrive_once_and_differences_are_found() {
    let (source, target) = (MemoryKeyValueStore::new(), MemoryKeyValueStore::new());
    put(&source, 0..1000, "value").await;
    // An earlier copy was broken off.
    put(&target, 0..300, "value").await;
    assert!(entries("test", &source, &target, Pass::Compare).await.is_err());
    assert_eq!(entries("test", &source, &target, Pass::Copy).await.unwrap(), 1000);
    assert_eq!(
        entries("test", &source, &target, Pass::Compare).await.unwrap(),
        1000
    );

    put(&target, 1000..1001, "more").await;
    for pass in [Pass::Copy, Pass::Compare] {
        let error = entries("test", &source, &target, pass).await.unwrap_err();
        assert!(error.to_string().contains("namespace test"), "{error}");
    }
    put(&source, 1000..1001, "other").await;
    assert!(entries("test", &source, &target, Pass::Copy).await.is_err());
}
