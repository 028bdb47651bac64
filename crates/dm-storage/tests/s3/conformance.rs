//! The promises of the ports, over a real server and over the double. Where the server is
//! missing, the double stands in for it.

use std::sync::Arc;

use dm_core::{
    config::StorageConfig,
    ports::{ObjectChanges, ObjectStore, UnfinishedObjects},
};
use dm_storage::Storage;
use dm_testing::s3::{Moto, S3Double, storage_config};
use tempfile::TempDir;

use super::URL;

/// What lives as long as a test.
type Guard = (Storage, TempDir, Option<S3Double>);

fn over_moto() -> (StorageConfig, Option<S3Double>) {
    match Moto::running() {
        Some(moto) => {
            let url = format!("s3://{}/node", moto.make_bucket());
            (storage_config(moto.url(), &url), None)
        }
        None => over_double(),
    }
}

fn over_double() -> (StorageConfig, Option<S3Double>) {
    let store = S3Double::start(None);
    (storage_config(&store.url(), URL), Some(store))
}

fn open((mut config, store): (StorageConfig, Option<S3Double>), inline_limit: u64) -> Guard {
    config.inline_limit = inline_limit;
    let folder = tempfile::tempdir().unwrap();
    (Storage::open(folder.path(), &config).unwrap(), folder, store)
}

type Objects = (Arc<dyn ObjectStore>, Guard);
type Changes = (Arc<dyn ObjectStore>, Arc<dyn ObjectChanges>, Guard);
type Unfinished = (Arc<dyn ObjectStore>, Arc<dyn UnfinishedObjects>, Guard);

mod moto {
    use super::*;

    mod by_size {
        async fn open() -> super::Objects {
            let guard = super::open(super::over_moto(), 256 * 1024);
            (guard.0.objects(), guard)
        }
        dm_testing::object_store_conformance!(open);
    }

    mod in_parts {
        async fn open() -> super::Unfinished {
            let guard = super::open(super::over_moto(), 256 * 1024);
            (guard.0.objects(), guard.0.unfinished(), guard)
        }
        dm_testing::unfinished_objects_conformance!(open);
    }

    mod changes {
        async fn open() -> super::Changes {
            let guard = super::open(super::over_moto(), 0);
            (guard.0.objects(), guard.0.changes(), guard)
        }
        dm_testing::object_changes_conformance!(open);
    }
}

mod double {
    use super::*;

    mod all_in_the_bucket {
        async fn open() -> super::Objects {
            let guard = super::open(super::over_double(), 0);
            (guard.0.objects(), guard)
        }
        dm_testing::object_store_conformance!(open);
    }

    mod in_parts {
        async fn open() -> super::Unfinished {
            let guard = super::open(super::over_double(), 256 * 1024);
            (guard.0.objects(), guard.0.unfinished(), guard)
        }
        dm_testing::unfinished_objects_conformance!(open);
    }
}
