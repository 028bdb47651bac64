use std::{path::Path, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{future::BoxFuture, stream::BoxStream};
use tokio::sync::RwLock;

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
    /// [`BackupError::UnderWay`] and [`BackupError::Elsewhere`].
    async fn begin(&self) -> Result<BackupStream, BackupError>;
}

/// Why there is no backup.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BackupError {
    /// One at a time.
    #[error("another backup is being made; try again when it is done")]
    UnderWay,
    /// What is to be copied is kept by something that makes its own copies.
    #[error("the node makes no backup: {0}")]
    Elsewhere(&'static str),
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
    /// Takes a snapshot of these namespaces: what was committed before this call is in
    /// it, and nothing that is committed after it has returned. Writes go on meanwhile.
    async fn snapshot(&self, names: &[&str]) -> Result<Box<dyn NamespaceSnapshot>, StoreError>;

    /// Takes all entries from such a file.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] where it is none.
    async fn take_from(&self, file: &Path) -> Result<(), StoreError>;
}

/// Namespaces as they were at one moment.
#[async_trait]
pub trait NamespaceSnapshot: Send {
    /// Writes all entries to `file`, for [`NamespaceCopy::take_from`].
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] where the store could not keep the moment; another
    /// snapshot may be written.
    async fn write_to(self: Box<Self>, file: &Path) -> Result<(), StoreError>;
}

/// Pauses the work that encrypts stored data under another key.
#[async_trait]
pub trait PauseRekeying: Send + Sync {
    /// Waits until nobody gives stored data another key, and keeps everybody from it
    /// until the guard is dropped. Keys and data that are copied one after the other
    /// meanwhile fit together.
    async fn pause_rekeying(&self) -> RekeyingPaused;
}

/// Nobody gives stored data another key as long as this lives.
pub struct RekeyingPaused {
    _guard: Box<dyn Send>,
}

impl RekeyingPaused {
    /// A pause that lasts until `guard` is dropped.
    pub fn new(guard: impl Send + 'static) -> Self {
        Self {
            _guard: Box::new(guard),
        }
    }
}

/// A lock that is held for reading by whoever gives stored data another key.
#[async_trait]
impl PauseRekeying for Arc<RwLock<()>> {
    async fn pause_rekeying(&self) -> RekeyingPaused {
        RekeyingPaused::new(self.clone().write_owned().await)
    }
}

/// The files in which secrets are kept, encrypted as they are.
pub trait KeyFiles: Send + Sync {
    /// Name and content of each, all of one moment. Blocks while they are read.
    ///
    /// # Errors
    /// The file that cannot be read.
    fn key_files(&self) -> std::io::Result<Vec<(String, Vec<u8>)>>;
}
