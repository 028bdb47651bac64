//! What is in a folder that is to be shared.

use std::{
    fs::{self, File, Metadata, OpenOptions},
    io,
    path::{Path, PathBuf},
    time::SystemTime,
};

use anyhow::{Context, ensure};

use super::{Declared, MAX_ENTRIES, paths::Paths};

/// A folder as it was looked at.
#[derive(Debug)]
pub(crate) struct Folder {
    pub(super) root: PathBuf,
    /// Each folder before what is in it, and what is in it in the order of the names.
    pub(super) entries: Vec<Entry>,
}

/// A file or a folder in a folder.
#[derive(Debug)]
pub(super) struct Entry {
    /// Its path in the folder; `/` separates the parts.
    pub(super) path: String,
    /// What it has, if it is a file.
    pub(super) file: Option<FileState>,
}

/// How a file was when it was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FileState {
    /// Bytes.
    pub(super) size: u64,
    /// Whether its owner may execute it.
    pub(super) is_executable: bool,
    modified: Option<SystemTime>,
}

impl FileState {
    pub(super) fn of(metadata: &Metadata) -> Self {
        Self {
            size: metadata.len(),
            is_executable: is_executable(metadata),
            modified: metadata.modified().ok(),
        }
    }
}

impl Folder {
    /// Looks at everything in a folder.
    ///
    /// # Errors
    /// What cannot be read, what is neither a file nor a folder, and what has no path on
    /// other systems.
    pub(crate) fn read(root: &Path) -> anyhow::Result<Self> {
        let root = root
            .canonicalize()
            .with_context(|| format!("cannot read {}", root.display()))?;
        let mut reading = Reading {
            root: &root,
            paths: Paths::default(),
            entries: Vec::new(),
        };
        reading.read_folder("")?;
        let entries = reading.entries;
        Ok(Self { root, entries })
    }

    /// The name of the folder, if it has one.
    pub(crate) fn name(&self) -> Option<&str> {
        self.root.file_name()?.to_str()
    }

    /// How much is in it.
    pub(crate) fn declared(&self) -> Declared {
        let files = self.entries.iter().filter_map(|entry| entry.file.as_ref());
        Declared {
            entries: self.entries.len() as u64,
            bytes: files.map(|file| file.size).sum(),
        }
    }
}

struct Reading<'a> {
    root: &'a Path,
    paths: Paths,
    entries: Vec<Entry>,
}

impl Reading<'_> {
    /// Goes no deeper than a path is long.
    fn read_folder(&mut self, folder: &str) -> anyhow::Result<()> {
        let place = self.root.join(folder);
        let cannot_read = || format!("cannot read {}", place.display());
        let mut children = fs::read_dir(&place)
            .and_then(Iterator::collect::<io::Result<Vec<_>>>)
            .with_context(cannot_read)?;
        children.sort_by_key(fs::DirEntry::file_name);
        for child in children {
            let path = child.path();
            let name = child.file_name();
            let name = name
                .to_str()
                .with_context(|| format!("{} has a name that is not in UTF-8", path.display()))?;
            let inner = match folder {
                "" => name.to_owned(),
                folder => format!("{folder}/{name}"),
            };
            let kind = child.file_type().with_context(cannot_read)?;
            self.add(&inner, kind, &path)
                .with_context(|| format!("{} cannot be shared", path.display()))?;
            if kind.is_dir() {
                self.read_folder(&inner)?;
            }
        }
        Ok(())
    }

    fn add(&mut self, path: &str, kind: fs::FileType, place: &Path) -> anyhow::Result<()> {
        ensure!(!kind.is_symlink(), "it is a link");
        ensure!(
            kind.is_file() || kind.is_dir(),
            "it is neither a file nor a folder"
        );
        ensure!(
            (self.entries.len() as u64) < MAX_ENTRIES,
            "the folder has more than {MAX_ENTRIES} files and folders"
        );
        self.paths.add(path, kind.is_dir())?;
        let file = match kind.is_file() {
            true => Some(FileState::of(&open_file(place)?.metadata()?)),
            false => None,
        };
        let path = path.to_owned();
        self.entries.push(Entry { path, file });
        Ok(())
    }
}

/// Opens a file, but no link that has taken its place, and without waiting for anybody.
pub(super) fn open_file(path: &Path) -> anyhow::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;

        use rustix::fs::OFlags;

        options.custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed());
    }
    let file = options.open(path)?;
    ensure!(file.metadata()?.is_file(), "it is no file any more");
    Ok(file)
}

#[cfg(unix)]
fn is_executable(metadata: &Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt;

    metadata.permissions().mode() & 0o100 != 0
}

#[cfg(not(unix))]
fn is_executable(_metadata: &Metadata) -> bool {
    false
}
