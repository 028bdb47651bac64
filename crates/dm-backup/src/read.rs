//! Reads a backup that comes from anywhere, and checks all of it.

use std::io::{self, Read};

use dm_core::{
    envelope::{Chunk, ChunkListHasher, Envelope, MAX_CHUNK_BYTES, ObjectId, SignedEnvelope},
    signed::{Signed, Statement},
};

use crate::{BackupManifest, SignedManifest, entry::ArchiveEntry, manifest::EntryHasher};

/// Largest file that holds secrets, in bytes.
const MAX_KEY_FILE: u64 = 4 << 20;

/// Why something is no whole backup.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BackupFlaw {
    /// It is no archive, or one of something else.
    #[error("this is no backup of a node: {0}")]
    Foreign(String),
    /// The end is missing.
    #[error("the backup is cut short")]
    CutShort,
    /// It is not what the node made.
    #[error("the backup was altered: {0}")]
    Altered(String),
    /// It could not be read, or what was read not be kept.
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// Takes what is in a backup. Nothing of it can be relied on before
/// [`read_backup`] has returned.
pub trait Contents {
    /// A file that holds secrets.
    ///
    /// # Errors
    /// Where it cannot be kept; so for all others.
    fn key_file(&mut self, name: &str, content: &mut dyn Read) -> io::Result<()>;

    /// The catalog.
    ///
    /// # Errors
    /// Where it cannot be kept.
    fn catalog(&mut self, content: &mut dyn Read) -> io::Result<()>;

    /// The key-value namespaces.
    ///
    /// # Errors
    /// Where they cannot be kept.
    fn namespaces(&mut self, content: &mut dyn Read) -> io::Result<()>;

    /// A chunk of an object. One with index 0 begins the object anew.
    ///
    /// # Errors
    /// Where it cannot be kept.
    fn chunk(&mut self, index: u64, chunk: Chunk) -> io::Result<()>;

    /// The chunks since the one with index 0 are all of this object.
    ///
    /// # Errors
    /// Where it cannot be kept.
    fn object(&mut self, envelope: &SignedEnvelope) -> io::Result<()>;

    /// An object could not be read when the backup was made, and is not in it; the
    /// chunks since the one with index 0 are what there was of it.
    ///
    /// # Errors
    /// Where what was kept of it cannot be dropped.
    fn missing(&mut self, id: &ObjectId) -> io::Result<()>;
}

/// Reads a backup from its first byte to its last and hands over what is in it.
/// Blocks; memory is bounded.
///
/// # Errors
/// [`BackupFlaw`], as soon as it shows.
pub fn read_backup(reader: impl Read, contents: &mut dyn Contents) -> Result<SignedManifest, BackupFlaw> {
    let mut archive = tar::Archive::new(reader);
    let mut reading = Reading::default();
    for entry in archive.entries().map_err(not_an_archive)? {
        let mut content = entry.map_err(not_an_archive)?;
        let name = String::from_utf8_lossy(&content.path_bytes()).into_owned();
        let size = content.size();
        let Some(entry) = ArchiveEntry::from_name(&name) else {
            return Err(BackupFlaw::Foreign(format!("nobody knows an entry {name:?}")));
        };
        if entry == ArchiveEntry::Manifest {
            let bytes = read_small(&mut content, size, BackupManifest::MAX_BYTES as u64)?;
            return reading.conclude(bytes);
        }
        reading.hasher.begin(&name, size);
        let mut content = Hashed {
            content,
            hasher: &mut reading.hasher,
        };
        hand_over(entry, &mut content, size, &mut reading.object, contents)?;
    }
    Err(BackupFlaw::CutShort)
}

/// Checks an entry that is not the manifest, and hands it over.
fn hand_over(
    entry: ArchiveEntry,
    content: &mut impl Read,
    size: u64,
    object: &mut ObjectCheck,
    contents: &mut dyn Contents,
) -> Result<(), BackupFlaw> {
    match entry {
        ArchiveEntry::KeyFile(name) => {
            let bytes = read_small(content, size, MAX_KEY_FILE)?;
            contents.key_file(&name, &mut bytes.as_slice())?;
        }
        ArchiveEntry::Catalog => contents.catalog(content)?,
        ArchiveEntry::Namespaces => contents.namespaces(content)?,
        ArchiveEntry::Chunk(id, index) => {
            let chunk = Chunk::new(read_small(content, size, MAX_CHUNK_BYTES as u64)?.into());
            object.take_chunk(id, index, &chunk)?;
            contents.chunk(index, chunk)?;
        }
        ArchiveEntry::Envelope(id) => {
            let bytes = read_small(content, size, Envelope::MAX_BYTES as u64)?;
            let envelope = std::mem::take(object).finish(id, bytes)?;
            contents.object(&envelope)?;
        }
        ArchiveEntry::Missing(id) => {
            *object = ObjectCheck::default();
            contents.missing(&id)?;
        }
        ArchiveEntry::Manifest => {
            return Err(BackupFlaw::Altered(
                "the manifest is not the last entry".to_owned(),
            ));
        }
    }
    Ok(())
}

#[derive(Default)]
struct Reading {
    hasher: EntryHasher,
    object: ObjectCheck,
}

impl Reading {
    /// All entries have passed: are they those of which the node speaks?
    fn conclude(self, manifest: Vec<u8>) -> Result<SignedManifest, BackupFlaw> {
        let manifest = SignedManifest::verify(manifest.into())
            .map_err(|error| BackupFlaw::Altered(format!("its manifest is {error}")))?;
        if self.hasher.finish() != (manifest.entries, manifest.digest) {
            return Err(BackupFlaw::Altered(
                "its contents are not those that its manifest speaks of".to_owned(),
            ));
        }
        Ok(manifest)
    }
}

/// The chunks of an object that have passed since its first one.
#[derive(Default)]
struct ObjectCheck {
    id: Option<ObjectId>,
    names: ChunkListHasher,
    chunks: u64,
}

impl ObjectCheck {
    fn take_chunk(&mut self, id: ObjectId, index: u64, chunk: &Chunk) -> Result<(), BackupFlaw> {
        if index == 0 {
            *self = Self {
                id: Some(id),
                ..Self::default()
            };
        }
        if self.id != Some(id) || self.chunks != index {
            return Err(BackupFlaw::Altered(
                "the chunks of an object are not in order".to_owned(),
            ));
        }
        self.names.push(&chunk.name());
        self.chunks += 1;
        Ok(())
    }

    fn finish(self, id: ObjectId, envelope: Vec<u8>) -> Result<SignedEnvelope, BackupFlaw> {
        let envelope = Signed::<Envelope>::verify(envelope.into())
            .map_err(|error| BackupFlaw::Altered(format!("an envelope is {error}")))?;
        // Chunks before an envelope without any are what is left of a copy that was given up.
        let has_its_chunks = envelope.is_tombstone()
            || (self.id == Some(id)
                && self.chunks == envelope.chunk_count()
                && self.names.finish() == envelope.chunk_list);
        if envelope.id != id || !has_its_chunks {
            return Err(BackupFlaw::Altered(
                "an object has other chunks than its owner says".to_owned(),
            ));
        }
        Ok(envelope)
    }
}

/// Hashes what is read. Content that is not read to its end is missed by the digest.
struct Hashed<'a, R> {
    content: R,
    hasher: &'a mut EntryHasher,
}

impl<R: Read> Read for Hashed<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.content.read(buffer)?;
        self.hasher.update(buffer.get(..length).unwrap_or_default());
        Ok(length)
    }
}

/// A content that has a small limit, all of it.
fn read_small(content: &mut impl Read, size: u64, limit: u64) -> Result<Vec<u8>, BackupFlaw> {
    if size > limit {
        return Err(BackupFlaw::Altered(format!(
            "an entry has {size} bytes, where {limit} are allowed"
        )));
    }
    let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or_default());
    content.take(limit).read_to_end(&mut bytes)?;
    if bytes.len() as u64 != size {
        return Err(BackupFlaw::CutShort);
    }
    Ok(bytes)
}

fn not_an_archive(error: io::Error) -> BackupFlaw {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => BackupFlaw::CutShort,
        io::ErrorKind::Other | io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput => {
            BackupFlaw::Foreign(error.to_string())
        }
        _ => BackupFlaw::Io(error),
    }
}
