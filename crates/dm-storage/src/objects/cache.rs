//! Records and small chunks in memory.
//!
//! What is here is answered on the caller's async thread: no disk, no other
//! thread, a few microseconds. Everything else goes to a blocking thread,
//! because nobody can tell beforehand whether the engine has a value in memory.

use std::sync::Arc;

use dm_core::envelope::{Chunk, ObjectId};
use quick_cache::{Weighter, sync::Cache};

use super::record::{BodyId, Record};

/// Longest chunk that is kept; hashing it takes some 10 microseconds, which an
/// async thread can spare.
pub(crate) const MAX_CACHED_CHUNK: u64 = 16 * 1024;
/// Bytes of bookkeeping for each cached thing, roughly.
const OVERHEAD: u64 = 256;

/// Which chunk of which body.
type ChunkKey = (BodyId, u64);

pub(crate) type RecordCache = Cache<ObjectId, Arc<Record>, RecordWeight>;

/// What was read lately.
pub(crate) struct ReadCache {
    /// Records, which change: see [`crate::objects`] for how a reader that was
    /// overtaken by a writer is kept from putting an old one back.
    pub(crate) records: RecordCache,
    /// Chunks, which never change under their key.
    chunks: Cache<ChunkKey, Chunk, ChunkWeight>,
}

impl ReadCache {
    /// A cache of about this many bytes.
    pub(crate) fn with_bytes(bytes: u64) -> Self {
        let half = bytes / 2;
        let items = usize::try_from(half / (2 * OVERHEAD)).unwrap_or(usize::MAX);
        Self {
            records: Cache::with_weighter(items, half, RecordWeight),
            chunks: Cache::with_weighter(items, half, ChunkWeight),
        }
    }

    pub(crate) fn chunk(&self, body: BodyId, index: u64) -> Option<Chunk> {
        self.chunks.get(&(body, index))
    }

    /// Keeps a chunk, where it is small.
    pub(crate) fn keep_chunk(&self, body: BodyId, index: u64, chunk: &Chunk) {
        if chunk.bytes().len() as u64 <= MAX_CACHED_CHUNK {
            self.chunks.insert((body, index), chunk.clone());
        }
    }

    /// Forgets a record and the chunks of its body.
    pub(crate) fn forget_object(&self, id: &ObjectId, replaced: Option<&Record>) {
        self.records.remove(id);
        if let Some(record) = replaced
            && let crate::objects::record::Body::Inline(body) = record.body
        {
            for index in 0..record.envelope.chunk_count() {
                self.chunks.remove(&(body, index));
            }
        }
    }
}

#[derive(Clone)]
pub(crate) struct RecordWeight;

impl Weighter<ObjectId, Arc<Record>> for RecordWeight {
    fn weight(&self, _: &ObjectId, record: &Arc<Record>) -> u64 {
        // The envelope is there twice: as bytes and decoded.
        OVERHEAD + 2 * record.envelope.bytes().len() as u64
    }
}

#[derive(Clone)]
pub(crate) struct ChunkWeight;

impl Weighter<ChunkKey, Chunk> for ChunkWeight {
    fn weight(&self, _: &ChunkKey, chunk: &Chunk) -> u64 {
        OVERHEAD + chunk.bytes().len() as u64
    }
}
