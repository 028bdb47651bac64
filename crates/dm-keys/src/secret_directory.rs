//! Files of secrets in a directory.

use std::path::{Path, PathBuf};

use dm_core::ports::{SecretFiles, SecretFilesError};

use crate::{KeyError, private_file};

/// A directory whose files of secrets only their owner may read.
#[derive(Debug, Clone)]
pub struct SecretDirectory(PathBuf);

impl SecretDirectory {
    /// The files in this directory, which is made with the first one.
    pub fn at(dir: impl Into<PathBuf>) -> Self {
        Self(dir.into())
    }

    /// The directory of a file, and the file's name.
    pub(crate) fn of_file(path: &Path) -> (Self, String) {
        let name = path.file_name().unwrap_or_default();
        let dir = path.parent().unwrap_or(Path::new(""));
        (Self::at(dir), name.to_string_lossy().into_owned())
    }
}

impl SecretFiles for SecretDirectory {
    fn place(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn load(&self, name: &str) -> Result<Option<Vec<u8>>, SecretFilesError> {
        match private_file::read(&self.place(name)) {
            Err(KeyError::Missing(_)) => Ok(None),
            read => read.map(Some).map_err(failed),
        }
    }

    fn replace(
        &self,
        name: &str,
        expected: Option<&[u8]>,
        new: Option<&[u8]>,
    ) -> Result<(), SecretFilesError> {
        let path = self.place(name);
        if !self.0.as_os_str().is_empty() {
            private_file::create_dir(&self.0).map_err(failed)?;
        }
        let _lock = private_file::lock(&path).map_err(failed)?;
        // Also a file that must not be read is not written over.
        let is_there = private_file::exists(&path).map_err(failed)?;
        let found = match (expected, is_there) {
            (None, true) => return Err(SecretFilesError::Conflict),
            _ => self.load(name)?,
        };
        if found.as_deref() != expected {
            return Err(SecretFilesError::Conflict);
        }
        match new {
            Some(bytes) => private_file::replace(&path, bytes),
            None if is_there => private_file::remove(&path),
            None => Ok(()),
        }
        .map_err(failed)
    }
}

fn failed(error: KeyError) -> SecretFilesError {
    SecretFilesError::Failed(error.into())
}
