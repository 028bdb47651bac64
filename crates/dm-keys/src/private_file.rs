//! Files that only their owner may read, replaced as a whole or not at all.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

use crate::KeyError;

/// Longest file that is read, in bytes; some 10,000 key versions.
const MAX_BYTES: u64 = 4 << 20;

/// Reads a file that holds secrets.
///
/// # Errors
/// [`KeyError::Missing`], [`KeyError::Permissions`] where others than the owner
/// have any access, [`KeyError::Unsupported`] where it is too long.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, KeyError> {
    let file = open(path)?;
    refuse_access_of_others(path, &file)?;
    read_bounded(path, file)
}

/// Reads a file whatever its permissions: one that this node does not keep.
pub(crate) fn read_foreign(path: &Path) -> Result<Vec<u8>, KeyError> {
    read_bounded(path, open(path)?)
}

fn open(path: &Path) -> Result<File, KeyError> {
    File::open(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => KeyError::Missing(path.to_owned()),
        _ => KeyError::io("open", path)(error),
    })
}

fn read_bounded(path: &Path, file: File) -> Result<Vec<u8>, KeyError> {
    let mut bytes = Vec::new();
    file.take(MAX_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(KeyError::io("read", path))?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(KeyError::unsupported(path, "longer than 4 MiB"));
    }
    Ok(bytes)
}

#[cfg(unix)]
fn refuse_access_of_others(path: &Path, file: &File) -> Result<(), KeyError> {
    use std::os::unix::fs::PermissionsExt;
    let mode = file
        .metadata()
        .map_err(KeyError::io("examine", path))?
        .permissions()
        .mode()
        & 0o777;
    if mode & 0o077 != 0 {
        return Err(KeyError::Permissions {
            path: path.to_owned(),
            mode,
        });
    }
    Ok(())
}

#[cfg(not(unix))]
fn refuse_access_of_others(_path: &Path, _file: &File) -> Result<(), KeyError> {
    Ok(())
}

/// Whether something is at the path.
pub(crate) fn exists(path: &Path) -> Result<bool, KeyError> {
    path.try_exists().map_err(KeyError::io("examine", path))
}

/// Makes a directory for secrets, where it does not exist.
pub(crate) fn create_dir(dir: &Path) -> Result<(), KeyError> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::DirBuilderExt;
        builder.mode(0o700);
    }
    builder.create(dir).map_err(KeyError::io("create", dir))
}

/// Replaces or creates a file: once this returns the new content survives the
/// loss of power, and whenever it fails or is killed the old content is intact.
/// Writers of the same file must hold [`lock`].
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> Result<(), KeyError> {
    let temporary = temporary_path(path);
    // A leftover of a killed writer may have any permissions.
    match fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(KeyError::io("remove", &temporary)(error));
        }
        _ => {}
    }
    interruptible(path)?;
    if let Err(error) = write_new(&temporary, bytes) {
        // On a full disk it would take what little room there is.
        let _ = fs::remove_file(&temporary);
        return Err(KeyError::io("write", &temporary)(error));
    }
    interruptible(path)?;
    fs::rename(&temporary, path).map_err(KeyError::io("replace", path))?;
    interruptible(path)?;
    sync_dir_of(path)
}

/// Between two steps of a write.
#[cfg(not(test))]
#[expect(clippy::unnecessary_wraps, reason = "tests break off here")]
const fn interruptible(_path: &Path) -> Result<(), KeyError> {
    Ok(())
}

#[cfg(test)]
use interruption::step as interruptible;
#[cfg(test)]
pub(crate) mod interruption;

/// Deletes a file.
pub(crate) fn remove(path: &Path) -> Result<(), KeyError> {
    fs::remove_file(path).map_err(KeyError::io("remove", path))?;
    sync_dir_of(path)
}

/// Where [`replace`] writes before it renames.
pub(crate) fn temporary_path(path: &Path) -> PathBuf {
    with_suffix(path, ".new")
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    let mut file = options.open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn sync_dir_of(path: &Path) -> Result<(), KeyError> {
    let dir = match path.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir,
        _ => Path::new("."),
    };
    File::open(dir)
        .and_then(|dir| dir.sync_all())
        .map_err(KeyError::io("synchronise", dir))
}

/// Keeps other processes from writing the file while the guard lives. The lock
/// is on a file of its own, because the file itself is replaced.
pub(crate) fn lock(path: &Path) -> Result<File, KeyError> {
    let lock_path = with_suffix(path, ".lock");
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false);
    let file = options
        .open(&lock_path)
        .map_err(KeyError::io("open", &lock_path))?;
    file.lock().map_err(KeyError::io("lock", &lock_path))?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_writer_killed_before_the_rename_leaves_the_old_content() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        replace(&path, b"old").unwrap();
        fs::write(temporary_path(&path), b"ne").unwrap();
        assert_eq!(read(&path).unwrap(), b"old");
        replace(&path, b"newest").unwrap();
        assert_eq!(read(&path).unwrap(), b"newest");
        assert!(!temporary_path(&path).exists());
    }

    #[cfg(unix)]
    #[test]
    fn files_are_for_their_owner_alone() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        replace(&path, b"x").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        for mode in [0o640, 0o604, 0o610] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            assert!(matches!(read(&path), Err(KeyError::Permissions { mode: found, .. }) if found == mode));
        }
    }

    #[test]
    fn an_endless_file_is_not_read_to_its_end() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("long");
        replace(&path, &vec![b' '; MAX_BYTES as usize + 1]).unwrap();
        assert!(matches!(read(&path), Err(KeyError::Unsupported { .. })));
    }
}
