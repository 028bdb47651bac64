//! The index of the objects in PostgreSQL, and large objects in a bucket that instances share.

mod conformance;
mod opening;
mod trouble;
mod writers;

use std::path::Path;

use dm_core::{
    config::StorageConfig,
    envelope::CHUNK_SIZE,
    ports::{KeptLimits, StoreError},
};
use dm_storage::{PostgresOptions, Storage};
use dm_testing::{
    objects::SampleObject,
    s3::{S3Double, storage_config},
};

use super::server::Database;

const URL: &str = "s3://bucket/node";

/// A database and a bucket, for any number of instances.
struct Shared {
    database: Database,
    bucket: S3Double,
}

impl Shared {
    async fn new() -> Self {
        Self {
            database: Database::new().await,
            bucket: S3Double::start(None),
        }
    }

    fn config(&self) -> StorageConfig {
        storage_config(&self.bucket.url(), URL)
    }

    async fn open(&self, folder: &Path) -> Storage {
        self.open_within(folder, KeptLimits::NONE).await
    }

    async fn open_within(&self, folder: &Path, limits: KeptLimits) -> Storage {
        let opened = open(folder, self.config(), limits, self.database.options()).await;
        opened.unwrap()
    }

    /// The paths of the bodies in the bucket.
    fn bodies(&self) -> Vec<String> {
        let paths = self.bucket.paths().into_iter();
        paths
            .filter(|path| path.starts_with("/bucket/node/bodies/"))
            .collect()
    }
}

async fn open(
    folder: &Path,
    config: StorageConfig,
    limits: KeptLimits,
    database: PostgresOptions,
) -> Result<Storage, StoreError> {
    let folder = folder.to_owned();
    let open = move || Storage::open_shared(&folder, &config, limits, &database);
    tokio::task::spawn_blocking(open).await.unwrap()
}

fn small(seed: u64) -> SampleObject {
    SampleObject::new(1, seed, 700)
}

/// Larger than the line between the database and the bucket, and smaller than a part.
fn middle(seed: u64) -> SampleObject {
    SampleObject::new(1, seed, 2 * CHUNK_SIZE + 5)
}

/// Larger than two parts.
fn large(seed: u64) -> SampleObject {
    SampleObject::new(1, seed, 50 * CHUNK_SIZE + 5)
}

async fn assert_stored(storage: &Storage, object: &SampleObject) {
    assert!(object.is_in(&*storage.objects()).await);
}
