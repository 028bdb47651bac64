//! A connection to one of the two databases, for all of its tables.

use std::{fs::File, sync::Arc};

use dm_core::ports::CatalogError;
use sqlx::{Connection as _, SqliteConnection};
#[cfg(feature = "postgres")]
use {super::super::sql::Statements, sqlx::PgConnection};

use super::{
    super::{
        error::from_sqlx,
        sql::{self, Connection},
    },
    schema::{Table, Values},
};

/// The greatest number that a row of a table had, also one that is gone.
#[cfg(feature = "postgres")]
const LAST_NUMBER_OF_SERVER: &str =
    "SELECT coalesce(pg_sequence_last_value(pg_get_serial_sequence(?1, ?2)::regclass), 0)";
/// Nothing where no sequence numbers the rows.
#[cfg(feature = "postgres")]
const GO_ON_OF_SERVER: &str =
    "SELECT setval(pg_get_serial_sequence(?1, ?2)::regclass, greatest(?3, 1), ?3 > 0)";
const FORGET_NUMBER: &str = "DELETE FROM sqlite_sequence WHERE name = ?";
const GO_ON: &str = "INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)";

pub(super) enum Database {
    /// The file must not be closed before the connection.
    File(SqliteConnection, File),
    #[cfg(feature = "postgres")]
    Server(PgConnection, Statements),
}

impl Database {
    fn connection(&mut self) -> Connection<'_> {
        match self {
            Self::File(connection, _) => Connection::Sqlite(connection),
            #[cfg(feature = "postgres")]
            Self::Server(connection, statements) => Connection::Postgres(sql::PostgresConnection {
                connection,
                statements: *statements,
            }),
        }
    }

    /// Begins to read what is there now, whatever is changed meanwhile.
    pub(super) async fn begin_reading(&mut self) -> Result<(), CatalogError> {
        match self {
            Self::File(..) => self.run("BEGIN").await,
            #[cfg(feature = "postgres")]
            Self::Server(..) => self.run("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await,
        }
    }

    /// Runs a statement that has no parameters and no rows.
    pub(super) async fn run(&mut self, statement: &'static str) -> Result<(), CatalogError> {
        match self {
            Self::File(connection, _) => sqlx::raw_sql(statement).execute(connection).await.map(drop),
            #[cfg(feature = "postgres")]
            Self::Server(connection, _) => sqlx::raw_sql(statement).execute(connection).await.map(drop),
        }
        .map_err(from_sqlx)
    }

    /// The first rows of a table, or those after one, in the order of the key.
    pub(super) async fn page(
        &mut self,
        table: &Table,
        after: Option<&Values>,
    ) -> Result<Vec<Values>, CatalogError> {
        let query = match after {
            None => sql::query(&table.first),
            Some(row) => bind_all(&table.next, table.key_of(row)),
        };
        let rows = query.fetch_all(&mut self.connection()).await.map_err(from_sqlx)?;
        rows.iter().map(|row| table.values(row)).collect()
    }

    /// Adds rows.
    pub(super) async fn insert(&mut self, table: &Table, rows: &[Values]) -> Result<(), CatalogError> {
        let query = bind_all(&table.insertion(rows.len()), rows.iter().flatten().cloned());
        self.execute(query).await
    }

    /// Takes all rows of a table away.
    pub(super) async fn clear(&mut self, table: &Table) -> Result<(), CatalogError> {
        self.execute(sql::query(&table.clearing())).await
    }

    /// The greatest number that a row of a table had, also one that is gone where the database
    /// does not give it again.
    pub(super) async fn last_number(&mut self, table: &Table, column: &str) -> Result<i64, CatalogError> {
        let query = match self {
            Self::File(..) => {
                let text = format!(
                    "SELECT max(coalesce((SELECT seq FROM sqlite_sequence WHERE name = ?), 0),
                        coalesce((SELECT max(\"{column}\") FROM \"{}\"), 0))",
                    table.name
                );
                sql::query(&Arc::<str>::from(text)).bind(table.name.clone())
            }
            #[cfg(feature = "postgres")]
            Self::Server(..) => sql::query(LAST_NUMBER_OF_SERVER)
                .bind(table.name.clone())
                .bind(column.to_owned()),
        };
        let row = query.fetch_one(&mut self.connection()).await;
        row.and_then(|row| row.get(0)).map_err(from_sqlx)
    }

    /// Gives rows greater numbers than this one from now on, where numbers are not given again.
    #[cfg_attr(
        not(feature = "postgres"),
        allow(unused_variables, reason = "a file has one sequence for each table")
    )]
    pub(super) async fn go_on_after(
        &mut self,
        table: &Table,
        column: &str,
        last: i64,
    ) -> Result<(), CatalogError> {
        match self {
            Self::File(..) if table.never_reuses => {
                let name = table.name.clone();
                self.execute(sql::query(FORGET_NUMBER).bind(name.clone())).await?;
                self.execute(sql::query(GO_ON).bind(name).bind(last)).await
            }
            Self::File(..) => Ok(()),
            #[cfg(feature = "postgres")]
            Self::Server(..) => {
                let query = sql::query(GO_ON_OF_SERVER).bind(table.name.clone());
                self.execute(query.bind(column.to_owned()).bind(last)).await
            }
        }
    }

    pub(super) async fn close(self) -> Result<(), CatalogError> {
        match self {
            Self::File(connection, file) => {
                let closed = connection.close().await;
                drop(file);
                closed
            }
            #[cfg(feature = "postgres")]
            Self::Server(connection, _) => connection.close().await,
        }
        .map_err(from_sqlx)
    }

    async fn execute(&mut self, query: sql::Query) -> Result<(), CatalogError> {
        let done = query.execute(&mut self.connection()).await;
        done.map(drop).map_err(from_sqlx)
    }
}

fn bind_all(statement: &Arc<str>, values: impl IntoIterator<Item = sql::Value>) -> sql::Query {
    values.into_iter().fold(sql::query(statement), sql::Query::bind)
}
