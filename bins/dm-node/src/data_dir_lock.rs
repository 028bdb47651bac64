//! A data directory has one user at a time: a node, or a command that changes what a node
//! must not use meanwhile.

use std::{
    fs::{File, OpenOptions, TryLockError},
    path::Path,
};

use anyhow::{Context, bail};

/// The file that is locked; it is empty and stays.
const LOCK_FILE: &str = "node.lock";

/// Keeps others out of a data directory while it lives, and no longer than the process.
pub(crate) struct DataDirLock {
    _file: File,
}

impl DataDirLock {
    /// Takes a directory that is there.
    ///
    /// # Errors
    /// Where somebody else uses it.
    pub(crate) fn take(dir: &Path) -> anyhow::Result<Self> {
        let path = dir.join(LOCK_FILE);
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false);
        let file = options
            .open(&path)
            .with_context(|| format!("cannot open {}", path.display()))?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file }),
            Err(TryLockError::WouldBlock) => bail!("{} is in use by a running node", dir.display()),
            Err(TryLockError::Error(error)) => {
                Err(error).with_context(|| format!("cannot lock {}", path.display()))
            }
        }
    }
}
