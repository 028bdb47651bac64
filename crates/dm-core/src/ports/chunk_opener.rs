use std::sync::Arc;

use bytes::Bytes;

use super::{Sealer, Unsealable};
use crate::{envelope::Chunk, hash::ChunkName, secret::ContentKey};

/// A chunk that has its name, and what was sealed in it.
#[derive(Debug, Clone)]
pub struct OpenedChunk {
    /// The chunk.
    pub chunk: Chunk,
    /// Its plaintext, where the key is that of the chunk.
    pub plaintext: Result<Bytes, Unsealable>,
}

/// Opens the chunks of one object; cheap to clone.
#[derive(Clone)]
pub struct ChunkOpener {
    sealer: Arc<dyn Sealer>,
    key: ContentKey,
}

impl ChunkOpener {
    /// Opens what was sealed with this key.
    pub fn new(sealer: Arc<dyn Sealer>, key: ContentKey) -> Self {
        Self { sealer, key }
    }

    /// See [`Sealer::open_named`].
    pub fn open_named(&self, name: ChunkName, bytes: Bytes) -> Option<OpenedChunk> {
        self.sealer.open_named(&self.key, name, bytes)
    }

    /// Opens a chunk that was checked before.
    pub fn open(&self, chunk: Chunk) -> OpenedChunk {
        let plaintext = self.sealer.open(&self.key, chunk.bytes()).map(Bytes::from);
        OpenedChunk { chunk, plaintext }
    }
}
