//! A copy of the catalog while it is in use.
//!
//! When the write-ahead log is empty, a reader that begins keeps everybody from
//! writing to the database's file until it ends: new commits gather in the log. So
//! the file is copied as it stands, and nobody waits for that.

use std::{
    ffi::OsString,
    fs::{File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::Arc,
};

use async_trait::async_trait;
use dm_core::ports::{CatalogCopy, CatalogError, StoreError};
use futures::future::BoxFuture;
use sqlx::{Connection, SqliteConnection};

use super::{
    SqliteCatalog,
    error::{from_sqlx, unavailable},
    open,
};

/// Bytes that are copied at a time.
const PIECE: usize = 1 << 20;

/// A copy that somebody waits for.
pub(super) struct CopyJob {
    pub(super) file: PathBuf,
    pub(super) meanwhile: BoxFuture<'static, Result<(), StoreError>>,
}

/// A moment of the catalog: as long as this lives, the database's file does not change.
pub(super) struct Moment {
    reader: SqliteConnection,
}

impl Moment {
    /// Holds the moment at which the write-ahead log, which was emptied before, is
    /// still empty.
    ///
    /// # Errors
    /// [`CatalogError::Unavailable`] where another program has written since.
    pub(super) async fn hold(database: &Path) -> Result<Self, CatalogError> {
        let mut reader = open::reading_once(database).await?;
        for statement in ["BEGIN", "SELECT count(*) FROM sqlite_schema"] {
            let run = sqlx::query(statement).execute(&mut reader).await;
            run.map_err(from_sqlx)?;
        }
        if log_bytes(database).map_err(medium)? == 0 {
            Ok(Self { reader })
        } else {
            Err(unavailable("another program writes to the catalog"))
        }
    }

    /// Copies the database's file, and lets the moment pass.
    pub(super) async fn copy(self, database: Arc<File>, target: PathBuf) -> Result<(), CatalogError> {
        let copied = tokio::task::spawn_blocking(move || copy_file(&database, &target)).await;
        if let Err(error) = self.reader.close().await {
            tracing::warn!(%error, "a connection of the catalog could not be closed");
        }
        copied.map_err(io::Error::other).flatten().map_err(medium)
    }
}

fn copy_file(database: &File, target: &Path) -> io::Result<()> {
    let mut options = OpenOptions::new();
    let mut out = options
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(target)?;
    let mut piece = vec![0; PIECE];
    let mut offset = 0;
    loop {
        match database.read_at(&mut piece, offset)? {
            0 => return out.flush(),
            read => {
                out.write_all(piece.get(..read).unwrap_or_default())?;
                offset += read as u64;
            }
        }
    }
}

/// Bytes of the write-ahead log of a database.
fn log_bytes(database: &Path) -> io::Result<u64> {
    let mut log = OsString::from(database);
    log.push("-wal");
    match std::fs::metadata(log) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
        found => found.map(|file| file.len()),
    }
}

fn medium(error: io::Error) -> CatalogError {
    from_store(StoreError::from_io(error))
}

/// The error of what belongs to the same moment.
pub(super) fn from_store(error: StoreError) -> CatalogError {
    match error {
        StoreError::Full => CatalogError::Full,
        StoreError::Corrupt(what) => CatalogError::Corrupt(what),
        other => CatalogError::Unavailable(other.to_string()),
    }
}

#[async_trait]
impl CatalogCopy for SqliteCatalog {
    async fn copy_to(
        &self,
        file: &Path,
        meanwhile: BoxFuture<'static, Result<(), StoreError>>,
    ) -> Result<(), CatalogError> {
        let job = CopyJob {
            file: file.to_owned(),
            meanwhile,
        };
        self.writer.copy(job).await
    }
}
