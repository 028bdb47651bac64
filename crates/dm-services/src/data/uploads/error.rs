use dm_core::ports::{CatalogError, StoreError};

use crate::ServiceError;

/// Why an upload does not go on.
#[derive(Debug, thiserror::Error)]
pub enum UploadError {
    /// There is no such upload of this API key.
    #[error("Upload not found")]
    Unknown,
    /// Its time is over.
    #[error("the upload has expired; begin a new one")]
    Expired,
    /// The data would begin at another place than where the upload is.
    #[error("the upload is at {expected}: send what comes from there on")]
    WrongOffset {
        /// Bytes that have come.
        expected: u64,
    },
    /// Somebody else is writing, or the share is being made.
    #[error("another request is at this upload; try again")]
    Busy,
    /// Another instance of the node has its parts.
    #[error("another instance of the node has this upload; send its requests to that one")]
    Elsewhere,
    /// More bytes than one upload may have.
    #[error("an upload may have at most {max} bytes")]
    TooLarge {
        /// Most bytes of an upload.
        max: u64,
    },
    /// More bytes than the upload was begun with.
    #[error("the upload has {length} bytes, and more were sent")]
    TooLong {
        /// Bytes that it was begun with.
        length: u64,
    },
    /// The API key has too many uploads, or too large ones.
    #[error("this API key has too many uploads that are not complete: finish or delete some")]
    TooMany,
    /// The node has too many uploads, or too large ones.
    #[error("the node takes no more uploads at the moment")]
    NoRoom,
    /// Anything that can go wrong with a share.
    #[error(transparent)]
    Service(#[from] ServiceError),
}

impl From<CatalogError> for UploadError {
    fn from(error: CatalogError) -> Self {
        Self::Service(error.into())
    }
}

impl From<StoreError> for UploadError {
    fn from(error: StoreError) -> Self {
        Self::Service(error.into())
    }
}
