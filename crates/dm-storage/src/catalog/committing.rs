//! Commits groups of changes, and makes sure that nothing of a group that was
//! refused can come alive: not for readers, and not after a crash.

use std::{fs::File, path::PathBuf, sync::Arc};

use dm_core::ports::CatalogError;
use sqlx::{Connection, SqliteConnection};

use super::{
    batch::{self, Made},
    change::Change,
    error::is_of_medium,
    open,
    transaction::{self, Failure},
};
use crate::disk::{reserve::Reserve, space::Space, write_state::WriteState};

/// Bytes of the disk that new data leaves free, for what goes on with, ends or
/// erases something.
pub(super) const KEPT_FREE: u64 = 32 << 20;
/// Bytes that are kept for erasures where even that is used up: as much as the
/// database grows when all of the write-ahead log is moved into it, and some pages
/// more in the log.
pub(super) const RESERVE: u64 = 36 << 20;

/// The database's file and what belongs to it.
pub(super) struct Place {
    pub(super) path: PathBuf,
    /// Closed after all connections; see [`open::writing`].
    pub(super) file: Arc<File>,
    pub(super) space: Space,
    pub(super) reserve: Reserve,
}

/// The connection that writes.
pub(super) struct Committing {
    pub(super) connection: SqliteConnection,
    place: Place,
    state: WriteState,
    /// Something failed of which it is not sure that it is undone.
    unsettled: bool,
}

impl Committing {
    pub(super) fn new(connection: SqliteConnection, place: Place, state: WriteState) -> Self {
        place.reserve.take();
        Self {
            connection,
            place,
            state,
            unsettled: false,
        }
    }

    pub(super) fn place(&self) -> &Place {
        &self.place
    }

    /// Whether anything new may be begun.
    ///
    /// # Errors
    /// [`CatalogError::Full`] where the disk is nearly full.
    pub(super) fn check_space(&self) -> Result<(), CatalogError> {
        self.place.space.check(0).map_err(|_| CatalogError::Full)
    }

    /// Makes the changes in one transaction; they are durable when it returns.
    ///
    /// # Errors
    /// Then none of them is made, and none will be, except where the error is
    /// [`CatalogError::Unsettled`].
    pub(super) async fn commit(&mut self, changes: &[&Change]) -> Result<Made, CatalogError> {
        if self.unsettled {
            self.settle()
                .await
                .inspect_err(|error| self.state.failed(error))?;
        }
        let refused = match self.attempt(changes).await {
            Err(CatalogError::Full) if !changes.iter().any(|change| change.needs_space()) => {
                // Settling may have given it free already.
                self.place.reserve.release();
                self.attempt(changes).await
            }
            other => other,
        };
        match &refused {
            Ok(_) => self.state.succeeded(),
            Err(error) if is_of_medium(error) || matches!(error, CatalogError::Corrupt(_)) => {
                self.state.failed(error);
            }
            Err(_) => {}
        }
        refused
    }

    /// Tries whether the database takes writes again, where the last one failed,
    /// and takes the reserve again where there is room for it.
    pub(super) async fn probe(&mut self) {
        if self.unsettled || self.state.fault().is_some() {
            match self.settle().await {
                Ok(()) => self.state.succeeded(),
                Err(error) => self.state.failed(&error),
            }
        }
        if self.place.space.check(self.place.reserve.bytes()).is_ok() {
            self.place.reserve.take();
        }
    }

    /// Closes the connection, and then the database's file.
    pub(super) async fn close(self) -> Result<(), CatalogError> {
        self.connection.close().await.map_err(super::error::from_sqlx)
    }

    async fn attempt(&mut self, changes: &[&Change]) -> Result<Made, CatalogError> {
        match batch::commit(&mut self.connection, changes).await {
            Ok(made) => Ok(made),
            Err(Failure::NotBegun(error)) => Err(error),
            Err(Failure::Before(error)) => {
                // Where this fails, SQLite has rolled back itself, or the connection is of no use.
                if transaction::roll_back(&mut self.connection).await.is_err() {
                    self.unsettled = true;
                    // Nothing of it can come alive; whether the connection is fit shows later.
                    let _ = self.settle().await;
                }
                Err(error)
            }
            Err(Failure::Commit(error)) => {
                self.unsettled = true;
                tracing::error!(%error, "the catalog could not commit");
                match self.settle().await {
                    Ok(()) => Err(error),
                    Err(_) => Err(CatalogError::Unsettled(error.to_string())),
                }
            }
        }
    }

    /// Takes back what is open, and overwrites durably what a failed commit may
    /// have left in the write-ahead log.
    async fn settle(&mut self) -> Result<(), CatalogError> {
        let mut fenced = self.fence().await;
        if matches!(
            fenced,
            Err(Failure::Before(CatalogError::Full) | Failure::Commit(CatalogError::Full))
        ) && self.place.reserve.release()
        {
            fenced = self.fence().await;
        }
        // Another connection would not get a lock that another process holds.
        if matches!(fenced, Err(Failure::Before(_) | Failure::Commit(_))) {
            self.replace_connection().await?;
            fenced = self.fence().await;
        }
        fenced.map_err(Failure::into_error)?;
        if std::mem::take(&mut self.unsettled) {
            tracing::info!("the catalog takes writes again; what it had refused is undone");
        }
        Ok(())
    }

    async fn fence(&mut self) -> Result<(), Failure> {
        // Fails where SQLite has rolled back itself.
        let _ = transaction::roll_back(&mut self.connection).await;
        transaction::fence(&mut self.connection).await
    }

    async fn replace_connection(&mut self) -> Result<(), CatalogError> {
        let fresh = open::writing_again(&self.place.path).await?;
        let old = std::mem::replace(&mut self.connection, fresh);
        if let Err(error) = old.close().await {
            tracing::warn!(%error, "a connection of the catalog could not be closed");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use dm_testing::catalog::samples::share;
    use tempfile::TempDir;

    use super::*;
    use crate::catalog::change::BulkChange;

    /// A catalog's connection that waits for nobody, in a folder of its own.
    async fn impatient() -> (Committing, TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("catalog.db");
        let (mut connection, file) = open::writing(&path).await.unwrap();
        run(&mut connection, "PRAGMA busy_timeout = 0").await;
        run(&mut connection, "CREATE TEMP TABLE of_this_connection (n)").await;
        let place = Place {
            space: Space::of(folder.path(), 0).unwrap(),
            reserve: Reserve::at(folder.path().join("reserve"), 1),
            file: Arc::new(file),
            path,
        };
        (Committing::new(connection, place, WriteState::default()), folder)
    }

    async fn run(connection: &mut SqliteConnection, statement: &'static str) {
        sqlx::query(statement).execute(connection).await.unwrap();
    }

    async fn write(committing: &mut Committing, n: u64) -> Result<Made, CatalogError> {
        let change = BulkChange::CommitShare(Box::new(share(n, 1).into())).into();
        committing.commit(&[&change]).await
    }

    #[tokio::test]
    async fn a_lock_that_another_process_holds_leaves_nothing_to_settle() {
        let (mut committing, _folder) = impatient().await;
        let mut other = open::writing_again(&committing.place.path).await.unwrap();
        run(&mut other, "BEGIN IMMEDIATE").await;
        for _ in 0..2 {
            let refused = write(&mut committing, 1).await;
            assert!(
                matches!(&refused, Err(CatalogError::Unavailable(why)) if why.contains("another process")),
                "{refused:?}"
            );
            assert!(!committing.unsettled);
        }
        run(&mut other, "COMMIT").await;
        write(&mut committing, 1).await.unwrap();
        // The connection is still the one from before.
        run(&mut committing.connection, "SELECT * FROM of_this_connection").await;
    }
}
