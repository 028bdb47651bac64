//! What commits, for either database.

use dm_core::ports::CatalogError;
use sqlx::SqlitePool;

#[cfg(feature = "postgres")]
use super::postgres;
use super::{
    batch::Made,
    change::Change,
    committing::{Committing, Place},
    wiping,
};

/// The connection that writes.
pub(super) enum Committer {
    /// To a file. Its write-ahead log can be emptied while its readers are held.
    Sqlite {
        committing: Box<Committing>,
        readers: SqlitePool,
    },
    /// To a server.
    #[cfg(feature = "postgres")]
    Postgres(Box<postgres::Committing>),
}

impl Committer {
    /// Whether anything new may be begun.
    ///
    /// # Errors
    /// [`CatalogError::Full`] where the disk is nearly full.
    pub(super) fn check_space(&self) -> Result<(), CatalogError> {
        match self {
            Self::Sqlite { committing, .. } => committing.check_space(),
            #[cfg(feature = "postgres")]
            Self::Postgres(_) => Ok(()),
        }
    }

    /// Makes the changes in one transaction; they are durable when it returns.
    ///
    /// # Errors
    /// Then none of them is made, and none will be, except where the error is
    /// [`CatalogError::Unsettled`].
    pub(super) async fn commit(&mut self, changes: &[&Change]) -> Result<Made, CatalogError> {
        match self {
            Self::Sqlite { committing, .. } => committing.commit(changes).await,
            #[cfg(feature = "postgres")]
            Self::Postgres(committing) => committing.commit(changes).await,
        }
    }

    /// Tries whether the database takes writes again, where the last one failed.
    pub(super) async fn probe(&mut self) {
        match self {
            Self::Sqlite { committing, .. } => committing.probe().await,
            #[cfg(feature = "postgres")]
            Self::Postgres(committing) => committing.probe().await,
        }
    }

    /// Wipes what was deleted from the files of this process. A server has its own ways.
    pub(super) async fn wipe(&mut self) -> Result<(), CatalogError> {
        match self {
            Self::Sqlite { committing, readers } => {
                wiping::empty_log(&mut committing.connection, readers).await
            }
            #[cfg(feature = "postgres")]
            Self::Postgres(_) => Ok(()),
        }
    }

    /// The database's file, where it is one.
    pub(super) fn place(&self) -> Option<&Place> {
        match self {
            Self::Sqlite { committing, .. } => Some(committing.place()),
            #[cfg(feature = "postgres")]
            Self::Postgres(_) => None,
        }
    }

    pub(super) async fn close(self) -> Result<(), CatalogError> {
        match self {
            Self::Sqlite { committing, .. } => committing.close().await,
            #[cfg(feature = "postgres")]
            Self::Postgres(committing) => committing.close().await,
        }
    }
}
