//! The tables that both databases have, as the migrations of SQLite make them.

use std::sync::Arc;

use dm_core::ports::CatalogError;
use sqlx::{ConnectOptions, Connection, Row as _, sqlite::SqliteConnectOptions};

use super::{
    super::{
        error::{failed, from_sqlx},
        open,
        sql::{Row, Value},
    },
    PAGE,
};

/// Each column of each table: in the order in which the tables are made, so that rows come
/// after those that they refer to.
const COLUMNS: &str = "SELECT t.name, t.sql LIKE '%AUTOINCREMENT%', c.name, c.type, c.pk
    FROM sqlite_schema t JOIN pragma_table_info(t.name) c
    WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite_%' AND t.name <> '_sqlx_migrations'
    ORDER BY t.rowid, c.cid";
/// Who runs the node, which another database has nothing of; and the namespaces, which only a
/// database of several instances has.
const LEFT_OUT: [&str; 3] = ["leases", "instances", "namespaces"];
/// The rows that count, where not all do: the bytes of an upload that is not complete are in the
/// data directory.
const ROWS: [(&str, &str); 2] = [
    ("uploads", "data_hash IS NOT NULL"),
    (
        "upload_shares",
        "upload IN (SELECT id FROM uploads WHERE data_hash IS NOT NULL)",
    ),
];
/// The key of a table that the schema itself gives its one row.
const ONLY: &str = "only";

/// A row, with a value for each column.
pub(super) type Values = Vec<Value>;

/// A table, and how it is read and written.
pub(super) struct Table {
    pub(super) name: String,
    pub(super) columns: Vec<Column>,
    /// The columns of its key, by their places in `columns`, in the order of the key.
    pub(super) key: Vec<usize>,
    /// Whether SQLite gives no number again that a row had.
    pub(super) never_reuses: bool,
    /// Its first rows.
    pub(super) first: Arc<str>,
    /// The rows after one.
    pub(super) next: Arc<str>,
}

pub(super) struct Column {
    pub(super) name: String,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Number,
    Bytes,
    Text,
}

/// All tables that are copied; those of one row come last, since others change them.
pub(super) async fn tables() -> Result<Vec<Table>, CatalogError> {
    let mut memory = SqliteConnectOptions::new()
        .in_memory(true)
        .disable_statement_logging()
        .connect()
        .await
        .map_err(from_sqlx)?;
    let made = open::schema().run_direct(None, &mut memory, false).await;
    made.map_err(|error| CatalogError::Failed(error.into()))?;
    let rows = sqlx::query(COLUMNS).fetch_all(&mut memory).await;
    let mut tables: Vec<Unfinished> = Vec::new();
    for row in rows.map_err(from_sqlx)? {
        let name: String = row.try_get(0).map_err(from_sqlx)?;
        if tables.last().is_none_or(|last| last.name != name) {
            tables.push(Unfinished {
                name,
                never_reuses: row.try_get(1).map_err(from_sqlx)?,
                columns: Vec::new(),
            });
        }
        let column = Column {
            name: row.try_get(2).map_err(from_sqlx)?,
            kind: Kind::of(row.try_get(3).map_err(from_sqlx)?)?,
        };
        let place: i64 = row.try_get(4).map_err(from_sqlx)?;
        if let Some(table) = tables.last_mut() {
            table.columns.push((column, place));
        }
    }
    memory.close().await.map_err(from_sqlx)?;
    let mut tables: Vec<Table> = tables
        .into_iter()
        .filter(|table| !LEFT_OUT.contains(&table.name.as_str()))
        .map(Unfinished::finish)
        .collect();
    tables.sort_by_key(Table::is_single);
    Ok(tables)
}

/// A table whose columns are being read; each has its place in the key, from 1, or 0.
struct Unfinished {
    name: String,
    never_reuses: bool,
    columns: Vec<(Column, i64)>,
}

impl Unfinished {
    fn finish(self) -> Table {
        let Self {
            name,
            never_reuses,
            columns,
        } = self;
        let mut key: Vec<(i64, usize)> = columns
            .iter()
            .enumerate()
            .filter(|(_, (_, place))| *place > 0)
            .map(|(index, (_, place))| (*place, index))
            .collect();
        key.sort_unstable();
        let key: Vec<usize> = key.into_iter().map(|(_, index)| index).collect();
        let columns: Vec<Column> = columns.into_iter().map(|(column, _)| column).collect();
        let rows = ROWS.iter().find(|(table, _)| *table == name);
        let rows = rows.map_or("TRUE", |(_, condition)| condition);
        let keys = names(key.iter().filter_map(|index| columns.get(*index)));
        let read = format!("SELECT {} FROM \"{name}\" WHERE {rows}", names(&columns));
        let end = format!("ORDER BY {keys} LIMIT {PAGE}");
        let after = vec!["?"; key.len()].join(", ");
        Table {
            first: format!("{read} {end}").into(),
            next: format!("{read} AND ({keys}) > ({after}) {end}").into(),
            name,
            columns,
            key,
            never_reuses,
        }
    }
}

impl Table {
    /// Whether it has one row, which the schema makes.
    pub(super) fn is_single(&self) -> bool {
        self.key_columns().map(|column| &*column.name).eq([ONLY])
    }

    /// The column that numbers the rows, where there is one.
    pub(super) fn number(&self) -> Option<&Column> {
        let mut key = self.key_columns();
        let first = key.next().filter(|column| column.kind == Kind::Number)?;
        (key.next().is_none() && !self.is_single()).then_some(first)
    }

    fn key_columns(&self) -> impl Iterator<Item = &Column> {
        self.key.iter().filter_map(|index| self.columns.get(*index))
    }

    /// The key of a row.
    pub(super) fn key_of(&self, row: &Values) -> Values {
        self.key
            .iter()
            .filter_map(|index| row.get(*index).cloned())
            .collect()
    }

    /// The values of a row that was read.
    pub(super) fn values(&self, row: &Row) -> Result<Values, CatalogError> {
        let read = self.columns.iter().enumerate();
        let read = read.map(|(index, column)| column.kind.value(row, index));
        read.collect::<Result<_, _>>().map_err(from_sqlx)
    }

    /// The statement that adds so many rows.
    pub(super) fn insertion(&self, rows: usize) -> Arc<str> {
        let row = format!("({})", vec!["?"; self.columns.len()].join(", "));
        let (columns, rows) = (names(&self.columns), vec![row.as_str(); rows].join(", "));
        format!("INSERT INTO \"{}\" ({columns}) VALUES {rows}", self.name).into()
    }

    /// The statement that takes all rows away.
    pub(super) fn clearing(&self) -> Arc<str> {
        format!("DELETE FROM \"{}\"", self.name).into()
    }
}

fn names<'a>(columns: impl IntoIterator<Item = &'a Column>) -> String {
    let quoted = columns.into_iter().map(|column| format!("\"{}\"", column.name));
    quoted.collect::<Vec<_>>().join(", ")
}

impl Kind {
    fn of(declared: &str) -> Result<Self, CatalogError> {
        match declared {
            "INTEGER" => Ok(Self::Number),
            "BLOB" => Ok(Self::Bytes),
            "TEXT" => Ok(Self::Text),
            _ => Err(failed("a column of the catalog has an unknown type")),
        }
    }

    fn value(self, row: &Row, column: usize) -> Result<Value, sqlx::Error> {
        match self {
            Self::Number => row.get::<Option<i64>>(column).map(Value::from),
            Self::Bytes => row.get::<Option<Vec<u8>>>(column).map(Value::from),
            Self::Text => row.get::<Option<String>>(column).map(Value::from),
        }
    }
}
