//! Unpacks the archive of a folder, which a stranger may have made.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Read},
    path::Path,
};

use anyhow::{Context, bail, ensure};
use tar::{Archive, Entry, EntryType};

use super::{
    Declared, MAX_ENTRIES,
    paths::{MAX_PATH, Paths},
};

/// Makes a folder of an archive. It gets its name only when everything is in it and the
/// archive was read to its end.
///
/// # Errors
/// Where `target` is there already, the archive breaks off, is not as it was declared or
/// has something in it that is neither a file nor a folder, or it cannot be written; then
/// nothing is left of it.
pub(crate) fn unpack(archive: impl Read, declared: Declared, target: &Path) -> anyhow::Result<()> {
    ensure_absent(target)?;
    let cannot_write = || format!("cannot write {}", target.display());
    let fresh = fresh_folder(target).with_context(cannot_write)?;
    let mut archive = Archive::new(archive);
    unpack_into(fresh.path(), declared, &mut archive)?;
    ensure_at_end(archive.into_inner())?;
    // On some systems, a new name would take the place of an empty folder.
    ensure_absent(target)?;
    fs::rename(fresh.path(), target).with_context(cannot_write)?;
    // It is not there under this name any more.
    let _ = fresh.keep();
    Ok(())
}

fn ensure_absent(target: &Path) -> anyhow::Result<()> {
    let is_there = fs::symlink_metadata(target).is_ok();
    ensure!(
        !is_there,
        "{} is there already; choose another one with -o",
        target.display()
    );
    Ok(())
}

/// An empty folder beside the target, which is removed again where nothing comes of it.
fn fresh_folder(target: &Path) -> io::Result<tempfile::TempDir> {
    let parent = target.parent().filter(|parent| !parent.as_os_str().is_empty());
    let mut builder = tempfile::Builder::new();
    builder.prefix(".").suffix(".partial");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;

        // As for any new folder; the system takes away what the user does not want.
        builder.permissions(fs::Permissions::from_mode(0o777));
    }
    builder.tempdir_in(parent.unwrap_or(Path::new(".")))
}

fn unpack_into(root: &Path, declared: Declared, archive: &mut Archive<impl Read>) -> anyhow::Result<()> {
    let mut unpacking = Unpacking {
        root,
        declared,
        paths: Paths::default(),
        entries: 0,
        bytes: 0,
        long_path: None,
    };
    // Raw: the library would keep names of any length in memory.
    for entry in archive.entries().context("the archive cannot be read")?.raw(true) {
        let mut entry = entry.context("the archive cannot be read")?;
        unpacking
            .take(&mut entry)
            .context("the archive is not unpacked")?;
    }
    unpacking.ensure_complete()
}

/// Behind the end of an archive is nothing but zeros; another program could see more in it.
fn ensure_at_end(mut rest: impl Read) -> anyhow::Result<()> {
    let mut buffer = [0; 8192];
    loop {
        match rest.read(&mut buffer).context("the archive cannot be read")? {
            0 => return Ok(()),
            read => ensure!(
                buffer[..read].iter().all(|byte| *byte == 0),
                "the archive is not unpacked: it goes on behind its end"
            ),
        }
    }
}

struct Unpacking<'a> {
    root: &'a Path,
    declared: Declared,
    paths: Paths,
    entries: u64,
    bytes: u64,
    /// The path of the next entry, where it is too long for the entry itself.
    long_path: Option<Vec<u8>>,
}

impl Unpacking<'_> {
    fn take(&mut self, entry: &mut Entry<'_, impl Read>) -> anyhow::Result<()> {
        let kind = entry.header().entry_type();
        if kind == EntryType::GNULongName {
            ensure!(self.long_path.is_none(), "it has two paths for one entry");
            self.long_path = Some(long_path(entry)?);
            return Ok(());
        }
        let path = match self.long_path.take() {
            Some(path) => path,
            None => entry.header().path_bytes().into_owned(),
        };
        let path = String::from_utf8(path)
            .map_err(|error| error.utf8_error())
            .context("it has a path that is not in UTF-8")?;
        match kind {
            EntryType::Regular => self.take_file(&path, entry),
            EntryType::Directory => self.take_folder(&path, entry),
            other => bail!(
                "{path:?} is neither a file nor a folder, but an entry of the kind {:?}",
                char::from(other.as_byte())
            ),
        }
    }

    fn take_folder(&mut self, path: &str, entry: &Entry<'_, impl Read>) -> anyhow::Result<()> {
        let path = path.strip_suffix('/').unwrap_or(path);
        self.count(path, true)?;
        ensure!(entry.size() == 0, "{path:?} is a folder with bytes of its own");
        DirBuilder::new()
            .create(self.root.join(path))
            .with_context(|| format!("{path:?} cannot be written"))
    }

    fn take_file(&mut self, path: &str, entry: &mut Entry<'_, impl Read>) -> anyhow::Result<()> {
        self.count(path, false)?;
        let size = entry.size();
        let bytes = self.bytes.checked_add(size);
        self.bytes = bytes
            .filter(|bytes| *bytes <= self.declared.bytes)
            .context("it has more bytes than were declared")?;
        let is_executable = entry.header().mode().is_ok_and(|mode| mode & 0o100 != 0);
        let mut file = create(&self.root.join(path), is_executable)
            .with_context(|| format!("{path:?} cannot be written"))?;
        let copied = io::copy(entry, &mut file).with_context(|| format!("{path:?}"))?;
        ensure!(copied == size, "it breaks off");
        Ok(())
    }

    fn count(&mut self, path: &str, is_folder: bool) -> anyhow::Result<()> {
        self.entries += 1;
        ensure!(
            self.entries <= self.declared.entries.min(MAX_ENTRIES),
            "it has more files and folders than were declared, or than {MAX_ENTRIES}"
        );
        self.paths.add(path, is_folder)
    }

    fn ensure_complete(&self) -> anyhow::Result<()> {
        let found = Declared {
            entries: self.entries,
            bytes: self.bytes,
        };
        ensure!(
            found == self.declared && self.long_path.is_none(),
            "the archive is not unpacked: it has less in it than was declared"
        );
        Ok(())
    }
}

/// The path that an entry of its own has, with a zero byte at its end.
fn long_path(entry: &mut Entry<'_, impl Read>) -> anyhow::Result<Vec<u8>> {
    let size = entry.size();
    // A folder has a slash at its end as well.
    ensure!(
        size <= MAX_PATH as u64 + 2,
        "it has a path of more than {MAX_PATH} bytes"
    );
    let mut path = Vec::new();
    entry.read_to_end(&mut path)?;
    ensure!(path.len() as u64 == size, "it breaks off");
    if path.last() == Some(&0) {
        path.pop();
    }
    Ok(path)
}

/// A file that was not there before.
fn create(path: &Path, is_executable: bool) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;

        options.mode(if is_executable { 0o777 } else { 0o666 });
    }
    options.open(path)
}

#[cfg(test)]
mod tests;
