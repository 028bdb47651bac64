//! The SQLite catalog keeps every promise of its ports.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::ops::Deref;

use dm_storage::SqliteCatalog;
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

dm_core::share_catalog_conformance!(empty);
dm_core::whole_shares_conformance!(empty);
dm_core::readable_objects_conformance!(empty);
dm_core::key_uses_conformance!(empty);
dm_core::key_changes_conformance!(empty);
dm_core::erasures_conformance!(empty);
dm_core::revocations_conformance!(empty);
dm_core::event_log_conformance!(empty);
dm_core::api_key_catalog_conformance!(empty);
dm_core::peer_catalog_conformance!(empty);
dm_core::order_catalog_conformance!(empty);
dm_core::token_catalog_conformance!(empty);
dm_core::authorized_users_conformance!(empty);
dm_core::used_mandates_conformance!(empty);
