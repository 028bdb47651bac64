//! Large objects in the bucket of an S3 store.

mod collecting;
mod conformance;
mod opening;
mod reading;
mod trouble;

use std::{fs, path::Path};

use dm_core::{
    config::StorageConfig,
    envelope::CHUNK_SIZE,
    ports::{ObjectStore, StoreError},
};
use dm_storage::Storage;
use dm_testing::{
    objects::SampleObject,
    s3::{S3Double, storage_config},
};

/// Where the tests with a double keep their objects.
const URL: &str = "s3://bucket/node";

/// Settings for a store that gives up after two seconds.
fn impatient(endpoint: &str) -> StorageConfig {
    let mut config = storage_config(endpoint, URL);
    config.s3.retry_timeout_secs = 2;
    config
}

fn open(folder: &Path, endpoint: &str) -> Result<Storage, StoreError> {
    Storage::open(folder, &storage_config(endpoint, URL))
}

/// Larger than two parts.
fn large(seed: u64) -> SampleObject {
    SampleObject::new(1, seed, 50 * CHUNK_SIZE + 5)
}

/// Larger than the line between the engine and the bucket, and smaller than a part.
fn middle(seed: u64) -> SampleObject {
    SampleObject::new(1, seed, 5 * CHUNK_SIZE + 5)
}

/// The paths of the bodies in the store.
fn bodies(store: &S3Double) -> Vec<String> {
    let paths = store.paths().into_iter();
    paths
        .filter(|path| path.starts_with("/bucket/node/bodies/"))
        .collect()
}

async fn assert_stored(store: &dyn ObjectStore, object: &SampleObject) {
    assert!(object.is_in(store).await);
}

/// Copies a folder.
fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            fs::create_dir(&target).unwrap();
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}
