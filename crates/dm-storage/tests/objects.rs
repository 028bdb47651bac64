//! The object store keeps the promises of its port, wherever bodies are kept.

use std::{path::Path, sync::Arc};

use dm_core::{
    config::{ObjectEngine, StorageConfig},
    ports::{KeyValueStore, ObjectChanges, ObjectStore, UnfinishedObjects},
};
use dm_storage::Storage;
use tempfile::TempDir;

fn config(engine: ObjectEngine, inline_limit: u64) -> StorageConfig {
    StorageConfig {
        engine,
        inline_limit,
        cache_bytes: 1 << 20,
        ..StorageConfig::default()
    }
}

fn open(folder: &Path, engine: ObjectEngine, inline_limit: u64) -> Storage {
    Storage::open(folder, &config(engine, inline_limit)).unwrap()
}

fn objects(engine: ObjectEngine, inline_limit: u64) -> (Arc<dyn ObjectStore>, (Storage, TempDir)) {
    let folder = tempfile::tempdir().unwrap();
    let storage = open(folder.path(), engine, inline_limit);
    (storage.objects(), (storage, folder))
}

type Changes = (Arc<dyn ObjectStore>, Arc<dyn ObjectChanges>, (Storage, TempDir));

fn changes(engine: ObjectEngine) -> Changes {
    let folder = tempfile::tempdir().unwrap();
    let storage = open(folder.path(), engine, 256 * 1024);
    (storage.objects(), storage.changes(), (storage, folder))
}

type Unfinished = (
    Arc<dyn ObjectStore>,
    Arc<dyn UnfinishedObjects>,
    (Storage, TempDir),
);

fn unfinished(engine: ObjectEngine, inline_limit: u64) -> Unfinished {
    let folder = tempfile::tempdir().unwrap();
    let storage = open(folder.path(), engine, inline_limit);
    (storage.objects(), storage.unfinished(), (storage, folder))
}

fn namespace(engine: ObjectEngine) -> (Arc<dyn KeyValueStore>, (Storage, TempDir)) {
    let folder = tempfile::tempdir().unwrap();
    let storage = open(folder.path(), engine, 0);
    (storage.namespace("test"), (storage, folder))
}

macro_rules! engine_suite {
    ($engine:ident, $variant:ident) => {
        mod $engine {
            mod by_size {
                async fn open() -> (
                    std::sync::Arc<dyn dm_core::ports::ObjectStore>,
                    (dm_storage::Storage, tempfile::TempDir),
                ) {
                    super::super::objects(dm_core::config::ObjectEngine::$variant, 256 * 1024)
                }
                dm_testing::object_store_conformance!(open);
            }

            mod changes {
                async fn open() -> crate::objects::Changes {
                    crate::objects::changes(dm_core::config::ObjectEngine::$variant)
                }
                dm_testing::object_changes_conformance!(open);
            }

            mod in_parts {
                async fn open() -> crate::objects::Unfinished {
                    crate::objects::unfinished(dm_core::config::ObjectEngine::$variant, 256 * 1024)
                }
                dm_testing::unfinished_objects_conformance!(open);
            }

            mod all_in_files {
                async fn open() -> (
                    std::sync::Arc<dyn dm_core::ports::ObjectStore>,
                    (dm_storage::Storage, tempfile::TempDir),
                ) {
                    super::super::objects(dm_core::config::ObjectEngine::$variant, 0)
                }
                dm_testing::object_store_conformance!(open);
            }

            mod all_in_the_engine {
                async fn open() -> (
                    std::sync::Arc<dyn dm_core::ports::ObjectStore>,
                    (dm_storage::Storage, tempfile::TempDir),
                ) {
                    super::super::objects(dm_core::config::ObjectEngine::$variant, u64::MAX)
                }
                dm_testing::object_store_conformance!(open);
            }

            mod namespaces {
                async fn open() -> (
                    std::sync::Arc<dyn dm_core::ports::KeyValueStore>,
                    (dm_storage::Storage, tempfile::TempDir),
                ) {
                    super::super::namespace(dm_core::config::ObjectEngine::$variant)
                }
                dm_testing::key_value_conformance!(open);
            }
        }
    };
}

engine_suite!(fjall, Fjall);
#[cfg(feature = "rocksdb")]
engine_suite!(rocksdb, Rocksdb);
#[cfg(feature = "sled")]
engine_suite!(sled, Sled);
