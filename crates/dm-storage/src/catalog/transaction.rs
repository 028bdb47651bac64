//! Transactions of the connection that writes.
//!
//! sqlx's own transactions count how deep they are, and count wrongly where
//! SQLite has rolled back by itself, as it does on a full disk: the connection
//! would take no further transaction. So the statements are made here.

use dm_core::ports::CatalogError;
use sqlx::SqliteConnection;

use super::error::{from_sqlx, is_busy, unavailable};

/// What a caller learns where the write lock was not to be had within the busy timeout.
const HELD_BY_ANOTHER: &str =
    "another process holds the lock of the catalog's database; stop that process or wait for it";

/// Why a transaction was not made.
pub(super) enum Failure {
    /// Another process holds the write lock. Nothing was begun, so nothing has to be undone.
    NotBegun(CatalogError),
    /// It was refused before its commit: nothing of it can come alive.
    Before(CatalogError),
    /// Its commit failed. All of it may stand in the write-ahead log, where the
    /// next process that opens the database finds it.
    Commit(CatalogError),
}

impl Failure {
    /// What the database said.
    pub(super) fn into_error(self) -> CatalogError {
        match self {
            Self::NotBegun(error) | Self::Before(error) | Self::Commit(error) => error,
        }
    }
}

/// Begins with the write lock: what is read before the writes must still hold.
pub(super) async fn begin(connection: &mut SqliteConnection) -> Result<(), Failure> {
    match sqlx::query("BEGIN IMMEDIATE").execute(connection).await {
        Ok(_) => Ok(()),
        Err(error) if is_busy(&error) => Err(Failure::NotBegun(unavailable(HELD_BY_ANOTHER))),
        Err(error) => Err(Failure::Before(from_sqlx(error))),
    }
}

/// Commits; what the transaction did is durable when this returns.
pub(super) async fn commit(connection: &mut SqliteConnection) -> Result<(), CatalogError> {
    run(connection, "COMMIT").await
}

/// Takes back what is not committed. Fails also where SQLite has done so itself.
pub(super) async fn roll_back(connection: &mut SqliteConnection) -> Result<(), CatalogError> {
    run(connection, "ROLLBACK").await
}

/// Makes a transaction that changes a number that nobody reads, and thereby
/// overwrites whatever a failed commit has left in the write-ahead log.
///
/// Each page in the log carries a checksum over all pages before it, so what
/// stands behind an overwritten one is never read again. The number is
/// `user_version` of the database's header: it stands on a page of its own
/// transaction, and no schema need know of it.
pub(super) async fn fence(connection: &mut SqliteConnection) -> Result<(), Failure> {
    begin(connection).await?;
    count_up(connection).await.map_err(Failure::Before)?;
    commit(connection).await.map_err(Failure::Commit)
}

async fn count_up(connection: &mut SqliteConnection) -> Result<(), CatalogError> {
    let last: i32 = sqlx::query_scalar("PRAGMA user_version")
        .fetch_one(&mut *connection)
        .await
        .map_err(from_sqlx)?;
    let next = last.wrapping_add(1);
    let statement = sqlx::AssertSqlSafe(format!("PRAGMA user_version = {next}"));
    let counted = sqlx::raw_sql(statement).execute(connection).await;
    counted.map(|_| ()).map_err(from_sqlx)
}

async fn run(connection: &mut SqliteConnection, statement: &'static str) -> Result<(), CatalogError> {
    sqlx::query(statement)
        .execute(connection)
        .await
        .map(|_| ())
        .map_err(from_sqlx)
}
