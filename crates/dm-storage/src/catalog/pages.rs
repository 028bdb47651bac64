//! Pages of rows. A row that cannot be read is left out of its page, so that one
//! damaged record costs that record and not all work of its kind; the error log says
//! so once, and the catalog's health until the row can be read again or the node restarts.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::{
    SqliteCatalog,
    columns::row_limit,
    error::from_sqlx,
    sql::{Query, Row},
};
use dm_core::{
    health::{Finding, Trouble},
    ports::CatalogError,
};

/// Rows that are remembered; more than that are counted only as far as this.
const REMEMBERED: usize = 1000;
/// Rows that health names.
const NAMED: usize = 3;
/// Characters of a name.
const NAME_CHARS: usize = 80;

/// Which rows a page is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Source {
    table: &'static str,
    /// The column that names a row, which the page must select.
    key: &'static str,
}

impl Source {
    /// Rows of `table`, each named by its column `key`.
    pub(super) const fn new(table: &'static str, key: &'static str) -> Self {
        Self { table, key }
    }
}

/// A row, by its table and key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct RowName {
    source: Source,
    key: String,
}

impl RowName {
    fn of(source: Source, row: &Row) -> Self {
        let mut key = row.text_of(source.key).unwrap_or_else(|| "?".to_owned());
        key.truncate(key.floor_char_boundary(NAME_CHARS));
        Self { source, key }
    }
}

impl fmt::Display for RowName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} with {} {}", self.source.table, self.source.key, self.key)
    }
}

/// The rows that could not be read; clones are the same.
#[derive(Clone, Default)]
pub(super) struct UnreadableRows(Arc<Mutex<BTreeMap<RowName, String>>>);

impl UnreadableRows {
    /// Leaves out what cannot be read.
    ///
    /// # Errors
    /// Those that say nothing of the row.
    pub(super) fn read_all<T>(
        &self,
        source: Source,
        rows: &[Row],
        read: impl Fn(&Row) -> Result<T, CatalogError>,
    ) -> Result<Vec<T>, CatalogError> {
        let mut values = Vec::with_capacity(rows.len());
        for row in rows {
            match read(row) {
                Ok(value) => {
                    self.forget(source, row);
                    values.push(value);
                }
                Err(CatalogError::Corrupt(why)) => self.remember(RowName::of(source, row), why),
                Err(error) => return Err(error),
            }
        }
        Ok(values)
    }

    fn remember(&self, name: RowName, why: String) {
        let mut rows = self.lock();
        if rows.len() < REMEMBERED && !rows.contains_key(&name) {
            tracing::error!(row = %name, why, "a row of the catalog cannot be read; work goes on without it");
            rows.insert(name, why);
        }
    }

    fn forget(&self, source: Source, row: &Row) {
        let mut rows = self.lock();
        if !rows.is_empty() && rows.remove(&RowName::of(source, row)).is_some() {
            tracing::info!(table = source.table, "a row of the catalog can be read again");
        }
    }

    /// What the rows mean for the health of the catalog.
    pub(super) fn judge(&self) -> Finding {
        let rows = self.lock();
        if rows.is_empty() {
            return Finding::Working;
        }
        let named: Vec<String> = rows.keys().take(NAMED).map(ToString::to_string).collect();
        let more = match rows.len() - named.len() {
            0 => String::new(),
            more => format!(", and {more} more"),
        };
        let count = match rows.len() {
            1 => "1 row".to_owned(),
            REMEMBERED => format!("{REMEMBERED} rows or more"),
            count => format!("{count} rows"),
        };
        Finding::Degraded(Trouble::new(
            format!(
                "{count} of the catalog cannot be read, and nothing is done for them: {}{more}",
                named.join(", ")
            ),
            "look at the error log for what is wrong with each; mend them, or restore the catalog from a backup",
        ))
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<RowName, String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SqliteCatalog {
    /// All rows of a query that can be read.
    pub(super) async fn all<T>(
        &self,
        source: Source,
        query: Query,
        read: impl Fn(&Row) -> Result<T, CatalogError>,
    ) -> Result<Vec<T>, CatalogError> {
        let rows = query.fetch_all(&self.reads).await.map_err(from_sqlx)?;
        self.unreadable.read_all(source, &rows, read)
    }

    /// At most `limit` rows that can be read; fewer only where there are no more. `query`
    /// makes the query for a number of rows.
    pub(super) async fn page<T>(
        &self,
        source: Source,
        limit: usize,
        query: impl Fn(i64) -> Query,
        read: impl Fn(&Row) -> Result<T, CatalogError>,
    ) -> Result<Vec<T>, CatalogError> {
        let mut wanted = limit;
        loop {
            let rows = query(row_limit(wanted)).fetch_all(&self.reads).await;
            let rows = rows.map_err(from_sqlx)?;
            let mut values = self.unreadable.read_all(source, &rows, &read)?;
            if values.len() >= limit || rows.len() < wanted {
                values.truncate(limit);
                return Ok(values);
            }
            // As many more as there are likely to be in the way.
            wanted = limit + 2 * (rows.len() - values.len());
        }
    }
}
