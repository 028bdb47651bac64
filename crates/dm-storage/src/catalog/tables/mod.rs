//! All tables of a catalog, row by row, for a copy in another database.
//!
//! Both databases have the same tables, so that one walk serves both directions: page by page
//! in the order of the keys. What the copy has already stays, and is compared. A copy that was
//! broken off is gone on with in this way, and nothing has to be written down about it.

mod database;
mod schema;

use std::path::Path;

use dm_core::ports::CatalogError;

use self::{
    database::Database,
    schema::{Table, Values},
};
use super::open;
#[cfg(feature = "postgres")]
use super::postgres::{self, PostgresOptions};

/// Rows that are read, compared and written at a time.
const PAGE: usize = 256;
/// Pages that are written in one transaction.
const PAGES_OF_TRANSACTION: usize = 64;

/// The tables of a catalog that nobody else writes to meanwhile. Left out is what belongs to a
/// process or a database and not to the node: leases, instances, namespaces, and uploads that
/// are not complete.
pub struct CatalogTables(Database);

/// What a walk through the tables has met.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TableTotals {
    /// Tables.
    pub tables: u64,
    /// Rows of all of them.
    pub rows: u64,
}

/// What a walk does with rows that the copy lacks.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Walk {
    Copies,
    Compares,
}

impl CatalogTables {
    /// Those in an SQLite file, which is made where it does not exist. Nobody else in this
    /// process may have it open.
    ///
    /// # Errors
    /// Where the file cannot be opened, or is of a newer version.
    pub async fn in_file(path: impl AsRef<Path>) -> Result<Self, CatalogError> {
        let (connection, file) = open::writing(path.as_ref()).await?;
        Ok(Self(Database::File(connection, file)))
    }

    /// Those in a PostgreSQL database, which is brought to this program's schema.
    ///
    /// # Errors
    /// Where the server cannot be reached, or a newer version has written the database.
    #[cfg(feature = "postgres")]
    pub async fn in_database(options: &PostgresOptions) -> Result<Self, CatalogError> {
        let connection = postgres::prepare(options).await?;
        Ok(Self(Database::Server(connection, options.statements())))
    }

    /// Adds the rows of another catalog that this one does not have yet; `told` hears how many
    /// rows are done. They are durable when it returns. After an error, or where it is broken off,
    /// both are of no further use; the same may be done again with the same catalogs.
    ///
    /// # Errors
    /// [`CatalogError::Conflict`] where this one has rows that the other one has not; else where
    /// a database fails.
    pub async fn take_from(
        &mut self,
        source: &mut Self,
        told: &mut (dyn FnMut(u64) + Send),
    ) -> Result<TableTotals, CatalogError> {
        self.walk(source, Walk::Copies, told).await
    }

    /// Compares all rows with those of another catalog; `told` hears how many rows are done.
    ///
    /// # Errors
    /// [`CatalogError::Conflict`] names the first difference.
    pub async fn compare_with(
        &mut self,
        source: &mut Self,
        told: &mut (dyn FnMut(u64) + Send),
    ) -> Result<TableTotals, CatalogError> {
        self.walk(source, Walk::Compares, told).await
    }

    /// Closes the database.
    ///
    /// # Errors
    /// Where it cannot be closed.
    pub async fn close(self) -> Result<(), CatalogError> {
        self.0.close().await
    }

    async fn walk(
        &mut self,
        source: &mut Self,
        walk: Walk,
        told: &mut (dyn FnMut(u64) + Send),
    ) -> Result<TableTotals, CatalogError> {
        let mut totals = TableTotals::default();
        let tables = schema::tables().await?;
        source.0.begin_reading().await?;
        self.0.run("BEGIN").await?;
        for table in &tables {
            self.walk_through(source, table, walk, &mut |rows| {
                totals.rows += rows;
                told(totals.rows);
            })
            .await?;
            totals.tables += 1;
        }
        self.0.run("COMMIT").await?;
        source.0.run("COMMIT").await?;
        Ok(totals)
    }

    async fn walk_through(
        &mut self,
        source: &mut Self,
        table: &Table,
        walk: Walk,
        told: &mut (dyn FnMut(u64) + Send),
    ) -> Result<(), CatalogError> {
        let mut after: Option<Values> = None;
        for page_number in 1.. {
            let page = source.0.page(table, after.as_ref()).await?;
            let found = self.0.page(table, after.as_ref()).await?;
            if found != page {
                self.complete(table, &page, &found, walk).await?;
            }
            if page_number % PAGES_OF_TRANSACTION == 0 {
                self.0.run("COMMIT").await?;
                self.0.run("BEGIN").await?;
            }
            told(page.len() as u64);
            let Some(last) = page.into_iter().last() else {
                break;
            };
            after = Some(last);
        }
        match table.number() {
            Some(column) if walk == Walk::Copies => {
                let last = source.0.last_number(table, &column.name).await?;
                self.0.go_on_after(table, &column.name, last).await
            }
            _ => Ok(()),
        }
    }

    /// Adds the rows of a page that are not there yet.
    async fn complete(
        &mut self,
        table: &Table,
        page: &[Values],
        found: &[Values],
        walk: Walk,
    ) -> Result<(), CatalogError> {
        match page.strip_prefix(found) {
            _ if walk == Walk::Compares => Err(different(table)),
            _ if table.is_single() && !page.is_empty() => {
                self.0.clear(table).await?;
                self.0.insert(table, page).await
            }
            Some(missing) => self.0.insert(table, missing).await,
            None => Err(different(table)),
        }
    }
}

fn different(table: &Table) -> CatalogError {
    CatalogError::Conflict(format!(
        "the table {} of the catalog is not the same in both databases",
        table.name
    ))
}
