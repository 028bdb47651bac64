//! The journals of an engine that was closed after a write had failed.
//!
//! After a failed fsync the system holds pages in memory that are not on the
//! disk, and takes them for written. An engine that is opened then reads them,
//! and appends behind them: after a loss of power there would be a hole, and all
//! that was appended would be lost with it. So every page of a journal is written
//! once more.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::FileExt,
    path::Path,
    thread,
    time::{Duration, Instant},
};

/// Extension of fjall's journals.
const EXTENSION: &str = "jnl";
/// Bytes that are read and written at a time.
const PIECE: usize = 64 << 10;
/// How long threads of the closed engine may take to let go of a journal.
const PATIENCE: Duration = Duration::from_secs(10);

/// Makes durable what is read from the journals in `folder`. An engine without
/// such journals has nothing to rewrite.
pub(super) fn rewrite(folder: &Path) -> io::Result<()> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == EXTENSION) {
            await_closed(&path)?;
            rewrite_file(&path)?;
        }
    }
    File::open(folder)?.sync_all()
}

fn rewrite_file(path: &Path) -> io::Result<()> {
    let file = File::options().read(true).write(true).open(path)?;
    let mut piece = vec![0; PIECE];
    let mut offset = 0;
    loop {
        let read = file.read_at(&mut piece, offset)?;
        let Some(bytes) = piece.get(..read).filter(|bytes| !bytes.is_empty()) else {
            return file.sync_all();
        };
        // Room that is only set aside takes none, and stays so.
        if bytes.iter().any(|byte| *byte != 0) {
            file.write_all_at(bytes, offset)?;
        }
        offset += read as u64;
    }
}

/// Waits until nothing of this process has the file open: a thread of the
/// engine writes the rest of its buffer when it ends.
fn await_closed(path: &Path) -> io::Result<()> {
    let until = Instant::now() + PATIENCE;
    while is_open(path) {
        if Instant::now() > until {
            return Err(io::Error::other("the closed engine holds on to its journal"));
        }
        thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

fn is_open(path: &Path) -> bool {
    let Ok(open) = fs::read_dir("/proc/self/fd") else {
        // Nobody can tell; the engine has had its threads end by now.
        return false;
    };
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    open.filter_map(Result::ok)
        .any(|entry| fs::read_link(entry.path()).is_ok_and(|target| target == path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_journal_that_was_rewritten_is_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("3.jnl");
        let mut content = vec![7; 3 * PIECE + 5];
        content[PIECE..2 * PIECE].fill(0);
        fs::write(&path, &content).unwrap();
        rewrite(folder.path()).unwrap();
        assert_eq!(fs::read(&path).unwrap(), content);
    }

    #[test]
    fn a_file_counts_as_open_until_it_is_closed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("1.jnl");
        let file = File::create(&path).unwrap();
        assert!(is_open(&path) || !Path::new("/proc/self/fd").exists());
        drop(file);
        assert!(!is_open(&path));
    }
}
