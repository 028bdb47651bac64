//! Seals plaintext into a stored, not yet visible object.

use bytes::Bytes;
use dm_core::{
    envelope::{CHUNK_SIZE, Chunk, ChunkListHasher},
    hash::DataHash,
    ports::ObjectWriter,
    secret::ContentKey,
};

use super::DataManager;
use crate::ServiceError;

/// Chunks that were handed to the store, and what the envelope says of them.
pub(super) struct Sealed {
    pub(super) data_hash: DataHash,
    pub(super) size: u64,
    pub(super) chunk_list: [u8; 32],
    pub(super) key: ContentKey,
    pub(super) writer: Box<dyn ObjectWriter>,
}

impl DataManager {
    /// Seals data that is in memory under a fresh content key.
    pub(super) async fn seal_bytes(&self, data_hash: DataHash, data: Bytes) -> Result<Sealed, ServiceError> {
        let key = ContentKey::random();
        let mut writer = self.inner.ports.objects.create().await?;
        let mut names = ChunkListHasher::default();
        let size = data.len() as u64;
        let mut rest = data;
        while !rest.is_empty() {
            let piece = rest.split_to(rest.len().min(CHUNK_SIZE as usize));
            let chunk = self.seal_chunk(&key, piece).await?;
            names.push(&chunk.name());
            writer.append(chunk).await?;
        }
        Ok(Sealed {
            data_hash,
            size,
            chunk_list: names.finish(),
            key,
            writer,
        })
    }

    /// Seals and names one chunk.
    pub(super) async fn seal_chunk(&self, key: &ContentKey, plaintext: Bytes) -> Result<Chunk, ServiceError> {
        let sealer = self.inner.ports.sealer.clone();
        let key = key.clone();
        self.inner
            .cpu
            .run_on(plaintext.len(), move || sealer.seal(&key, &plaintext))
            .await
    }
}
