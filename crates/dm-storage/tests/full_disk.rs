//! A disk that is full: clear refusals, nothing lost.

use dm_core::{
    config::StorageConfig,
    envelope::CHUNK_SIZE,
    ports::{ObjectStore, StoreError},
};
use dm_storage::Storage;
use dm_testing::objects::SampleObject;

use crate::common::{LoopDisk, count_files};

/// Stores objects until one is refused, and returns those that were stored.
async fn fill(objects: &dyn ObjectStore, first_seed: u64, size: u64) -> Vec<SampleObject> {
    let mut stored = Vec::new();
    for seed in first_seed.. {
        let sample = SampleObject::new(1, seed, size);
        match sample.store_in(objects).await {
            Ok(()) => stored.push(sample),
            Err(StoreError::Full) => break,
            Err(other) => panic!("not a clear refusal: {other}"),
        }
    }
    stored
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_refuses_and_keeps_what_it_has() {
    let disk = match LoopDisk::new(320 << 20) {
        Ok(disk) => disk,
        Err(reason) => {
            println!("skipped: no loop-mounted ext4 here: {reason}");
            return;
        }
    };
    let folder = disk.path().join("store");
    let storage = Storage::open(&folder, &StorageConfig::default()).unwrap();
    let objects = storage.objects();
    let mut stored = fill(&*objects, 0, 24 * CHUNK_SIZE).await;
    stored.extend(fill(&*objects, 1000, CHUNK_SIZE / 2).await);
    assert_eq!(count_files(&folder.join("incoming")), 0);
    for sample in &stored {
        assert!(sample.is_in(&*objects).await);
    }
    for sample in stored.drain(..4) {
        assert!(objects.remove(&sample.id()).await.unwrap());
    }
    stored.push(SampleObject::new(1, 5000, 3 * CHUNK_SIZE));
    stored[stored.len() - 1].store_in(&*objects).await.unwrap();
    storage.close().await.unwrap();
    drop((objects, storage));

    let storage = Storage::open(&folder, &StorageConfig::default()).unwrap();
    for sample in &stored {
        assert!(sample.is_in(&*storage.objects()).await);
    }
}
