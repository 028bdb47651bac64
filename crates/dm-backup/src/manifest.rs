use dm_core::{
    Address,
    signed::{Signed, Statement},
};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// What the node that made a backup says of it: the last entry of the archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupManifest {
    /// The node's own account.
    pub node: Address,
    /// When the backup was begun, in milliseconds since the Unix epoch.
    pub created_at: u64,
    /// Entries before this one.
    pub entries: u64,
    /// SHA-256 over all entries before this one, in the form that the README describes.
    pub digest: [u8; 32],
}

/// A manifest that its node has signed.
pub type SignedManifest = Signed<BackupManifest>;

impl Statement for BackupManifest {
    const DOMAIN: &'static str = "datamgmt/backup/1";
    const MAX_BYTES: usize = 256;

    fn signer(&self) -> Address {
        self.node
    }

    fn check(&self) -> Result<(), &'static str> {
        Ok(())
    }
}

/// Hashes entries in their order: for each the length of its name, its name, and
/// the length of its content (eight bytes each, big-endian), then its content.
#[derive(Default)]
pub(crate) struct EntryHasher {
    hasher: Sha256,
    entries: u64,
}

impl EntryHasher {
    /// The next entry begins.
    pub(crate) fn begin(&mut self, name: &str, size: u64) {
        self.entries += 1;
        self.hasher.update((name.len() as u64).to_be_bytes());
        self.hasher.update(name);
        self.hasher.update(size.to_be_bytes());
    }

    /// A piece of the entry's content.
    pub(crate) fn update(&mut self, piece: &[u8]) {
        self.hasher.update(piece);
    }

    /// Number of entries and the digest of all.
    pub(crate) fn finish(self) -> (u64, [u8; 32]) {
        (self.entries, self.hasher.finalize().into())
    }
}
