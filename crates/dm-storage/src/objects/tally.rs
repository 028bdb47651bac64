use dm_core::{
    envelope::{Chunk, ChunkListHasher, Envelope, MAX_CHUNK_BYTES},
    ports::StoreError,
};

/// What a writer has taken so far, to be compared with the envelope.
#[derive(Default, Clone)]
pub(crate) struct Tally {
    count: u64,
    bytes: u64,
    last_len: u64,
    names: ChunkListHasher,
}

impl Tally {
    /// Counts the next chunk.
    ///
    /// # Errors
    /// [`StoreError::Mismatch`] where no object can have it at this place.
    pub(crate) fn push(&mut self, chunk: &Chunk) -> Result<(), StoreError> {
        let len = chunk.bytes().len() as u64;
        if len > MAX_CHUNK_BYTES as u64 {
            return Err(StoreError::Mismatch("a chunk is too long"));
        }
        if self.count > 0 && self.last_len != MAX_CHUNK_BYTES as u64 {
            return Err(StoreError::Mismatch("only the last chunk may be short"));
        }
        self.count += 1;
        self.bytes += len;
        self.last_len = len;
        self.names.push(&chunk.name());
        Ok(())
    }

    /// How many chunks there are so far.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// Bytes of all chunks so far.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Checks that the chunks are those of the envelope.
    ///
    /// # Errors
    /// [`StoreError::Mismatch`] says what differs.
    pub(crate) fn check(self, envelope: &Envelope) -> Result<(), StoreError> {
        if self.count != envelope.chunk_count() {
            return Err(StoreError::Mismatch("their number differs"));
        }
        if self.last_len != envelope.chunk_len(self.count.saturating_sub(1)) {
            return Err(StoreError::Mismatch("the length of the last one differs"));
        }
        if self.names.finish() != envelope.chunk_list {
            return Err(StoreError::Mismatch("their names differ"));
        }
        Ok(())
    }
}
