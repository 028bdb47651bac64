//! The schema in PostgreSQL.

use std::time::Duration;

use dm_core::ports::CatalogError;
use sqlx::PgConnection;

use super::super::error::from_sqlx;

/// Every version of the schema, oldest first. A published one never changes.
const VERSIONS: [(i64, &str); 2] = [
    (1, include_str!("../../../migrations/postgres/0001_catalog.sql")),
    (2, include_str!("../../../migrations/postgres/0002_traces.sql")),
];
/// How often the schema is tried while another instance makes the same one.
const ATTEMPTS: u32 = 20;
const PAUSE: Duration = Duration::from_millis(100);

/// Brings a database to this program's schema, once, however many instances begin at the
/// same time: who comes second waits for the table's lock. That lock is one of a
/// transaction, which a pooler lets through.
pub(super) async fn bring_up(connection: &mut PgConnection) -> Result<(), CatalogError> {
    let mut attempt = 1;
    loop {
        match in_one_transaction(connection).await {
            // Two instances that make the very first table at once are in each other's way.
            Err(CatalogError::Conflict(_) | CatalogError::Unavailable(_)) if attempt < ATTEMPTS => {
                run(connection, "ROLLBACK").await?;
                tokio::time::sleep(PAUSE).await;
            }
            Err(error) => {
                // The connection is given up.
                let _ = run(connection, "ROLLBACK").await;
                return Err(error);
            }
            Ok(()) => return Ok(()),
        }
        attempt += 1;
    }
}

async fn in_one_transaction(connection: &mut PgConnection) -> Result<(), CatalogError> {
    run(
        connection,
        "BEGIN;
         CREATE TABLE IF NOT EXISTS catalog_versions (
             version BIGINT PRIMARY KEY, made_at TIMESTAMPTZ NOT NULL DEFAULT now());
         LOCK TABLE catalog_versions IN SHARE ROW EXCLUSIVE MODE",
    )
    .await?;
    let newest: Option<i64> = sqlx::query_scalar("SELECT max(version) FROM catalog_versions")
        .persistent(false)
        .fetch_one(&mut *connection)
        .await
        .map_err(from_sqlx)?;
    let newest = newest.unwrap_or(0);
    if VERSIONS.last().is_some_and(|(version, _)| *version < newest) {
        return Err(CatalogError::Corrupt(format!(
            "the database was written by a newer version of this program (schema {newest}); run that version"
        )));
    }
    for (version, sql) in VERSIONS.into_iter().filter(|(version, _)| *version > newest) {
        run(connection, sql).await?;
        sqlx::query("INSERT INTO catalog_versions (version) VALUES ($1)")
            .bind(version)
            .persistent(false)
            .execute(&mut *connection)
            .await
            .map_err(from_sqlx)?;
    }
    run(connection, "COMMIT").await
}

async fn run(connection: &mut PgConnection, statements: &'static str) -> Result<(), CatalogError> {
    let done = sqlx::raw_sql(statements).execute(connection).await;
    done.map(|_| ()).map_err(from_sqlx)
}
