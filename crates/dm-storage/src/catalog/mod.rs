//! The catalog: shares, readable objects, the compliance log, orders, tokens,
//! uploads, API keys, authorised users, contacts and the peer book in one database.

mod api_keys;
mod batch;
mod bulk;
mod cache;
mod change;
mod checkpoints;
mod clock;
mod columns;
mod committer;
mod committing;
mod contact_cache;
mod contacts;
mod copy;
mod deliveries;
mod erasures;
pub(crate) mod error;
mod event_log;
mod health;
mod history;
mod inbox;
mod inbox_pages;
mod instances;
mod journal;
mod key_changes;
mod key_uses;
mod leases;
mod listing_pages;
mod mandates;
mod meter;
mod namespaces;
mod open;
mod order_rows;
mod order_writes;
mod orders;
mod pages;
mod peers;
#[cfg(feature = "postgres")]
pub(crate) mod postgres;
mod readable_objects;
mod replicas;
mod revocations;
mod secrets;
mod sent;
mod sent_pages;
mod share_writes;
mod shares;
pub(crate) mod sql;
mod subscriptions;
mod tables;
mod tokens;
mod traced_news;
mod transaction;
mod uploads;
mod users;
mod wiping;
mod writer;

#[cfg(test)]
mod earlier_shares;
#[cfg(test)]
mod full_disk;
#[cfg(test)]
mod query_plans;

use std::{ffi::OsString, fs::File, path::Path, sync::Arc};

use dm_core::{meter::Histogram, ports::CatalogError};
use sqlx::SqliteConnection;
use tokio::sync::watch;

pub use self::meter::CatalogMeter;
#[cfg(feature = "postgres")]
pub use self::postgres::PostgresOptions;
pub use self::secrets::CatalogSecrets;
pub use self::tables::{CatalogTables, TableTotals};
use self::{
    cache::Caches,
    change::{Change, Outcome},
    committer::Committer,
    committing::{Committing, KEPT_FREE, Place, RESERVE},
    health::Home,
    pages::UnreadableRows,
    sql::Pool,
    writer::Writer,
};
use crate::disk::{reserve::Reserve, space::Space, write_state::WriteState};

/// The catalog in one SQLite file, or with the feature `postgres` in a PostgreSQL database.
/// Implements
/// [`ShareCatalog`](dm_core::ports::ShareCatalog),
/// [`ReadableObjects`](dm_core::ports::ReadableObjects),
/// [`KeyUses`](dm_core::ports::KeyUses),
/// [`KeyChanges`](dm_core::ports::KeyChanges),
/// [`Erasures`](dm_core::ports::Erasures),
/// [`Revocations`](dm_core::ports::Revocations),
/// [`InboxCatalog`](dm_core::ports::InboxCatalog),
/// [`DeliveryCatalog`](dm_core::ports::DeliveryCatalog),
/// [`EventJournal`](dm_core::ports::EventJournal),
/// [`EventLog`](dm_core::ports::EventLog),
/// [`OrderCatalog`](dm_core::ports::OrderCatalog),
/// [`SubscriptionCatalog`](dm_core::ports::SubscriptionCatalog),
/// [`TokenCatalog`](dm_core::ports::TokenCatalog),
/// [`UploadCatalog`](dm_core::ports::UploadCatalog),
/// [`ApiKeyCatalog`](dm_core::ports::ApiKeyCatalog),
/// [`AuthorizedUsers`](dm_core::ports::AuthorizedUsers),
/// [`ContactBook`](dm_core::ports::ContactBook),
/// [`UsedMandates`](dm_core::ports::UsedMandates),
/// [`PeerCatalog`](dm_core::ports::PeerCatalog),
/// [`Leases`](dm_core::ports::Leases),
/// [`Instances`](dm_core::ports::Instances),
/// [`CatalogCopy`](dm_core::ports::CatalogCopy) and
/// [`HealthCheck`](dm_core::ports::HealthCheck).
///
/// Writes that wait at the same time share one durable commit; reads go to a
/// small pool of their own and see whatever was acknowledged. Cheap to clone.
/// Must be opened within a tokio runtime.
#[derive(Clone)]
pub struct SqliteCatalog {
    writer: Writer,
    reads: Pool,
    caches: Arc<Caches>,
    state: WriteState,
    home: Home,
    unreadable: UnreadableRows,
    journal_growth: watch::Sender<u64>,
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
        let (connection, file) = open::writing(path).await?;
        Self::start(path, connection, file)
    }

    fn start(path: &Path, connection: SqliteConnection, file: File) -> Result<Self, CatalogError> {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let space = Space::of(folder.unwrap_or(Path::new(".")), KEPT_FREE).map_err(copy::from_store)?;
        let mut reserve = OsString::from(path);
        reserve.push("-reserve");
        let place = Place {
            path: path.to_owned(),
            file: Arc::new(file),
            space: space.clone(),
            reserve: Reserve::at(reserve.into(), RESERVE),
        };
        let (reads, caches, state) = (
            open::reading(path),
            Arc::new(Caches::new()),
            WriteState::default(),
        );
        let journal_growth = watch::Sender::new(0);
        let committer = Committer::Sqlite {
            committing: Box::new(Committing::new(connection, place, state.clone())),
            readers: reads.clone(),
        };
        Ok(Self {
            writer: Writer::start(committer, Arc::clone(&caches), journal_growth.clone()),
            reads: reads.into(),
            caches,
            state,
            home: Home::Disk(space),
            unreadable: UnreadableRows::default(),
            journal_growth,
        })
    }

    /// Opens a catalog in a PostgreSQL database, which it brings to this program's schema.
    /// Several instances may have it open.
    ///
    /// # Errors
    /// [`CatalogError::Unavailable`] where the server cannot be reached,
    /// [`CatalogError::Conflict`] where the database belongs to another account, and
    /// [`CatalogError::Corrupt`] where a newer version has written it.
    #[cfg(feature = "postgres")]
    pub async fn open_postgres(options: PostgresOptions) -> Result<Self, CatalogError> {
        let connection = postgres::prepare(&options).await?;
        let (reads, place) = (Pool::from(options.pool()), options.place());
        // Other instances change what is kept, and do not say so: nothing is kept ready.
        let (caches, state) = (Arc::new(Caches::disabled()), WriteState::default());
        let journal_growth = watch::Sender::new(0);
        let committing = postgres::Committing::new(options, connection, state.clone()).await?;
        let committer = Committer::Postgres(Box::new(committing));
        let writer = Writer::start(committer, Arc::clone(&caches), journal_growth.clone());
        tokio::spawn(postgres::follow_journal(
            reads.clone(),
            journal_growth.clone(),
            writer.is_in_use(),
        ));
        Ok(Self {
            writer,
            reads,
            caches,
            state,
            home: Home::Server(place),
            unreadable: UnreadableRows::default(),
            journal_growth,
        })
    }

    /// What this process has committed since the catalog was opened.
    pub fn meter(&self) -> &CatalogMeter {
        self.writer.meter()
    }

    /// How long each read of the database took since the catalog was opened. What is kept in
    /// memory is not read.
    pub fn reads(&self) -> &Histogram {
        self.reads.seconds()
    }

    /// How many changes wait to be committed.
    pub fn waiting_changes(&self) -> usize {
        self.writer.waiting()
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
    async fn make(&self, change: impl Into<Change>) -> Result<(), CatalogError> {
        self.writer.write(change).await.map(|_| ())
    }

    /// Makes a change and says whether there was what it changed.
    async fn make_if_there(&self, change: impl Into<Change>) -> Result<bool, CatalogError> {
        Ok(self.writer.write(change).await? == Outcome::Existed(true))
    }
}
