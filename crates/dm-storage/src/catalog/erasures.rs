//! Data that is being erased.

use async_trait::async_trait;
use dm_core::{
    hash::DataHash,
    ports::{CatalogError, ErasureCause, Erasures},
};

use super::{
    SqliteCatalog,
    change::{OrderedChange, SingleChange},
    columns::{Columns, bound, storable},
    error::from_sqlx,
    pages::Source,
    readable_objects, revocations, share_writes,
    sql::{self, Connection, Row},
};

const ERASURES: Source = Source::new("erasures", "locator");
const EXPIRIES: Source = Source::new("expiries", "locator");

pub(super) const BEGIN: &str =
    "INSERT INTO erasures (locator, data_hash) VALUES (?, ?) ON CONFLICT DO NOTHING";
pub(super) const END: &str = "DELETE FROM erasures WHERE locator = ?";
pub(super) const UNFINISHED: &str =
    "SELECT locator, data_hash FROM erasures WHERE locator > ? ORDER BY locator LIMIT +?";

pub(super) const SCHEDULE: &str = "INSERT INTO expiries (locator, data_hash, expires_at) VALUES (?, ?, ?)
    ON CONFLICT (locator) DO UPDATE SET data_hash = excluded.data_hash, expires_at = excluded.expires_at";
pub(super) const UNSCHEDULE: &str = "DELETE FROM expiries WHERE locator = ?";
pub(super) const DUE: &str = "SELECT locator, data_hash, expires_at FROM expiries
    WHERE expires_at <= ? AND (expires_at, locator) > (?, ?) ORDER BY expires_at, locator LIMIT +?";

pub(super) async fn schedule(
    connection: &mut Connection<'_>,
    data_hash: &DataHash,
    at: Option<u64>,
) -> Result<(), CatalogError> {
    let locator = data_hash.locator().as_bytes().to_vec();
    let query = match at {
        Some(at) => sql::query(SCHEDULE)
            .bind(locator)
            .bind(data_hash.as_bytes().to_vec())
            .bind(storable(at)?),
        None => sql::query(UNSCHEDULE).bind(locator),
    };
    query.execute(connection).await.map_err(from_sqlx)?;
    Ok(())
}

/// What the beginning of an erasure has found.
pub(super) struct Begun {
    /// The erasure had not been begun before.
    pub(super) is_new: bool,
    /// There was a key.
    pub(super) had_key: bool,
}

/// Deletes key and shares of the data and keeps what is to be finished. SQLite overwrites what it deletes (`secure_delete`).
pub(super) async fn begin(
    connection: &mut Connection<'_>,
    data_hash: &DataHash,
) -> Result<Begun, CatalogError> {
    let query = sql::query(BEGIN)
        .bind(data_hash.locator().as_bytes().to_vec())
        .bind(data_hash.as_bytes().to_vec());
    let begun = query.execute(&mut *connection).await.map_err(from_sqlx)?;
    schedule(connection, data_hash, None).await?;
    share_writes::remove_all(connection, data_hash).await?;
    revocations::forget(connection, data_hash).await?;
    Ok(Begun {
        is_new: begun > 0,
        had_key: readable_objects::remove(connection, data_hash).await?,
    })
}

pub(super) async fn end(connection: &mut Connection<'_>, data_hash: &DataHash) -> Result<(), CatalogError> {
    let query = sql::query(END).bind(data_hash.locator().as_bytes().to_vec());
    query.execute(connection).await.map_err(from_sqlx)?;
    Ok(())
}

fn data_hash(row: &Row) -> Result<DataHash, CatalogError> {
    row.bytes("data_hash").map(DataHash::from_bytes)
}

#[async_trait]
impl Erasures for SqliteCatalog {
    async fn begin_erasure(&self, data_hash: &DataHash, cause: ErasureCause) -> Result<(), CatalogError> {
        let data_hash = *data_hash;
        self.make(OrderedChange::BeginErasure { data_hash, cause }).await
    }

    async fn unfinished_erasures(
        &self,
        after: Option<DataHash>,
        limit: usize,
    ) -> Result<Vec<DataHash>, CatalogError> {
        // The empty blob is before all others.
        let after = after.map(|after| after.locator().as_bytes().to_vec());
        let after = after.unwrap_or_default();
        let query = |rows| sql::query(UNFINISHED).bind(after.clone()).bind(rows);
        self.page(ERASURES, limit, query, data_hash).await
    }

    async fn schedule_erasure(&self, data_hash: &DataHash, at: Option<u64>) -> Result<(), CatalogError> {
        let data_hash = *data_hash;
        self.make(SingleChange::ScheduleErasure { data_hash, at }).await
    }

    async fn due_erasures(
        &self,
        now: u64,
        after: Option<(u64, DataHash)>,
        limit: usize,
    ) -> Result<Vec<(u64, DataHash)>, CatalogError> {
        // The empty blob is before all others.
        let (at, locator) = match after {
            Some((at, hash)) => (bound(at), hash.locator().as_bytes().to_vec()),
            None => (0, Vec::new()),
        };
        let query = |rows| {
            sql::query(DUE)
                .bind(bound(now))
                .bind(at)
                .bind(locator.clone())
                .bind(rows)
        };
        let due = |row: &Row| Ok((row.number("expires_at")?, data_hash(row)?));
        self.page(EXPIRIES, limit, query, due).await
    }

    async fn end_erasure(&self, data_hash: &DataHash) -> Result<(), CatalogError> {
        self.make(SingleChange::EndErasure(*data_hash)).await
    }
}
