//! A statement with the values of its parameters.

use std::{marker::PhantomData, time::Instant};

use sqlx::{
    Error,
    sqlite::{SqliteArguments, SqliteRow},
};

use super::{
    Connection, Connections, Target,
    row::{FromColumn, Row},
    statement::Statement,
    value::Value,
};

/// A query whose parameters are bound one after the other.
pub(crate) struct Query {
    pub(super) statement: Statement,
    pub(super) values: Vec<Value>,
}

/// A query for rows, or a statement.
pub(crate) fn query(statement: impl Into<Statement>) -> Query {
    Query::new(statement.into(), Vec::new())
}

/// A query for the first column of a row.
pub(crate) fn query_scalar<T>(statement: impl Into<Statement>) -> Scalar<T> {
    Scalar {
        query: query(statement),
        column: PhantomData,
    }
}

impl Query {
    pub(super) fn new(statement: Statement, values: Vec<Value>) -> Self {
        Self { statement, values }
    }

    pub(crate) fn bind(mut self, value: impl Into<Value>) -> Self {
        self.values.push(value.into());
        self
    }

    /// Runs the statement; how many rows it has changed.
    pub(crate) async fn execute(self, connection: &mut Connection<'_>) -> Result<u64, Error> {
        match connection {
            Connection::Sqlite(connection) => {
                let done = self.sqlite()?.execute(&mut **connection).await;
                done.map(|done| done.rows_affected())
            }
            #[cfg(feature = "postgres")]
            Connection::Postgres(connection) => self.execute_postgres(connection).await,
        }
    }

    pub(crate) async fn fetch_all<'c>(self, target: impl Into<Target<'c>>) -> Result<Vec<Row>, Error> {
        match target.into() {
            Target::Sqlite(connection) => self.sqlite()?.fetch_all(connection).await.map(wrap_all),
            #[cfg(feature = "postgres")]
            Target::Postgres(mut target) => self.fetch_postgres(&mut target).await,
            Target::Pool(pool) => {
                let began = Instant::now();
                let read = match &pool.connections {
                    Connections::Sqlite(pool) => self.sqlite()?.fetch_all(pool).await.map(wrap_all),
                    #[cfg(feature = "postgres")]
                    Connections::Postgres(pool) => self.fetch_from_pool(pool).await,
                };
                pool.seconds.took(began.elapsed());
                read
            }
        }
    }

    pub(crate) async fn fetch_optional<'c>(
        self,
        target: impl Into<Target<'c>>,
    ) -> Result<Option<Row>, Error> {
        match target.into() {
            Target::Sqlite(connection) => self.sqlite()?.fetch_optional(connection).await.map(wrap),
            #[cfg(feature = "postgres")]
            Target::Postgres(mut target) => self.fetch_postgres(&mut target).await.map(first),
            Target::Pool(pool) => {
                let began = Instant::now();
                let read = match &pool.connections {
                    Connections::Sqlite(pool) => self.sqlite()?.fetch_optional(pool).await.map(wrap),
                    #[cfg(feature = "postgres")]
                    Connections::Postgres(pool) => self.fetch_from_pool(pool).await.map(first),
                };
                pool.seconds.took(began.elapsed());
                read
            }
        }
    }

    pub(crate) async fn fetch_one<'c>(self, target: impl Into<Target<'c>>) -> Result<Row, Error> {
        self.fetch_optional(target).await?.ok_or(Error::RowNotFound)
    }

    fn sqlite(self) -> Result<sqlx::query::Query<'static, sqlx::Sqlite, SqliteArguments>, Error> {
        let mut arguments = SqliteArguments::default();
        for value in self.values {
            value.add_to_sqlite(&mut arguments).map_err(Error::Encode)?;
        }
        Ok(sqlx::query_with(self.statement.sqlite(), arguments))
    }
}

fn wrap(row: Option<SqliteRow>) -> Option<Row> {
    row.map(Row::Sqlite)
}

fn wrap_all(rows: Vec<SqliteRow>) -> Vec<Row> {
    rows.into_iter().map(Row::Sqlite).collect()
}

#[cfg(feature = "postgres")]
fn first(rows: Vec<Row>) -> Option<Row> {
    rows.into_iter().next()
}

/// A query for one value.
pub(crate) struct Scalar<T> {
    query: Query,
    column: PhantomData<fn() -> T>,
}

impl<T: for<'r> FromColumn<'r>> Scalar<T> {
    pub(crate) fn bind(mut self, value: impl Into<Value>) -> Self {
        self.query = self.query.bind(value);
        self
    }

    pub(crate) async fn fetch_one<'c>(self, target: impl Into<Target<'c>>) -> Result<T, Error> {
        self.query.fetch_one(target).await?.get(0)
    }

    pub(crate) async fn fetch_optional<'c>(self, target: impl Into<Target<'c>>) -> Result<Option<T>, Error> {
        let row = self.query.fetch_optional(target).await?;
        row.map(|row| row.get(0)).transpose()
    }
}
