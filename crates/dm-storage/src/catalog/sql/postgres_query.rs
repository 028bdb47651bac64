//! Queries on PostgreSQL.

use std::time::Duration;

use sqlx::{
    Arguments, AssertSqlSafe, Error, PgConnection, PgPool, Postgres,
    error::BoxDynError,
    postgres::{PgArguments, PgRow},
};

use super::{postgres_text, query::Query, row::Row, statement::Statement, value::Value};

type PostgresQuery = sqlx::query::Query<'static, Postgres, PgArguments>;

/// How often a read is tried on another connection of the pool: one that has been idle
/// may have been cut, and all of them are where the database restarts.
const READ_ATTEMPTS: u32 = 8;
/// Before the second attempt; each further pause is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
/// How long a read may take. A server that has gone without a word says nothing more.
const READ_PATIENCE: Duration = Duration::from_secs(20);

/// How statements reach PostgreSQL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Statements {
    /// A connection prepares each statement once.
    Kept,
    /// Every transaction may go to another connection of the server, as behind a pooler.
    OfTransaction,
}

/// A connection within a transaction.
pub(crate) struct PostgresConnection<'c> {
    pub(crate) connection: &'c mut PgConnection,
    pub(crate) statements: Statements,
}

/// The connections that read.
#[derive(Clone)]
pub(crate) struct PostgresPool {
    pub(crate) pool: PgPool,
    pub(crate) statements: Statements,
}

impl Query {
    pub(super) async fn execute_postgres(self, target: &mut PostgresConnection<'_>) -> Result<u64, Error> {
        let mut changed = 0;
        // SQLite takes several statements at once.
        for part in self.postgres_text().split(';') {
            let query = self.postgres(part, target.statements)?;
            changed += query.execute(&mut *target.connection).await?.rows_affected();
        }
        Ok(changed)
    }

    pub(super) async fn fetch_postgres(self, target: &mut PostgresConnection<'_>) -> Result<Vec<Row>, Error> {
        let query = self.postgres(&self.postgres_text(), target.statements)?;
        query.fetch_all(&mut *target.connection).await.map(wrap_all)
    }

    /// Reads on any connection of a pool. What only reads is tried again where the
    /// connection is lost.
    pub(super) async fn fetch_from_pool(self, target: &PostgresPool) -> Result<Vec<Row>, Error> {
        let text = self.postgres_text();
        let mut pause = FIRST_PAUSE;
        for _ in 1..READ_ATTEMPTS {
            match self.fetch_once(&text, target).await {
                Err(error) if is_lost(&error) => tokio::time::sleep(pause).await,
                done => return done,
            }
            pause *= 2;
        }
        self.fetch_once(&text, target).await
    }

    async fn fetch_once(&self, text: &str, target: &PostgresPool) -> Result<Vec<Row>, Error> {
        let query = self.postgres(text, target.statements)?;
        let reading = async {
            match target.statements {
                Statements::Kept => query.fetch_all(&target.pool).await,
                Statements::OfTransaction => {
                    let mut transaction = target.pool.begin().await?;
                    let rows = query.fetch_all(&mut *transaction).await?;
                    transaction.commit().await?;
                    Ok(rows)
                }
            }
        };
        match tokio::time::timeout(READ_PATIENCE, reading).await {
            Ok(read) => read.map(wrap_all),
            Err(_) => Err(Error::PoolTimedOut),
        }
    }

    fn postgres_text(&self) -> String {
        match &self.statement {
            Statement::Fixed(text) => postgres_text::of(text.postgres),
            Statement::Built(text) => postgres_text::of(text),
            Statement::Bulk { postgres, .. } => postgres_text::of(postgres),
        }
    }

    fn postgres(&self, text: &str, statements: Statements) -> Result<PostgresQuery, Error> {
        let mut arguments = PgArguments::default();
        match &self.statement {
            Statement::Bulk { columns, .. } => add_lists(&self.values, *columns, &mut arguments),
            _ => self
                .values
                .iter()
                .try_for_each(|value| value.add_to_postgres(&mut arguments)),
        }
        .map_err(Error::Encode)?;
        // Safe: fixed texts of the program.
        let query = sqlx::query_with(AssertSqlSafe(text.to_owned()), arguments);
        Ok(query.persistent(statements == Statements::Kept))
    }
}

/// Whether the connection to the database is gone: by the network, or because the server
/// stops (class 57) or refuses connections (class 08).
fn is_lost(error: &Error) -> bool {
    match error {
        Error::Io(_) => true,
        Error::Database(error) => error
            .code()
            .is_some_and(|code| code.starts_with("57P") || code.starts_with("08")),
        _ => false,
    }
}

/// Adds the values of rows column by column.
fn add_lists(values: &[Value], columns: usize, arguments: &mut PgArguments) -> Result<(), BoxDynError> {
    for column in 0..columns {
        let of_column = || values.iter().skip(column).step_by(columns);
        match values.get(column) {
            Some(Value::Number(_)) => arguments.add(of_column().map(Value::number).collect::<Vec<_>>())?,
            Some(Value::Bytes(_)) => arguments.add(of_column().map(Value::bytes).collect::<Vec<_>>())?,
            Some(Value::Text(_)) => arguments.add(of_column().map(Value::text).collect::<Vec<_>>())?,
            None => return Err("a row has a value for each column".into()),
        }
    }
    Ok(())
}

fn wrap_all(rows: Vec<PgRow>) -> Vec<Row> {
    rows.into_iter().map(Row::Postgres).collect()
}
