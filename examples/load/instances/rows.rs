//! The rows that shares leave in a database, inserted once more by one bare client.

use std::time::Instant;

use anyhow::{Context, bail};
use sqlx::{AssertSqlSafe, Column, Connection, PgConnection, Row, TypeInfo, postgres::PgRow};

/// Tables in which shares are counted.
const SHARES: &str = "shares";
/// The schema for the second copy.
const SCHEMA: &str = "bare";

/// The new rows of all tables.
pub(super) struct Rows {
    connection: PgConnection,
    tables: Vec<Table>,
}

struct Table {
    name: String,
    /// Rows that were there before.
    before: i64,
    columns: Vec<String>,
    rows: Vec<PgRow>,
}

/// The values of one column.
enum Values {
    Bytes(Vec<Option<Vec<u8>>>),
    Numbers(Vec<Option<i64>>),
    Texts(Vec<Option<String>>),
}

impl Rows {
    /// Counts the rows of all tables of a database.
    pub(super) async fn counted(database: &str) -> anyhow::Result<Self> {
        let mut connection = PgConnection::connect(database).await?;
        let names: Vec<String> =
            sqlx::query_scalar("SELECT tablename::text FROM pg_tables WHERE schemaname = 'public'")
                .fetch_all(&mut connection)
                .await?;
        let mut tables = Vec::new();
        for name in names {
            let count = format!("SELECT count(*) FROM {name}");
            tables.push(Table {
                before: sqlx::query_scalar(AssertSqlSafe(count))
                    .fetch_one(&mut connection)
                    .await?,
                name,
                columns: Vec::new(),
                rows: Vec::new(),
            });
        }
        Ok(Self { connection, tables })
    }

    /// Takes as many rows of each table as it has more than before.
    pub(super) async fn take_new(&mut self) -> anyhow::Result<()> {
        for table in &mut self.tables {
            let all = format!("SELECT * FROM {} OFFSET {}", table.name, table.before);
            table.rows = sqlx::query(AssertSqlSafe(all))
                .fetch_all(&mut self.connection)
                .await?;
            if let Some(row) = table.rows.first() {
                table.columns = row
                    .columns()
                    .iter()
                    .map(|column| column.name().to_owned())
                    .collect();
            }
        }
        self.tables.retain(|table| !table.rows.is_empty());
        Ok(())
    }

    /// Inserts the rows into empty copies of their tables, the rows of so many shares in one
    /// transaction; shares in a second.
    pub(super) async fn insert(mut self, batch: usize) -> anyhow::Result<f64> {
        self.run(&format!("CREATE SCHEMA {SCHEMA}")).await?;
        for number in 0..self.tables.len() {
            let name = &self.tables[number].name;
            let copy = format!("CREATE TABLE {SCHEMA}.{name} (LIKE public.{name} INCLUDING ALL)");
            self.run(&copy).await?;
        }
        let shares = self.tables.iter().find(|table| table.name == SHARES);
        let shares = shares.context("nothing was shared")?.rows.len();
        let batches = shares.div_ceil(batch);
        // Before the time begins: the client that is measured has the rows in its memory.
        let mut transactions = Vec::new();
        for number in 0..batches {
            let mut inserts = Vec::new();
            for table in &self.tables {
                let all = table.rows.len();
                let rows = &table.rows[all * number / batches..all * (number + 1) / batches];
                if !rows.is_empty() {
                    inserts.push(table.insert_of(rows)?);
                }
            }
            transactions.push(inserts);
        }
        let began = Instant::now();
        for inserts in transactions {
            let mut transaction = self.connection.begin().await?;
            for (sql, columns) in inserts {
                let mut query = sqlx::query(AssertSqlSafe(sql));
                for values in columns {
                    query = match values {
                        Values::Bytes(values) => query.bind(values),
                        Values::Numbers(values) => query.bind(values),
                        Values::Texts(values) => query.bind(values),
                    };
                }
                query.execute(&mut *transaction).await?;
            }
            transaction.commit().await?;
        }
        Ok(shares as f64 / began.elapsed().as_secs_f64())
    }

    async fn run(&mut self, sql: &str) -> anyhow::Result<()> {
        sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))
            .execute(&mut self.connection)
            .await?;
        Ok(())
    }
}

impl Table {
    /// One statement that inserts these rows, and its arguments: a list for each column.
    fn insert_of(&self, rows: &[PgRow]) -> anyhow::Result<(String, Vec<Values>)> {
        let (mut lists, mut columns) = (Vec::new(), Vec::new());
        for (number, column) in rows[0].columns().iter().enumerate() {
            let (kind, values) = match column.type_info().name() {
                "BYTEA" => ("bytea", Values::Bytes(values(rows, number)?)),
                "INT8" => ("bigint", Values::Numbers(values(rows, number)?)),
                "TEXT" => ("text", Values::Texts(values(rows, number)?)),
                other => bail!("{} has a column of the type {other}", self.name),
            };
            lists.push(format!("${}::{kind}[]", number + 1));
            columns.push(values);
        }
        let names: Vec<String> = self.columns.iter().map(|name| format!("\"{name}\"")).collect();
        let sql = format!(
            "INSERT INTO {SCHEMA}.{} ({}) SELECT * FROM UNNEST({})",
            self.name,
            names.join(", "),
            lists.join(", ")
        );
        Ok((sql, columns))
    }
}

/// The values that these rows have in a column.
fn values<T>(rows: &[PgRow], column: usize) -> anyhow::Result<Vec<Option<T>>>
where
    for<'r> T: sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres>,
{
    let found: Result<_, sqlx::Error> = rows.iter().map(|row| row.try_get(column)).collect();
    Ok(found?)
}
