//! The room on the disk of a store.

use std::{fs::File, path::Path, sync::Arc};

use dm_core::{
    health::{Finding, Trouble},
    ports::StoreError,
};

/// Watches the free space of the disk that holds a folder.
#[derive(Clone)]
pub(crate) struct Space {
    folder: Arc<File>,
    /// Bytes that new data leaves free.
    kept_free: u64,
}

impl Space {
    /// Watches the disk of `folder`, of which new data leaves `kept_free` bytes.
    pub(crate) fn of(folder: &Path, kept_free: u64) -> Result<Self, StoreError> {
        let folder = File::open(folder).map_err(StoreError::from_io)?;
        Ok(Self {
            folder: Arc::new(folder),
            kept_free,
        })
    }

    /// Bytes that are free. Costs about a microsecond.
    pub(crate) fn free(&self) -> Result<u64, StoreError> {
        let disk = rustix::fs::fstatvfs(&self.folder).map_err(|error| StoreError::from_io(error.into()))?;
        Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
    }

    /// Whether `bytes` of new data may be written.
    ///
    /// # Errors
    /// [`StoreError::Full`] where they would leave less than is kept free.
    pub(crate) fn check(&self, bytes: u64) -> Result<(), StoreError> {
        if self.free()? < self.kept_free.saturating_add(bytes) {
            Err(StoreError::Full)
        } else {
            Ok(())
        }
    }

    /// What the free space means for the health of the store.
    pub(crate) fn judge(&self) -> Finding {
        let free = match self.free() {
            Ok(free) => free,
            Err(error) => {
                let reason = format!("the free space of the disk cannot be read: {error}");
                return Finding::Degraded(Trouble::new(reason, "look at the disk of the data directory"));
            }
        };
        let trouble = || {
            let reason = format!(
                "{} MiB of the disk are free; new data is refused below {} MiB",
                free >> 20,
                self.kept_free >> 20
            );
            Trouble::new(reason, "make room on the disk of the data directory")
        };
        if free < self.kept_free {
            Finding::Failed(trouble())
        } else if free < 2 * self.kept_free {
            Finding::Degraded(trouble())
        } else {
            Finding::Working
        }
    }
}
