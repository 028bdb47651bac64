use std::io::{self, Read};

use dm_core::envelope::{Chunk, ObjectId, SignedEnvelope};

use crate::{BackupFlaw, Contents, SignedManifest, read_backup};

/// What a backup holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct BackupSummary {
    /// Objects.
    pub objects: u64,
    /// Objects that could not be read when the backup was made.
    pub missing: u64,
    /// Bytes of the catalog.
    pub catalog_bytes: u64,
    /// Files that hold secrets.
    pub key_files: u64,
}

/// Reads a whole backup and checks that it is as its node made it.
///
/// # Errors
/// [`BackupFlaw`].
pub fn verify_backup(reader: impl Read) -> Result<(SignedManifest, BackupSummary), BackupFlaw> {
    let mut summary = BackupSummary::default();
    let manifest = read_backup(reader, &mut summary)?;
    if summary.catalog_bytes == 0 || summary.key_files == 0 {
        return Err(BackupFlaw::Foreign("it has no catalog or no keys".to_owned()));
    }
    Ok((manifest, summary))
}

impl Contents for BackupSummary {
    fn key_file(&mut self, _name: &str, _content: &mut dyn Read) -> io::Result<()> {
        self.key_files += 1;
        Ok(())
    }

    fn catalog(&mut self, content: &mut dyn Read) -> io::Result<()> {
        self.catalog_bytes = io::copy(content, &mut io::sink())?;
        Ok(())
    }

    fn namespaces(&mut self, content: &mut dyn Read) -> io::Result<()> {
        io::copy(content, &mut io::sink()).map(|_| ())
    }

    fn chunk(&mut self, _index: u64, _chunk: Chunk) -> io::Result<()> {
        Ok(())
    }

    fn object(&mut self, _envelope: &SignedEnvelope) -> io::Result<()> {
        self.objects += 1;
        Ok(())
    }

    fn missing(&mut self, _id: &ObjectId) -> io::Result<()> {
        self.missing += 1;
        Ok(())
    }
}
