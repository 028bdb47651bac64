use std::path::PathBuf;

/// Keeps the files of a node's secrets, each encrypted by whoever writes it: in a directory,
/// or where all instances of the node find them. Calls block.
pub trait SecretFiles: Send + Sync {
    /// Where the file of this name is, for messages.
    fn place(&self, name: &str) -> PathBuf;

    /// The content of a file; `None` where there is none.
    ///
    /// # Errors
    /// [`SecretFilesError::Failed`] where it cannot be read, or must not be.
    fn load(&self, name: &str) -> Result<Option<Vec<u8>>, SecretFilesError>;

    /// Replaces a file as a whole, where it has the expected content; `None` stands for no
    /// file. Durable when it returns. Of several who expect the same, one succeeds.
    ///
    /// # Errors
    /// [`SecretFilesError::Conflict`] where it has another content; nothing has changed
    /// then. After [`SecretFilesError::Failed`] it may have been replaced all the same.
    fn replace(
        &self,
        name: &str,
        expected: Option<&[u8]>,
        new: Option<&[u8]>,
    ) -> Result<(), SecretFilesError>;
}

/// Why a file of secrets was not read or replaced.
#[derive(Debug, thiserror::Error)]
pub enum SecretFilesError {
    /// Another writer was first.
    #[error("another writer has replaced the file")]
    Conflict,
    /// The medium failed.
    #[error("{0}")]
    Failed(#[source] Box<dyn std::error::Error + Send + Sync>),
}
