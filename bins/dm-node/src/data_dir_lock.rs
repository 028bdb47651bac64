//! A data directory has one user at a time: a node, or a command that changes what a node
//! must not use meanwhile.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io::{self, ErrorKind},
    os::unix::fs::{DirBuilderExt, MetadataExt},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
};

use anyhow::{Context, bail};

/// The file that is locked; it is empty and stays.
const LOCK_FILE: &str = "node.lock";
/// How often a directory may vanish between two steps before that counts as a fault.
const ATTEMPTS: usize = 100;

/// Keeps others out of a data directory while it lives, and no longer than the process.
///
/// A directory that [`DataDirLock::make`] has made is removed when the lock is dropped,
/// until [`DataDirLock::keep`] says that what was to be made in it is complete.
pub(crate) struct DataDirLock {
    dir: PathBuf,
    remove: bool,
    /// Closed, and thereby unlocked, after the directory is removed.
    _file: File,
}

impl DataDirLock {
    /// Takes a directory that is there.
    ///
    /// # Errors
    /// Where somebody else uses it.
    pub(crate) fn take(dir: &Path) -> anyhow::Result<Self> {
        match try_take(dir)? {
            Some(file) => Ok(Self::of(dir, file, false)),
            None => bail!("{} is missing", dir.display()),
        }
    }

    /// Takes a directory, which is made where it is not there.
    ///
    /// # Errors
    /// Where somebody else uses it, and where it cannot be made.
    pub(crate) fn make(dir: &Path) -> anyhow::Result<Self> {
        for _ in 0..ATTEMPTS {
            let made = make_dir(dir).with_context(|| format!("cannot make {}", dir.display()))?;
            // Whoever made it may have failed and removed it by now.
            if let Some(file) = try_take(dir)? {
                return Ok(Self::of(dir, file, made));
            }
        }
        bail!("{} is removed again and again", dir.display())
    }

    /// Whether somebody uses the directory now. It makes nothing there.
    pub(crate) fn is_taken(dir: &Path) -> bool {
        dir.join(LOCK_FILE).is_file() && Self::take(dir).is_err()
    }

    fn of(dir: &Path, file: File, remove: bool) -> Self {
        Self {
            dir: dir.to_owned(),
            remove,
            _file: file,
        }
    }

    /// What was to be made in the directory is complete: it stays.
    pub(crate) fn keep(&mut self) {
        self.remove = false;
    }
}

impl Drop for DataDirLock {
    fn drop(&mut self) {
        if self.remove
            && let Err(error) = remove(&self.dir)
        {
            eprintln!("warning: cannot remove {}: {error}", self.dir.display());
        }
    }
}

/// Whether it was made; `false` where it is there.
fn make_dir(dir: &Path) -> io::Result<bool> {
    if let Some(parent) = dir.parent() {
        fs::create_dir_all(parent)?;
    }
    match DirBuilder::new().mode(0o700).create(dir) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::AlreadyExists && !is_something_else(dir) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Whether the path leads to no directory. One that has vanished meanwhile is none.
fn is_something_else(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok() && !path.is_dir()
}

/// Locks the directory; `None` where it is not there.
fn try_take(dir: &Path) -> anyhow::Result<Option<File>> {
    let path = dir.join(LOCK_FILE);
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false);
    let file = match options.open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).with_context(|| format!("cannot open {}", path.display())),
    };
    match file.try_lock() {
        Ok(()) => Ok(is_at(&file, &path).then_some(file)),
        Err(TryLockError::WouldBlock) => bail!("{} is in use by another process", dir.display()),
        Err(TryLockError::Error(error)) => {
            Err(error).with_context(|| format!("cannot lock {}", path.display()))
        }
    }
}

/// Whether a file is still the one at its path. A lock on a file that was removed between
/// opening and locking keeps nobody out.
fn is_at(file: &File, path: &Path) -> bool {
    let (Ok(held), Ok(there)) = (file.metadata(), fs::metadata(path)) else {
        return false;
    };
    (held.dev(), held.ino()) == (there.dev(), there.ino())
}

/// Renames the directory first, so that what another process makes in its place
/// meanwhile is not removed with it.
fn remove(dir: &Path) -> io::Result<()> {
    static REMOVED: AtomicU32 = AtomicU32::new(0);
    let (process, number) = (std::process::id(), REMOVED.fetch_add(1, Ordering::Relaxed));
    let mut name = dir.as_os_str().to_owned();
    name.push(format!(".removed-{process}-{number}"));
    let aside = PathBuf::from(name);
    fs::rename(dir, &aside)?;
    fs::remove_dir_all(&aside)
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn what_was_made_is_removed_until_it_is_kept() {
        let home = tempfile::tempdir().unwrap();
        let dir = home.path().join("a/b");
        drop(DataDirLock::make(&dir).unwrap());
        assert!(!dir.exists() && home.path().join("a").exists());
        DataDirLock::make(&dir).unwrap().keep();
        assert!(dir.exists());
        fs::write(dir.join("file"), "mine").unwrap();
        drop(DataDirLock::make(&dir).unwrap());
        assert_eq!(fs::read(dir.join("file")).unwrap(), b"mine");
    }

    #[test]
    fn who_comes_second_is_told_and_touches_nothing() {
        let home = tempfile::tempdir().unwrap();
        let dir = home.path().join("node");
        let first = DataDirLock::make(&dir).unwrap();
        let refused = DataDirLock::make(&dir).err().unwrap().to_string();
        assert!(refused.contains("in use"), "{refused}");
        assert!(DataDirLock::take(&dir).is_err());
        assert!(dir.join(LOCK_FILE).exists());
        assert!(DataDirLock::is_taken(&dir) && !DataDirLock::is_taken(home.path()));
        assert!(!home.path().join(LOCK_FILE).exists());
        drop(first);
        assert!(!dir.exists());
        assert!(DataDirLock::take(&dir).is_err() && !dir.exists());
    }

    #[test]
    fn a_path_that_is_no_directory_is_refused() {
        let home = tempfile::tempdir().unwrap();
        let (file, nowhere) = (home.path().join("file"), home.path().join("nowhere"));
        fs::write(&file, "").unwrap();
        std::os::unix::fs::symlink("does-not-exist", &nowhere).unwrap();
        for path in [file, nowhere] {
            let refused = format!("{:#}", DataDirLock::make(&path).err().unwrap());
            assert!(refused.contains("cannot make"), "{refused}");
        }
    }

    #[test]
    fn a_directory_that_is_made_and_removed_never_has_two_users() {
        let home = tempfile::tempdir().unwrap();
        let dir = home.path().join("node");
        let users = AtomicU32::new(0);
        let make_and_fail = || {
            for _ in 0..300 {
                let Ok(_lock) = DataDirLock::make(&dir) else {
                    continue;
                };
                assert_eq!(users.fetch_add(1, Ordering::SeqCst), 0);
                fs::write(dir.join("file"), "mine").unwrap();
                thread::yield_now();
                assert_eq!(fs::read(dir.join("file")).unwrap(), b"mine");
                assert_eq!(users.fetch_sub(1, Ordering::SeqCst), 1);
            }
        };
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(make_and_fail);
            }
        });
        // One that lost the race for a directory that it had made leaves it to the winner.
        for entry in fs::read_dir(home.path()).unwrap() {
            assert_eq!(entry.unwrap().file_name(), "node");
        }
    }
}
