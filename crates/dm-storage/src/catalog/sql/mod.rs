//! Statements for either database: SQLite, and with the feature `postgres` PostgreSQL.
//!
//! Most statements are one text for both, with the parameters of SQLite; where the
//! databases need different words, the two texts stand side by side as [`Dialects`].

mod builder;
#[cfg(feature = "postgres")]
mod postgres_query;
#[cfg(feature = "postgres")]
mod postgres_text;
mod query;
mod row;
mod statement;
mod value;

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

/// The connections that read.
#[derive(Clone)]
pub(crate) enum Pool {
    Sqlite(SqlitePool),
    #[cfg(feature = "postgres")]
    Postgres(PostgresPool),
}

impl Pool {
    #[cfg(feature = "postgres")]
    pub(crate) fn is_closed(&self) -> bool {
        match self {
            Self::Sqlite(pool) => pool.is_closed(),
            Self::Postgres(target) => target.pool.is_closed(),
        }
    }

    pub(crate) async fn close(&self) {
        match self {
            Self::Sqlite(pool) => pool.close().await,
            #[cfg(feature = "postgres")]
            Self::Postgres(target) => target.pool.close().await,
        }
    }
}

/// What a query runs on.
pub(crate) enum Target<'c> {
    Sqlite(&'c mut SqliteConnection),
    SqlitePool(&'c SqlitePool),
    #[cfg(feature = "postgres")]
    Postgres(PostgresConnection<'c>),
    #[cfg(feature = "postgres")]
    PostgresPool(&'c PostgresPool),
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
        match pool {
            Pool::Sqlite(pool) => Self::SqlitePool(pool),
            #[cfg(feature = "postgres")]
            Pool::Postgres(pool) => Self::PostgresPool(pool),
        }
    }
}
