use std::path::Path;

use async_trait::async_trait;
use bytes::Bytes;
use futures::{future::BoxFuture, stream::BoxStream};

use super::{CatalogError, StoreError};

/// The bytes of a backup, in pieces of any size. Where one is an error, the backup
/// is worth nothing.
pub type BackupStream = BoxStream<'static, Result<Bytes, BackupError>>;

/// Makes backups of a running node.
#[async_trait]
pub trait Backups: Send + Sync {
    /// Begins a backup. It shows the node at one moment after this call; what was
    /// acknowledged before the call is in it.
    ///
    /// # Errors
    /// [`BackupError::UnderWay`].
    async fn begin(&self) -> Result<BackupStream, BackupError>;
}

/// Why there is no backup.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BackupError {
    /// One at a time.
    #[error("another backup is being made; try again when it is done")]
    UnderWay,
    /// Something could not be read or copied.
    #[error("the backup could not be made: {0}")]
    Failed(String),
}

/// Copies the catalog.
#[async_trait]
pub trait CatalogCopy: Send + Sync {
    /// Makes `file`, which must not exist, a copy of the catalog as it is at one
    /// moment, and awaits `meanwhile`. Nothing is written to the catalog between that
    /// moment and the end of `meanwhile`, so that whatever follows from a write that
    /// is not in the copy has not begun. The copy itself goes on beside later writes.
    ///
    /// # Errors
    /// [`CatalogError`] where the copy fails, or `meanwhile` does.
    async fn copy_to(
        &self,
        file: &Path,
        meanwhile: BoxFuture<'static, Result<(), StoreError>>,
    ) -> Result<(), CatalogError>;
}

/// Copies the key-value namespaces of a store.
#[async_trait]
pub trait NamespaceCopy: Send + Sync {
    /// Writes the entries of these namespaces as they are at one moment to `file`.
    async fn copy_to(&self, file: &Path, names: &[&str]) -> Result<(), StoreError>;

    /// Takes all entries from such a file.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] where it is none.
    async fn take_from(&self, file: &Path) -> Result<(), StoreError>;
}

/// The files in which secrets are kept, encrypted as they are.
pub trait KeyFiles: Send + Sync {
    /// Name and content of each, all of one moment. Blocks while they are read.
    ///
    /// # Errors
    /// The file that cannot be read.
    fn key_files(&self) -> std::io::Result<Vec<(String, Vec<u8>)>>;
}
