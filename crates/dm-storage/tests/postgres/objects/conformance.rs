//! The promises of the ports.

use std::sync::Arc;

use dm_core::ports::{KeptLimits, KeyValueStore, ObjectChanges, ObjectStore, UnfinishedObjects};
use dm_storage::{PostgresOptions, Storage};
use tempfile::TempDir;

use super::Shared;

/// What lives as long as a test.
type Guard = (Storage, TempDir, Shared);
type Objects = (Arc<dyn ObjectStore>, Guard);
type Changes = (Arc<dyn ObjectStore>, Arc<dyn ObjectChanges>, Guard);
type Unfinished = (Arc<dyn ObjectStore>, Arc<dyn UnfinishedObjects>, Guard);

async fn open(inline_limit: u64, reach: impl Fn(PostgresOptions) -> PostgresOptions) -> Guard {
    let (shared, folder) = (Shared::new().await, tempfile::tempdir().unwrap());
    let mut config = shared.config();
    config.inline_limit = inline_limit;
    let database = reach(shared.database.options());
    let opened = super::open(folder.path(), config, KeptLimits::NONE, database).await;
    (opened.unwrap(), folder, shared)
}

fn directly(options: PostgresOptions) -> PostgresOptions {
    options
}

mod by_size {
    use super::*;

    async fn open() -> Objects {
        let guard = super::open(256 * 1024, directly).await;
        (guard.0.objects(), guard)
    }
    dm_testing::object_store_conformance!(open);
}

mod all_in_the_bucket {
    use super::*;

    async fn open() -> Objects {
        let guard = super::open(0, directly).await;
        (guard.0.objects(), guard)
    }
    dm_testing::object_store_conformance!(open);
}

/// Without statements that stay prepared.
mod through_pooler {
    use super::*;

    async fn open() -> Objects {
        let guard = super::open(256 * 1024, PostgresOptions::through_pooler).await;
        (guard.0.objects(), guard)
    }
    dm_testing::object_store_conformance!(open);
}

mod changes {
    use super::*;

    async fn open() -> Changes {
        let guard = super::open(256 * 1024, directly).await;
        (guard.0.objects(), guard.0.changes(), guard)
    }
    dm_testing::object_changes_conformance!(open);
}

mod in_parts {
    use super::*;

    async fn open() -> Unfinished {
        let guard = super::open(256 * 1024, directly).await;
        (guard.0.objects(), guard.0.unfinished(), guard)
    }
    dm_testing::unfinished_objects_conformance!(open);
}

mod namespaces {
    use super::*;

    async fn open() -> (Arc<dyn KeyValueStore>, Guard) {
        let guard = super::open(256 * 1024, directly).await;
        (guard.0.namespace("test"), guard)
    }
    dm_testing::key_value_conformance!(open);
}
