//! The catalog in PostgreSQL keeps every promise of its ports, and those of several writers.

mod failures;
mod leases;
mod nodes;
#[cfg(feature = "s3")]
mod objects;
mod opening;
mod pooler;
mod schema;
mod server;
mod tables;
mod writers;

use std::sync::Arc;

use dm_core::ports::{KeyValueStore, SecretFiles};
use dm_storage::{CatalogSecrets, SqliteCatalog};
use futures::FutureExt;

use self::server::Database;

async fn empty() -> Arc<SqliteCatalog> {
    let database = Database::new().await;
    Arc::new(SqliteCatalog::open_postgres(database.options()).await.unwrap())
}

async fn empty_through_pooler() -> Arc<SqliteCatalog> {
    let options = Database::new().await.options().through_pooler();
    Arc::new(SqliteCatalog::open_postgres(options).await.unwrap())
}

catalog_conformance!(empty);

mod namespaces {
    use super::*;

    async fn open() -> (Arc<dyn KeyValueStore>, Arc<SqliteCatalog>) {
        let catalog = empty().await;
        (catalog.namespace("test"), catalog)
    }

    dm_testing::key_value_conformance!(open);
}

mod secrets {
    use super::*;

    async fn open() -> (Arc<dyn SecretFiles>, ()) {
        let options = Database::new().await.options();
        let open = move || SqliteCatalog::open_postgres(options.clone()).boxed();
        (Arc::new(CatalogSecrets::of_catalog("here", open)), ())
    }

    dm_testing::secret_files_conformance!(open);
}

/// Without statements that stay prepared.
mod through_pooler {
    catalog_conformance!(super::empty_through_pooler);
}
