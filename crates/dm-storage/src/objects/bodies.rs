//! What the object store asks of a place for complete bodies of large objects. There are two:
//! files beside the engine, and a bucket of an S3 store.

use std::{fs::File, io, io::ErrorKind, ops::Range, sync::Arc};

use async_trait::async_trait;
use dm_core::{
    envelope::{Chunk, ObjectId, SignedEnvelope},
    hash::ChunkName,
    ports::StoreError,
};

use super::{
    record::{Body, BodyId},
    unfinished_file::UnfinishedFile,
};
use crate::commits::committer::Committer;

/// Keeps complete bodies, each laid out as `layout` says.
#[async_trait]
pub(crate) trait Bodies: Send + Sync {
    /// What the record of an object says of a body that is kept here.
    fn place_of(&self, body: BodyId) -> Body;

    /// Takes over a body that is being written to a local file. What has to be known of it
    /// after a crash is committed.
    fn receiver(&self, body: BodyId, committer: &Arc<Committer>) -> Box<dyn Receiver>;

    /// The chunk at `index`, which the envelope must have, checked against its name.
    async fn chunk(
        &self,
        envelope: &SignedEnvelope,
        body: BodyId,
        index: u64,
        reading: Reading,
    ) -> Result<Chunk, ReadError>;

    /// The names of these chunks, all of which the envelope must have.
    async fn names(
        &self,
        envelope: &SignedEnvelope,
        body: BodyId,
        indexes: Range<u64>,
    ) -> Result<Vec<ChunkName>, ReadError>;

    /// Deletes a body; one that is gone already is no error.
    async fn remove(&self, id: &ObjectId, body: BodyId) -> Result<(), StoreError>;

    /// Tries whether a body could be written.
    async fn probe(&self) -> Result<(), StoreError>;
}

/// What may answer for a read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reading {
    /// Also what is in memory.
    Usual,
    /// The medium alone.
    FromMedium,
}

/// Takes one body over.
#[async_trait]
pub(crate) trait Receiver: Send + Sync {
    /// The first `chunks` chunks are in the file and stay as they are. Told only of a body
    /// that is written in one go.
    async fn advance(&mut self, file: &Arc<File>, chunks: u64) -> Result<(), StoreError>;

    /// Makes the body durable at its place.
    async fn complete(
        self: Box<Self>,
        written: Written,
        envelope: &SignedEnvelope,
    ) -> Result<Box<dyn Placed>, StoreError>;
}

/// A complete file, the trailer included.
pub(crate) struct Written {
    pub(crate) file: Arc<File>,
    pub(crate) unfinished: UnfinishedFile,
    /// Bytes of the body; what is behind them in the file is of an earlier writer.
    pub(crate) len: u64,
}

/// A body at its place. It is deleted again when this is dropped, unless it is kept.
pub(crate) trait Placed: Send {
    /// Leaves the body where it is.
    fn keep(self: Box<Self>);
}

/// Why a body was not read.
#[derive(Debug)]
pub(crate) enum ReadError {
    /// There is no such body.
    Gone,
    /// Anything else.
    Store(StoreError),
}

impl From<StoreError> for ReadError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<io::Error> for ReadError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            ErrorKind::NotFound => Self::Gone,
            ErrorKind::UnexpectedEof => Self::cut_short(),
            _ => Self::Store(StoreError::from_io(error)),
        }
    }
}

impl ReadError {
    pub(crate) fn cut_short() -> Self {
        Self::Store(StoreError::Corrupt("the body of an object is cut short".into()))
    }

    pub(crate) fn damaged(index: u64) -> Self {
        Self::Store(StoreError::Corrupt(format!("chunk {index} of an object")))
    }
}
