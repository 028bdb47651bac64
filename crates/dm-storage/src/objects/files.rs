//! The files of large objects: their names, and reading them.
//!
//! A file is written in `incoming/` and moved to `files/` when it is complete.
//! Its name there says which object it belongs to:
//! `<locator>-<owner>-<body id>`, in hexadecimal. One that takes long to come is
//! written in `partial/`, and stays there when that is interrupted. One that comes in
//! parts is written in `uploads/`, and stays there until it is forgotten.

use std::{
    fs::{self, File},
    io::{self, ErrorKind, Write},
    num::NonZeroU64,
    ops::Range,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use async_trait::async_trait;
use dm_core::{
    Address,
    envelope::{Chunk, Envelope, ObjectId, SignedEnvelope},
    hash::{ChunkName, Locator},
    ports::StoreError,
};

use super::{
    bodies::{Bodies, Placed, ReadError, Reading, Receiver, Written},
    layout::{NAME_LEN, TRAILER_LEN, chunk_offset, name_offset, name_runs, names_in},
    partial::Partials,
    record::{Body, BodyId},
    trailer::{envelope_len, stored_envelope},
};
use crate::{blocking::blocking, commits::committer::Committer};

/// The folders of a store's files.
#[derive(Debug, Clone)]
pub(crate) struct Files {
    complete: PathBuf,
    incoming: PathBuf,
    uploads: PathBuf,
    /// Files of objects that are gone on with after an interruption.
    pub(crate) partials: Partials,
}

impl Files {
    /// Makes the folders where they do not exist, and removes what a stopped
    /// process left half-written.
    pub(crate) fn open(dir: &Path) -> io::Result<Self> {
        let files = Self {
            complete: dir.join("files"),
            incoming: dir.join("incoming"),
            uploads: dir.join("uploads"),
            partials: Partials::open(dir.join("partial"))?,
        };
        fs::create_dir_all(&files.complete)?;
        fs::create_dir_all(&files.incoming)?;
        fs::create_dir_all(&files.uploads)?;
        sync_folder(dir)?;
        for entry in fs::read_dir(&files.incoming)? {
            fs::remove_file(entry?.path())?;
        }
        Ok(files)
    }

    /// Whether there are complete files of objects below `dir`.
    #[cfg(feature = "postgres")]
    pub(crate) fn any_in(dir: &Path) -> io::Result<bool> {
        match fs::read_dir(dir.join("files")) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            entries => Ok(entries?.next().is_some()),
        }
    }

    /// Whether the disk takes a file. What is written for that is deleted again.
    fn write_probe(&self) -> io::Result<()> {
        let path = self.incoming.join("probe");
        let written = File::create(&path).and_then(|mut file| {
            file.write_all(&[0x5a; 4096])?;
            file.sync_all()
        });
        let removed = fs::remove_file(&path);
        written.and(removed)
    }

    /// Where a body is written.
    pub(crate) fn incoming_path(&self, body: BodyId) -> PathBuf {
        self.incoming.join(hex_body(body))
    }

    /// The folder of objects that come in parts.
    pub(crate) fn uploads(&self) -> &Path {
        &self.uploads
    }

    /// Where the complete body of an object is.
    pub(crate) fn path(&self, id: &ObjectId, body: BodyId) -> PathBuf {
        self.complete
            .join(format!("{}-{:x}-{}", id.locator, id.owner, hex_body(body)))
    }

    /// Makes a file that was moved here stay here after a loss of power.
    pub(crate) fn sync(&self) -> io::Result<()> {
        sync_folder(&self.complete)
    }

    /// All complete files whose names have the right form.
    pub(crate) fn list(&self) -> io::Result<impl Iterator<Item = io::Result<(ObjectId, BodyId)>> + use<>> {
        let entries = fs::read_dir(&self.complete)?;
        Ok(entries.filter_map(|entry| match entry {
            Ok(entry) => entry.file_name().to_str().and_then(parse_name).map(Ok),
            Err(error) => Some(Err(error)),
        }))
    }

    /// Deletes a complete file; one that is gone already is no error.
    pub(crate) fn delete(&self, id: &ObjectId, body: BodyId) -> io::Result<()> {
        match fs::remove_file(self.path(id, body)) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    fn read_chunk(&self, envelope: &Envelope, body: BodyId, index: u64) -> Result<Chunk, ReadError> {
        let file = File::open(self.path(&envelope.id, body))?;
        let mut name = [0; NAME_LEN as usize];
        file.read_exact_at(&mut name, name_offset(index))?;
        let mut bytes = vec![0; envelope.chunk_len(index) as usize];
        file.read_exact_at(&mut bytes, chunk_offset(index))?;
        Chunk::checked(ChunkName::from_bytes(name), bytes.into()).ok_or_else(|| ReadError::damaged(index))
    }

    /// Two chunks in a row.
    fn read_pair(&self, envelope: &Envelope, body: BodyId, first: u64) -> Result<Vec<Chunk>, ReadError> {
        let file = File::open(self.path(&envelope.id, body))?;
        let indexes = [first, first + 1];
        let mut names = [[0; NAME_LEN as usize]; 2];
        for (name, index) in names.iter_mut().zip(indexes) {
            file.read_exact_at(name, name_offset(index))?;
        }
        let read = |index| {
            let mut bytes = vec![0; envelope.chunk_len(index) as usize];
            file.read_exact_at(&mut bytes, chunk_offset(index))?;
            Ok::<_, ReadError>(bytes.into())
        };
        let bytes = [read(first)?, read(first + 1)?];
        let chunks = Chunk::both_checked(names.map(ChunkName::from_bytes), bytes);
        let checked = chunks.into_iter().zip(indexes);
        checked
            .map(|(chunk, index)| chunk.ok_or_else(|| ReadError::damaged(index)))
            .collect()
    }

    /// Two chunks in a row, for whoever reads all.
    pub(crate) async fn pair(
        &self,
        envelope: &SignedEnvelope,
        body: BodyId,
        first: u64,
    ) -> Result<Vec<Chunk>, ReadError> {
        let (files, envelope) = (self.clone(), envelope.clone());
        blocking(move || Ok(files.read_pair(&envelope, body, first))).await?
    }

    /// Has the operating system drop what it keeps in memory of a chunk, so
    /// that it is read from the disk. What is not written out yet stays.
    fn forget_cached(&self, envelope: &Envelope, body: BodyId, index: u64) -> Result<(), ReadError> {
        let Some(len) = NonZeroU64::new(envelope.chunk_len(index)) else {
            return Ok(());
        };
        let file = File::open(self.path(&envelope.id, body))?;
        forget_cached(&file, chunk_offset(index), len)?;
        Ok(())
    }

    fn read_names(
        &self,
        envelope: &Envelope,
        body: BodyId,
        indexes: Range<u64>,
    ) -> Result<Vec<ChunkName>, ReadError> {
        let file = File::open(self.path(&envelope.id, body))?;
        let mut names = Vec::new();
        for run in name_runs(indexes) {
            let mut block = vec![0; ((run.end - run.start) * NAME_LEN) as usize];
            file.read_exact_at(&mut block, name_offset(run.start))?;
            names.extend(names_in(&block));
        }
        Ok(names)
    }

    /// The envelope that a file was stored with, its signature checked; `None`
    /// where the file is not whole or belongs to another object.
    pub(crate) fn stored_envelope(&self, id: &ObjectId, body: BodyId) -> io::Result<Option<SignedEnvelope>> {
        let file = File::open(self.path(id, body))?;
        let len = file.metadata()?.len();
        let Some(fixed_at) = len.checked_sub(TRAILER_LEN) else {
            return Ok(None);
        };
        let mut fixed = [0; TRAILER_LEN as usize];
        file.read_exact_at(&mut fixed, fixed_at)?;
        let Some(envelope_len) = envelope_len(fixed, fixed_at) else {
            return Ok(None);
        };
        let mut bytes = vec![0; envelope_len as usize];
        file.read_exact_at(&mut bytes, fixed_at - envelope_len)?;
        let envelope = stored_envelope(bytes.into(), fixed_at - envelope_len);
        Ok(envelope.filter(|envelope| envelope.id == *id))
    }
}

/// A body that is being written to a file, which is moved here in the end.
struct FileReceiver {
    files: Files,
    body: BodyId,
}

#[async_trait]
impl Receiver for FileReceiver {
    async fn advance(&mut self, _: &Arc<File>, _: u64) -> Result<(), StoreError> {
        Ok(())
    }

    async fn complete(
        self: Box<Self>,
        written: Written,
        envelope: &SignedEnvelope,
    ) -> Result<Box<dyn Placed>, StoreError> {
        let path = self.files.path(&envelope.id, self.body);
        blocking(move || {
            let Written {
                file,
                mut unfinished,
                len,
            } = written;
            let publish = || {
                file.set_len(len)?;
                file.sync_data()?;
                unfinished.move_to(path)?;
                self.files.sync()
            };
            publish().map_err(StoreError::from_io)?;
            Ok(Box::new(unfinished) as Box<dyn Placed>)
        })
        .await
    }
}

#[async_trait]
impl Bodies for Files {
    fn place_of(&self, body: BodyId) -> Body {
        Body::File(body)
    }

    fn receiver(&self, body: BodyId, _: &Arc<Committer>) -> Box<dyn Receiver> {
        Box::new(FileReceiver {
            files: self.clone(),
            body,
        })
    }

    async fn chunk(
        &self,
        envelope: &SignedEnvelope,
        body: BodyId,
        index: u64,
        reading: Reading,
    ) -> Result<Chunk, ReadError> {
        let (files, envelope) = (self.clone(), envelope.clone());
        let read = move || {
            if reading == Reading::FromMedium {
                files.forget_cached(&envelope, body, index)?;
            }
            files.read_chunk(&envelope, body, index)
        };
        blocking(move || Ok(read())).await?
    }

    async fn names(
        &self,
        envelope: &SignedEnvelope,
        body: BodyId,
        indexes: Range<u64>,
    ) -> Result<Vec<ChunkName>, ReadError> {
        let (files, envelope) = (self.clone(), envelope.clone());
        blocking(move || Ok(files.read_names(&envelope, body, indexes))).await?
    }

    async fn remove(&self, id: &ObjectId, body: BodyId) -> Result<(), StoreError> {
        let (files, id) = (self.clone(), *id);
        blocking(move || files.delete(&id, body).map_err(StoreError::from_io)).await
    }

    async fn probe(&self) -> Result<(), StoreError> {
        let files = self.clone();
        blocking(move || files.write_probe().map_err(StoreError::from_io)).await
    }
}

#[cfg(target_os = "linux")]
fn forget_cached(file: &File, offset: u64, len: NonZeroU64) -> io::Result<()> {
    use rustix::fs::{Advice, fadvise};

    Ok(fadvise(file, offset, Some(len), Advice::DontNeed)?)
}

/// Other systems have no such advice.
#[cfg(not(target_os = "linux"))]
fn forget_cached(_: &File, _: u64, _: NonZeroU64) -> io::Result<()> {
    Ok(())
}

pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

fn hex_body(body: BodyId) -> String {
    format!("{:032x}", u128::from_be_bytes(body.to_bytes()))
}

fn parse_name(name: &str) -> Option<(ObjectId, BodyId)> {
    let mut parts = name.split('-');
    let locator: Locator = parts.next()?.parse().ok()?;
    let owner = parts.next().filter(|owner| owner.len() == 40)?;
    let body = parts.next().filter(|body| body.len() == 32)?;
    let id = ObjectId {
        locator,
        owner: owner.parse::<Address>().ok()?,
    };
    let body = BodyId::from_bytes(u128::from_str_radix(body, 16).ok()?.to_be_bytes());
    parts.next().is_none().then_some((id, body))
}

#[cfg(test)]
mod tests {
    use dm_testing::objects::SampleObject;
    use proptest::prelude::*;

    use super::*;
    use crate::objects::layout::MAGIC;

    #[test]
    fn a_file_name_leads_back_to_its_object() {
        let folder = tempfile::tempdir().unwrap();
        let files = Files::open(folder.path()).unwrap();
        let id = SampleObject::new(1, 1, 1).id();
        let body = BodyId {
            epoch: 5,
            number: u64::MAX,
        };
        File::create(files.path(&id, body)).unwrap();
        File::create(folder.path().join("files/README")).unwrap();
        let listed: Vec<_> = files.list().unwrap().map(Result::unwrap).collect();
        assert_eq!(listed, [(id, body)]);
        files.delete(&id, body).unwrap();
        files.delete(&id, body).unwrap();
        assert_eq!(files.list().unwrap().count(), 0);
    }

    #[test]
    fn half_written_files_are_removed_at_opening() {
        let folder = tempfile::tempdir().unwrap();
        let files = Files::open(folder.path()).unwrap();
        let path = files.incoming_path(BodyId { epoch: 1, number: 1 });
        fs::write(&path, b"half").unwrap();
        Files::open(folder.path()).unwrap();
        assert!(!path.exists());
    }

    proptest! {
        #[test]
        fn odd_names_are_passed_over(name in "[0-9a-fg-]{0,140}") {
            prop_assert!(parse_name(&name).is_none());
        }

        #[test]
        fn a_file_of_random_bytes_has_no_envelope(bytes in proptest::collection::vec(any::<u8>(), 0..200), end: bool) {
            let folder = tempfile::tempdir().unwrap();
            let files = Files::open(folder.path()).unwrap();
            let id = SampleObject::new(1, 1, 1).id();
            let body = BodyId { epoch: 1, number: 1 };
            let ending = if end { &MAGIC[..] } else { &[] };
            fs::write(files.path(&id, body), [&bytes, ending].concat()).unwrap();
            prop_assert!(files.stored_envelope(&id, body).unwrap().is_none());
        }
    }
}
