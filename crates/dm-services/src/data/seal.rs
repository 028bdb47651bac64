//! Seals plaintext into a stored, not yet visible object, and opens what is sealed.

use std::sync::Arc;

use alloy_primitives::Address;
use bytes::Bytes;
use dm_core::{
    envelope::{CHUNK_SIZE, Chunk, ChunkListHasher, Envelope, MAX_ATTACHMENT},
    hash::{DataHash, DataHasher},
    ports::{ChunkOpener, ObjectStore, ObjectWriter, Sealer, Unsealable},
    receipt::Receipt,
    secret::ContentKey,
};

use super::DataPorts;
use crate::{ServiceError, attachments, cpu::Cpu};

mod descriptors;
mod intake;
mod parts;
mod passing_hash;

pub(super) use {intake::Intake, parts::PartIntake, passing_hash::PassingHash};

/// Chunks that were handed to the store, and what the envelope says of them.
pub(super) struct Sealed {
    pub(super) data_hash: DataHash,
    pub(super) size: u64,
    pub(super) chunk_list: [u8; 32],
    pub(super) key: ContentKey,
    pub(super) writer: Box<dyn ObjectWriter>,
}

/// Encrypts and decrypts, on threads of its own where that is worth it.
pub(super) struct Sealing {
    objects: Arc<dyn ObjectStore>,
    sealer: Arc<dyn Sealer>,
    cpu: Cpu,
}

impl Sealing {
    pub(super) fn new(ports: &DataPorts) -> Self {
        Self {
            objects: ports.objects.clone(),
            sealer: ports.sealer.clone(),
            cpu: Cpu::new(),
        }
    }

    pub(super) async fn hash(&self, data: Bytes) -> Result<DataHash, ServiceError> {
        self.cpu.run_on(data.len(), move || DataHash::of(&data)).await
    }

    /// Adds pieces to a hash.
    pub(super) async fn hash_on(
        &self,
        mut hasher: DataHasher,
        pieces: Vec<Bytes>,
    ) -> Result<DataHasher, ServiceError> {
        let length = pieces.iter().map(Bytes::len).sum();
        let work = move || {
            for piece in &pieces {
                hasher.update(piece);
            }
            hasher
        };
        self.cpu.run_on(length, work).await
    }

    /// Opens chunks under this key, for whoever has a thread to do it on.
    pub(super) fn opener(&self, key: &ContentKey) -> ChunkOpener {
        ChunkOpener::new(self.sealer.clone(), key.clone())
    }

    /// Seals data that is in memory under a fresh content key.
    pub(super) async fn seal_bytes(&self, data_hash: DataHash, data: Bytes) -> Result<Sealed, ServiceError> {
        let key = ContentKey::random();
        let mut writer = self.objects.create().await?;
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
        let sealer = self.sealer.clone();
        let key = key.clone();
        self.cpu
            .run_on(plaintext.len(), move || sealer.seal(&key, &plaintext))
            .await
    }

    /// Decrypts a chunk.
    pub(super) async fn open_chunk(
        &self,
        key: &ContentKey,
        chunk: Chunk,
    ) -> Result<Result<Vec<u8>, Unsealable>, ServiceError> {
        let (sealer, key) = (self.sealer.clone(), key.clone());
        let length = chunk.bytes().len();
        self.cpu
            .run_on(length, move || sealer.open(&key, chunk.bytes()))
            .await
    }

    /// Seals a receipt so that it can travel with its object; `None` for one
    /// that is too large to travel.
    pub(super) fn seal_receipt(&self, data_hash: &DataHash, receipt: &Receipt) -> Option<Bytes> {
        let key = ContentKey::for_receipts(data_hash);
        let json = serde_json::to_vec(receipt).ok()?;
        let sealed = self.sealer.seal(&key, &json);
        let token = sealed.bytes();
        (token.len() <= MAX_ATTACHMENT).then(|| token.clone())
    }

    /// A receipt that travelled with an object; `None` where it is none.
    pub(super) fn open_receipt(&self, data_hash: &DataHash, sealed: &[u8]) -> Option<Receipt> {
        attachments::open_receipt(self.sealer.as_ref(), data_hash, sealed)
    }

    /// The newest fitting receipt in an envelope, of a share with `recipient` if one is named.
    pub(super) fn receipt_in(
        &self,
        envelope: &Envelope,
        data_hash: &DataHash,
        recipient: Option<Address>,
    ) -> Option<Receipt> {
        attachments::receipt_in(self.sealer.as_ref(), envelope, data_hash, recipient)
    }
}
