//! Statements for either database: SQLite, and with the feature `postgres` PostgreSQL.
//!
//! Most statements are one text for both, with the parameters of SQLite; where the
//! databases need different words, the two texts stand side by side as [`Dialects`].
//!
//! A limit is written `LIMIT +?`: SQLite plans a query with `LIMIT ?` anew each time that
//! another value is bound, which takes longer than most queries do.

mod builder;
#[cfg(feature = "postgres")]
mod postgres_query;
#[cfg(feature = "postgres")]
mod postgres_text;
mod query;
mod row;
mod statement;
mod value;

use std::sync::Arc;

use dm_core::meter::Histogram;
use sqlx::{SqliteConnection, SqlitePool};

#[cfg(feature = "postgres")]
pub(crate) use self::postgres_query::{PostgresConnection, PostgresPool, Statements};
pub(crate) use self::{
    builder::QueryBuilder,
    query::{Query, query, query_scalar},
    row::{FromColumn, Row},
    statement::{Dialects, Statement},
    value::Value,
};

/// A connection to either database, within a transaction.
pub(crate) enum Connection<'c> {
    Sqlite(&'c mut SqliteConnection),
    #[cfg(feature = "postgres")]
    Postgres(PostgresConnection<'c>),
}

/// The connections that read, and how long reads took, with the wait for a connection.
#[derive(Clone)]
pub(crate) struct Pool {
    connections: Connections,
    seconds: Arc<Histogram>,
}

#[derive(Clone)]
enum Connections {
    Sqlite(SqlitePool),
    #[cfg(feature = "postgres")]
    Postgres(PostgresPool),
}

impl Pool {
    fn new(connections: Connections) -> Self {
        Self {
            connections,
            seconds: Arc::new(Histogram::of_seconds()),
        }
    }

    /// How long reads took.
    pub(crate) fn seconds(&self) -> &Histogram {
        &self.seconds
    }

    #[cfg(feature = "postgres")]
    pub(crate) fn is_closed(&self) -> bool {
        match &self.connections {
            Connections::Sqlite(pool) => pool.is_closed(),
            Connections::Postgres(target) => target.pool.is_closed(),
        }
    }

    pub(crate) async fn close(&self) {
        match &self.connections {
            Connections::Sqlite(pool) => pool.close().await,
            #[cfg(feature = "postgres")]
            Connections::Postgres(target) => target.pool.close().await,
        }
    }
}

impl From<SqlitePool> for Pool {
    fn from(pool: SqlitePool) -> Self {
        Self::new(Connections::Sqlite(pool))
    }
}

#[cfg(feature = "postgres")]
impl From<PostgresPool> for Pool {
    fn from(pool: PostgresPool) -> Self {
        Self::new(Connections::Postgres(pool))
    }
}

/// What a query runs on.
pub(crate) enum Target<'c> {
    Sqlite(&'c mut SqliteConnection),
    #[cfg(feature = "postgres")]
    Postgres(PostgresConnection<'c>),
    Pool(&'c Pool),
}

impl<'c> From<&'c mut Connection<'_>> for Target<'c> {
    fn from(connection: &'c mut Connection<'_>) -> Self {
        match connection {
            Connection::Sqlite(connection) => Self::Sqlite(connection),
            #[cfg(feature = "postgres")]
            Connection::Postgres(target) => Self::Postgres(PostgresConnection {
                connection: target.connection,
                statements: target.statements,
            }),
        }
    }
}

impl<'c> From<&'c Pool> for Target<'c> {
    fn from(pool: &'c Pool) -> Self {
        Self::Pool(pool)
    }
}
