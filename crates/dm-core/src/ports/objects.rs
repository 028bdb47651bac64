use alloy_primitives::Address;
use async_trait::async_trait;
use futures::stream::BoxStream;

use crate::{
    envelope::{Chunk, ObjectId, SignedEnvelope},
    hash::{ChunkName, Locator},
};

/// Owners whose envelopes [`ObjectStore::envelopes`] returns: more than the
/// network lets in under one locator, and at 512 KiB for an envelope never
/// more than 32 MiB.
pub const MAX_OWNERS_LISTED: usize = 64;

/// Keeps objects: envelopes and their chunks, everything encrypted.
///
/// What a call has acknowledged survives the loss of power. Chunks are checked
/// against their names whenever they are read.
#[async_trait]
pub trait ObjectStore: Send + Sync {
    /// Begins a new object. Nothing is visible before [`ObjectWriter::finish`];
    /// a writer that is dropped leaves nothing behind.
    async fn create(&self) -> Result<Box<dyn ObjectWriter>, StoreError>;

    /// Begins a new object that takes long to come, or goes on with one: a
    /// writer from here that is dropped before its end leaves its chunks for
    /// the next one of the same object and chunk list, also after a restart.
    /// A small object, and one that another writer is at, begins anew.
    async fn resume(&self, envelope: &SignedEnvelope) -> Result<Resumed, StoreError>;

    /// Replaces the envelope of a stored object by a newer one over the same
    /// chunks. Returns whether it was stored: an envelope whose sequence
    /// number is not higher than the stored one's changes nothing.
    ///
    /// # Errors
    /// [`StoreError::Missing`] where the object is not stored, and
    /// [`StoreError::Mismatch`] where the chunks or the size differ.
    async fn replace_envelope(&self, envelope: &SignedEnvelope) -> Result<bool, StoreError>;

    /// The envelope of one object.
    async fn envelope(&self, id: &ObjectId) -> Result<Option<SignedEnvelope>, StoreError>;

    /// The envelopes under one locator in the order of their owners, those of
    /// the first [`MAX_OWNERS_LISTED`] owners. [`ObjectStore::envelope`] finds
    /// every object, however many share its locator.
    async fn envelopes(&self, locator: &Locator) -> Result<Vec<SignedEnvelope>, StoreError>;

    /// `count` chunk names from `first` on; fewer at the end.
    ///
    /// # Errors
    /// [`StoreError::Missing`] where the object is not stored.
    async fn chunk_names(
        &self,
        id: &ObjectId,
        first: u64,
        count: usize,
    ) -> Result<Vec<ChunkName>, StoreError>;

    /// The chunk at `index`.
    ///
    /// # Errors
    /// [`StoreError::Missing`] where there is none, and [`StoreError::Corrupt`]
    /// where its bytes do not have its name any more.
    async fn chunk(&self, id: &ObjectId, index: u64) -> Result<Chunk, StoreError>;

    /// Chunks from `first` on, for whoever reads all: at least one, at most `count`, and no more
    /// than the store reads at a time.
    ///
    /// # Errors
    /// Those of [`ObjectStore::chunk`], for any of them.
    async fn chunks(&self, id: &ObjectId, first: u64, count: u64) -> Result<Vec<Chunk>, StoreError> {
        debug_assert!(count > 0, "at least one is asked for");
        Ok(vec![self.chunk(id, first).await?])
    }

    /// The chunk at `index` as it stands on the medium now: nothing that was
    /// read or written before answers for it, as far as the store can help it.
    ///
    /// # Errors
    /// Those of [`ObjectStore::chunk`].
    async fn chunk_from_medium(&self, id: &ObjectId, index: u64) -> Result<Chunk, StoreError>;

    /// Whether something of the object could not be read, and it has not been
    /// stored anew since. Such an object is not to be claimed to be here.
    fn is_damaged(&self, id: &ObjectId) -> bool;

    /// Deletes an object; whether there was one.
    async fn remove(&self, id: &ObjectId) -> Result<bool, StoreError>;

    /// At most `limit` objects in the order of their ids, after `after`.
    async fn list(&self, after: Option<&ObjectId>, limit: usize) -> Result<Vec<ObjectId>, StoreError>;

    /// What is stored.
    async fn usage(&self) -> Result<StoreUsage, StoreError>;
}

/// An object that is being written, and what is here of it already.
pub struct Resumed {
    /// The first chunks of the object as an earlier writer left them, in their
    /// order and up to the first one that is not whole; each has been checked
    /// against its name. They are to be appended like all others.
    pub kept: BoxStream<'static, Chunk>,
    /// Takes all chunks, those that were kept first.
    pub writer: Box<dyn ObjectWriter>,
}

/// Takes the chunks of a new object in their order, with bounded memory.
#[async_trait]
pub trait ObjectWriter: Send {
    /// Takes the next chunk.
    async fn append(&mut self, chunk: Chunk) -> Result<(), StoreError>;

    /// Makes the object durable and visible. An object with the same id is
    /// replaced where this envelope's sequence number is higher.
    ///
    /// # Errors
    /// [`StoreError::Mismatch`] where the chunks are not those of the envelope,
    /// [`StoreError::Stale`] where a stored envelope is as new or newer. Then
    /// nothing changes.
    async fn finish(self: Box<Self>, envelope: &SignedEnvelope) -> Result<(), StoreError>;

    /// Like [`ObjectWriter::finish`], but also replaces an object with the same
    /// sequence number: for one whose stored chunks are damaged.
    ///
    /// # Errors
    /// Those of [`ObjectWriter::finish`]; [`StoreError::Stale`] only where a
    /// newer envelope is stored.
    async fn restore(self: Box<Self>, envelope: &SignedEnvelope) -> Result<(), StoreError>;

    /// Gives the object up and leaves nothing behind, also of a resumed one.
    fn discard(self: Box<Self>);
}

/// Bytes that an object takes besides its chunks and its envelope: the keys and
/// names of the records that describe it, and its share of the engine's own.
const FIXED_COST: u64 = 1024;

/// Bytes that an object takes of a quota. The envelope counts: its owner
/// decides how large it is, and up to 512 KiB may describe a single byte.
pub fn storage_cost(envelope: &SignedEnvelope) -> u64 {
    envelope
        .sealed_size()
        .saturating_add(envelope.bytes().len() as u64)
        .saturating_add(FIXED_COST)
}

/// Bytes that are kept for this node itself and for others, by
/// [`storage_cost`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Kept {
    /// Of the objects of this node's own account.
    pub own: u64,
    /// Of all others.
    pub foreign: u64,
}

/// How much may be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeptLimits {
    /// This node's own account.
    pub account: Address,
    /// Most bytes of its objects.
    pub own: u64,
    /// Most bytes of the objects of others.
    pub foreign: u64,
}

impl KeptLimits {
    /// No limits; everything counts as the object of somebody else.
    pub const NONE: Self = Self {
        account: Address::ZERO,
        own: u64::MAX,
        foreign: u64::MAX,
    };
}

/// Tells how much of its limits an object store has used. Usage changes in the
/// same transaction as what is stored, and a change that would exceed a limit
/// fails with [`StoreError::Full`].
pub trait StorageQuota: Send + Sync {
    /// What is kept, as of the last change.
    fn kept(&self) -> Kept;

    /// What may be kept.
    fn limits(&self) -> KeptLimits;
}

/// Totals of an object store.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StoreUsage {
    /// Number of objects.
    pub objects: u64,
    /// Bytes of their chunks.
    pub bytes: u64,
}

/// Why a store did not do what it should.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The object or chunk is not here.
    #[error("not stored here")]
    Missing,
    /// The chunks are not those that the envelope describes.
    #[error("the chunks do not match the envelope: {0}")]
    Mismatch(&'static str),
    /// A newer envelope is stored already.
    #[error("an envelope with sequence number {stored} is stored already")]
    Stale {
        /// Sequence number of the stored envelope.
        stored: u64,
    },
    /// An entry is not what the change was made for: another writer was first. Nothing was
    /// changed.
    #[error("another writer has changed the same entry")]
    Conflict,
    /// Disk full or quota reached; what was acknowledged stays readable.
    #[error("no space left to store data")]
    Full,
    /// Stored bytes were damaged.
    #[error("stored data is damaged: {0}")]
    Corrupt(String),
    /// The medium refuses. Nothing was changed; it may work again later.
    #[error("the object store cannot be used at the moment: {0}; try again later")]
    Unavailable(String),
    /// The medium failed while a change was made durable, and whether the change
    /// was made cannot be told yet. Whoever asks again learns it.
    #[error("whether the object store has the change is not known yet: {0}; ask again")]
    Unsettled(String),
    /// The medium failed.
    #[error("the store failed: {0}")]
    Failed(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl StoreError {
    /// An error of the medium, or [`StoreError::Full`] where that is what it says.
    pub fn from_io(error: std::io::Error) -> Self {
        use std::io::ErrorKind::{QuotaExceeded, StorageFull};
        match error.kind() {
            StorageFull | QuotaExceeded => Self::Full,
            _ => Self::Failed(Box::new(error)),
        }
    }
}
