//! The files of objects whose writing was interrupted: their names, which of
//! them are in use, and how long they stay.
//!
//! Such a file is laid out like that of a complete object (`layout`), without
//! the end. Nothing of it was synced: whoever goes on with it checks each chunk
//! against its name.

use std::{
    collections::HashSet,
    fs::{self, DirEntry, File},
    io::{self, ErrorKind},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use dm_core::{
    envelope::{Chunk, ObjectId, SignedEnvelope},
    hash::ChunkName,
};

use super::layout::{NAME_LEN, chunk_offset, name_offset};

/// Files that are kept, those in use excepted; the oldest go first.
const MAX_FILES: usize = 16;
/// How long a file is kept after it was last written.
const MAX_AGE: Duration = Duration::from_secs(24 * 60 * 60);

/// The folder of unfinished files; clones are the same folder.
#[derive(Debug, Clone)]
pub(crate) struct Partials {
    folder: PathBuf,
    in_use: Arc<Mutex<HashSet<PathBuf>>>,
}

/// A file that nobody else goes on with while this lives.
#[derive(Debug)]
pub(crate) struct Claim {
    path: PathBuf,
    partials: Partials,
}

impl Partials {
    /// Makes the folder where it does not exist, and removes what is too old.
    pub(crate) fn open(folder: PathBuf) -> io::Result<Self> {
        fs::create_dir_all(&folder)?;
        let partials = Self {
            folder,
            in_use: Arc::default(),
        };
        partials.prune()?;
        Ok(partials)
    }

    /// The file of an object with these chunks; `None` where somebody is at it.
    pub(crate) fn claim(&self, envelope: &SignedEnvelope) -> Option<Claim> {
        let id = envelope.id;
        let list = hex::encode(envelope.chunk_list);
        let path = self.folder.join(format!("{}{list}", prefix(&id)));
        let is_free = self.in_use().insert(path.clone());
        is_free.then(|| Claim {
            path,
            partials: self.clone(),
        })
    }

    /// Deletes what is too old or too much.
    pub(crate) fn prune(&self) -> io::Result<()> {
        let mut unused = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            if !self.in_use().contains(&entry.path()) {
                unused.push((age(&entry), entry.path()));
            }
        }
        unused.sort();
        let outdated =
            |(index, (age, _)): &(usize, &(Duration, PathBuf))| *index >= MAX_FILES || *age > MAX_AGE;
        for (_, (_, path)) in unused.iter().enumerate().filter(outdated) {
            remove(path)?;
        }
        Ok(())
    }

    /// Deletes what is left of an object, unless somebody is at it.
    pub(crate) fn forget(&self, id: &ObjectId) -> io::Result<()> {
        let prefix = prefix(id);
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            let belongs = entry
                .file_name()
                .as_encoded_bytes()
                .starts_with(prefix.as_bytes());
            if belongs && !self.in_use().contains(&entry.path()) {
                remove(&entry.path())?;
            }
        }
        Ok(())
    }

    fn in_use(&self) -> MutexGuard<'_, HashSet<PathBuf>> {
        self.in_use.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Claim {
    /// Where the file is, or is to be made.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.partials.in_use().remove(&self.path);
    }
}

/// The chunk at `index` of an unfinished file, if it is whole.
pub(crate) fn whole_chunk(file: &File, envelope: &SignedEnvelope, index: u64) -> Option<Chunk> {
    let mut name = [0; NAME_LEN as usize];
    file.read_exact_at(&mut name, name_offset(index)).ok()?;
    let mut bytes = vec![0; envelope.chunk_len(index) as usize];
    file.read_exact_at(&mut bytes, chunk_offset(index)).ok()?;
    Chunk::checked(ChunkName::from_bytes(name), bytes.into())
}

fn prefix(id: &ObjectId) -> String {
    format!("{}-{:x}-", id.locator, id.owner)
}

/// How long ago a file was written; what cannot be told counts as old.
fn age(entry: &DirEntry) -> Duration {
    let written = entry.metadata().and_then(|metadata| metadata.modified());
    written.map_or(Duration::MAX, |written| {
        SystemTime::now().duration_since(written).unwrap_or_default()
    })
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use dm_testing::objects::SampleObject;

    use super::*;

    fn envelope(seed: u64) -> SignedEnvelope {
        SampleObject::new(1, seed, 10).envelope
    }

    fn count(folder: &Path) -> usize {
        fs::read_dir(folder).unwrap().count()
    }

    #[test]
    fn one_at_a_time_goes_on_with_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let partials = Partials::open(folder.path().join("partial")).unwrap();
        let claim = partials.claim(&envelope(1)).unwrap();
        assert!(partials.claim(&envelope(1)).is_none());
        assert!(partials.claim(&envelope(2)).is_some());
        drop(claim);
        assert!(partials.claim(&envelope(1)).is_some());
    }

    #[test]
    fn the_old_and_the_many_are_removed_and_those_in_use_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let partials = Partials::open(folder.path().join("partial")).unwrap();
        let long_ago = SystemTime::now() - 2 * MAX_AGE;
        let make = |seed: u64, when: SystemTime| {
            let claim = partials.claim(&envelope(seed)).unwrap();
            let file = File::create(claim.path()).unwrap();
            file.set_modified(when).unwrap();
            claim
        };
        let used = make(0, long_ago);
        drop(make(1, long_ago));
        partials.prune().unwrap();
        assert_eq!(count(&partials.folder), 1);
        for seed in 2..2 * MAX_FILES as u64 {
            drop(make(seed, SystemTime::now() - Duration::from_secs(seed)));
        }
        partials.prune().unwrap();
        assert_eq!(count(&partials.folder), MAX_FILES + 1);
        assert!(used.path().exists());
        assert!(
            partials.claim(&envelope(2)).unwrap().path().exists(),
            "the newest stay"
        );
    }

    #[test]
    fn what_is_left_of_a_removed_object_goes_with_it() {
        let folder = tempfile::tempdir().unwrap();
        let partials = Partials::open(folder.path().join("partial")).unwrap();
        for seed in [1, 2] {
            File::create(partials.claim(&envelope(seed)).unwrap().path()).unwrap();
        }
        partials.forget(&envelope(1).id).unwrap();
        assert_eq!(count(&partials.folder), 1);
    }
}
