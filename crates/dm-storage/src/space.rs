use std::{fs::File, path::Path, sync::Arc};

use dm_core::ports::StoreError;

/// Bytes of the disk that are left free, for what the engine does in the
/// background: an engine that meets a full disk there takes no more writes
/// until it is opened again, and could not even delete.
const RESERVE: u64 = 64 << 20;

/// Watches the free space of the disk that holds a folder.
#[derive(Clone)]
pub(crate) struct Space {
    folder: Arc<File>,
}

impl Space {
    pub(crate) fn of(folder: &Path) -> Result<Self, StoreError> {
        let folder = File::open(folder).map_err(StoreError::from_io)?;
        Ok(Self {
            folder: Arc::new(folder),
        })
    }

    /// Whether `bytes` may be written. Costs about a microsecond.
    ///
    /// # Errors
    /// [`StoreError::Full`] where they would leave less than the reserve.
    pub(crate) fn check(&self, bytes: u64) -> Result<(), StoreError> {
        let disk = rustix::fs::fstatvfs(&self.folder).map_err(|error| StoreError::from_io(error.into()))?;
        let free = disk.f_bavail.saturating_mul(disk.f_frsize);
        if free < RESERVE.saturating_add(bytes) {
            Err(StoreError::Full)
        } else {
            Ok(())
        }
    }
}
