//! The SQLite catalog keeps every promise of its ports.

use std::{ops::Deref, sync::Arc};

use dm_core::ports::{KeyValueStore, SecretFiles};
use dm_storage::{CatalogSecrets, SqliteCatalog};
use futures::FutureExt;
use tempfile::TempDir;

/// An empty catalog in a folder of its own.
struct TemporaryCatalog {
    catalog: SqliteCatalog,
    _folder: TempDir,
}

impl Deref for TemporaryCatalog {
    type Target = SqliteCatalog;

    fn deref(&self) -> &SqliteCatalog {
        &self.catalog
    }
}

async fn empty() -> TemporaryCatalog {
    let folder = tempfile::tempdir().unwrap();
    let catalog = SqliteCatalog::open(folder.path().join("catalog.db"))
        .await
        .unwrap();
    TemporaryCatalog {
        catalog,
        _folder: folder,
    }
}

catalog_conformance!(empty);

mod namespaces {
    use super::*;

    async fn open() -> (Arc<dyn KeyValueStore>, TemporaryCatalog) {
        let catalog = empty().await;
        (catalog.namespace("test"), catalog)
    }

    dm_testing::key_value_conformance!(open);
}

mod secrets {
    use super::*;

    async fn open() -> (Arc<dyn SecretFiles>, TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("catalog.db");
        let open = move || SqliteCatalog::open(path.clone()).boxed();
        (Arc::new(CatalogSecrets::of_catalog("here", open)), folder)
    }

    dm_testing::secret_files_conformance!(open);
}
