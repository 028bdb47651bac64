//! The catalog: shares, readable objects, the compliance log, orders, tokens,
//! API keys, authorised users and the peer book in one SQLite database.

mod api_keys;
mod batch;
mod bulk;
mod cache;
mod change;
mod checkpoints;
mod columns;
mod copy;
mod erasures;
mod error;
mod event_log;
mod history;
mod key_changes;
mod key_uses;
mod mandates;
mod open;
mod order_rows;
mod order_writes;
mod orders;
mod peers;
mod readable_objects;
mod replicas;
mod revocations;
mod shares;
mod tokens;
mod users;
mod writer;

#[cfg(test)]
mod full_disk;
#[cfg(test)]
mod query_plans;

use std::{path::Path, sync::Arc};

use dm_core::ports::CatalogError;
use sqlx::{SqliteConnection, SqlitePool};

use self::{
    cache::ReadableCache,
    change::{Change, Outcome},
    writer::Writer,
};

/// The catalog in one SQLite file. Implements
/// [`ShareCatalog`](dm_core::ports::ShareCatalog),
/// [`ReadableObjects`](dm_core::ports::ReadableObjects),
/// [`KeyUses`](dm_core::ports::KeyUses),
/// [`KeyChanges`](dm_core::ports::KeyChanges),
/// [`Erasures`](dm_core::ports::Erasures),
/// [`Revocations`](dm_core::ports::Revocations),
/// [`EventLog`](dm_core::ports::EventLog),
/// [`OrderCatalog`](dm_core::ports::OrderCatalog),
/// [`TokenCatalog`](dm_core::ports::TokenCatalog),
/// [`ApiKeyCatalog`](dm_core::ports::ApiKeyCatalog),
/// [`AuthorizedUsers`](dm_core::ports::AuthorizedUsers),
/// [`UsedMandates`](dm_core::ports::UsedMandates),
/// [`PeerCatalog`](dm_core::ports::PeerCatalog) and
/// [`CatalogCopy`](dm_core::ports::CatalogCopy).
///
/// Writes that wait at the same time share one durable commit; reads go to a
/// small pool of their own and see whatever was acknowledged. Cheap to clone.
/// Must be opened within a tokio runtime.
#[derive(Clone)]
pub struct SqliteCatalog {
    writer: Writer,
    reads: SqlitePool,
    cache: Arc<ReadableCache>,
}

impl SqliteCatalog {
    /// Opens the database at `path`, or makes it, readable for this user
    /// alone, and brings it to this program's schema. Several processes may
    /// have it open.
    ///
    /// # Errors
    /// [`CatalogError::Corrupt`] where the file is no catalog, is damaged, or
    /// was written by a newer version; it is not touched then.
    pub async fn open(path: impl AsRef<Path>) -> Result<Self, CatalogError> {
        let path = path.as_ref();
        let connection = open::writing(path).await?;
        Ok(Self::start(connection, open::reading(path)))
    }

    fn start(connection: SqliteConnection, reads: SqlitePool) -> Self {
        let cache = Arc::new(ReadableCache::new());
        Self {
            writer: Writer::start(connection, Arc::clone(&cache)),
            reads,
            cache,
        }
    }

    /// Finishes what was handed over and leaves one file that is complete
    /// without its write-ahead log. Later calls on any clone fail.
    ///
    /// # Errors
    /// Where the database cannot be closed; what was acknowledged is safe even then.
    pub async fn close(&self) -> Result<(), CatalogError> {
        self.reads.close().await;
        self.writer.close().await
    }

    /// Makes a change of which there is nothing to tell but that it is made.
    async fn make(&self, change: Change) -> Result<(), CatalogError> {
        self.writer.write(change).await.map(|_| ())
    }

    /// Makes a change and says whether there was what it changed.
    async fn make_if_there(&self, change: Change) -> Result<bool, CatalogError> {
        Ok(self.writer.write(change).await? == Outcome::Existed(true))
    }
}
