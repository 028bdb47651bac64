//! Room that is taken while there is some, so that what frees room can be done
//! when there is none: a file that is deleted then, and made again later.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};

/// The file that takes the room.
pub(crate) struct Reserve {
    path: PathBuf,
    bytes: u64,
}

impl Reserve {
    /// Room of `bytes` in a file at `path`, which need not be there yet.
    pub(crate) fn at(path: PathBuf, bytes: u64) -> Self {
        Self { path, bytes }
    }

    /// Bytes of the file.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Gives the room free; whether there was any.
    pub(crate) fn release(&self) -> bool {
        match fs::remove_file(&self.path) {
            Ok(()) => {
                tracing::warn!(path = %self.path.display(), bytes = self.bytes, "the disk is full: used the room that was kept for this");
                true
            }
            Err(_) => false,
        }
    }

    /// Takes the room where it is not taken. A disk that has too little leaves
    /// nothing behind.
    pub(crate) fn take(&self) {
        if self.is_taken() {
            return;
        }
        if let Err(error) = make(&self.path, self.bytes) {
            tracing::debug!(%error, path = %self.path.display(), "no room could be kept");
            // What was made of it is of no use.
            let _ = fs::remove_file(&self.path);
        }
    }

    fn is_taken(&self) -> bool {
        fs::metadata(&self.path).is_ok_and(|file| file.len() == self.bytes)
    }
}

fn make(path: &Path, bytes: u64) -> io::Result<()> {
    let mut options = File::options();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    let mut file = options.open(path)?;
    match allocate(&file, bytes) {
        Err(error) if error.kind() == io::ErrorKind::Unsupported => {
            io::copy(&mut io::Read::take(io::repeat(0), bytes), &mut file)?;
            file.flush()
        }
        other => other,
    }
}

#[cfg(any(target_os = "linux", target_os = "freebsd"))]
fn allocate(file: &File, bytes: u64) -> io::Result<()> {
    use rustix::fs::{FallocateFlags, fallocate};

    Ok(fallocate(file, FallocateFlags::empty(), 0, bytes)?)
}

/// Other systems are asked to write.
#[cfg(not(any(target_os = "linux", target_os = "freebsd")))]
fn allocate(_: &File, _: u64) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_taken_given_free_and_taken_again() {
        let folder = tempfile::tempdir().unwrap();
        let reserve = Reserve::at(folder.path().join("reserve"), 1 << 20);
        assert!(!reserve.release());
        for _ in 0..2 {
            reserve.take();
            reserve.take();
            assert_eq!(
                fs::metadata(folder.path().join("reserve")).unwrap().len(),
                1 << 20
            );
            assert!(reserve.release());
        }
        assert!(!folder.path().join("reserve").exists());
    }
}
