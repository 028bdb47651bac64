use std::{error::Error, path::PathBuf};

use dm_core::ports::StoreError;

/// What the errors of the ports do not already say. Reaches the caller inside
/// [`StoreError::Failed`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StorageFault {
    /// Another process has the folder open.
    #[error("{} is in use by another process; stop that one first", .0.display())]
    InUse(PathBuf),
    /// The folder belongs to another engine than the configured one.
    #[error("{} was written by the engine `{found}`, but `{wanted}` is configured; set `storage.engine` back", dir.display())]
    OtherEngine {
        /// The store's folder.
        dir: PathBuf,
        /// The engine that wrote it.
        found: &'static str,
        /// The engine in the configuration.
        wanted: &'static str,
    },
    /// The disk of an empty folder is too small to begin a store.
    #[error("the disk of {} has {free_mib} MiB free, and a new data directory needs {needed_mib} MiB", dir.display())]
    TooLittleSpace {
        /// The store's folder.
        dir: PathBuf,
        /// MiB that are free.
        free_mib: u64,
        /// MiB that are needed.
        needed_mib: u64,
    },
    /// The configured engine was left out of this build.
    #[error("this build has no engine `{0}`; build it with the feature of that name")]
    EngineNotBuilt(&'static str),
    /// A bucket is configured, and the feature for it was left out of this build.
    #[error("this build keeps no objects in a bucket (storage.objects_url); build it with the feature `s3`")]
    BucketNotBuilt,
    /// Objects are in a bucket, and none is configured.
    #[error("{} has objects in a bucket; set `storage.objects_url` to it", .0.display())]
    BucketNotSet(PathBuf),
    /// The folder and the database have an index of objects each.
    #[error("{} has an index of objects of its own, and the database of the catalog has another; start this instance with an empty data directory", .0.display())]
    TwoIndexes(PathBuf),
    /// Objects are in a bucket, and the configured one has none.
    #[error("{} has objects in a bucket, and {url} is not that one; set `storage.objects_url` back, or copy everything below it first", dir.display())]
    OtherBucket {
        /// The store's folder.
        dir: PathBuf,
        /// The configured bucket.
        url: String,
    },
    /// The bucket belongs to another account.
    #[error("{url} holds the objects of {account}; give each node a prefix of its own")]
    BucketOfAnother {
        /// The configured bucket.
        url: String,
        /// The account that it belongs to.
        account: String,
    },
    /// The bucket does not keep what a store has to promise.
    #[error("{url} cannot keep objects: {what}")]
    BrokenBucket {
        /// The configured bucket.
        url: String,
        /// What it did.
        what: String,
    },
    /// The thread that commits has ended; everything acknowledged can still be read.
    #[error("the object store takes no more changes; restart the node")]
    Stopped,
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
    /// A key of a key-value store is too long.
    #[error("a key has at most {limit} bytes, not {len}")]
    KeyTooLong {
        /// Bytes of the key.
        len: usize,
        /// Bytes allowed.
        limit: usize,
    },
}

impl From<StorageFault> for StoreError {
    fn from(fault: StorageFault) -> Self {
        failed(fault)
    }
}

/// An error of the medium.
pub(crate) fn failed(error: impl Into<Box<dyn Error + Send + Sync>>) -> StoreError {
    StoreError::Failed(error.into())
}

/// The same error again, for everybody whose change was in a failed commit.
pub(crate) fn repeat(error: &StoreError) -> StoreError {
    match error {
        StoreError::Full => StoreError::Full,
        StoreError::Corrupt(what) => StoreError::Corrupt(what.clone()),
        StoreError::Unavailable(why) => StoreError::Unavailable(why.clone()),
        StoreError::Unsettled(why) => StoreError::Unsettled(why.clone()),
        StoreError::Failed(source) => failed(source.to_string()),
        other => failed(other.to_string()),
    }
}
