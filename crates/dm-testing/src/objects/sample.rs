use bytes::Bytes;
use dm_core::{
    envelope::{CHUNK_SIZE, Chunk, ChunkListHasher, Envelope, ObjectId, SignedEnvelope, sealed_len},
    hash::DataHash,
    ports::{ObjectStore, StoreError},
    signed::Signed,
};

use crate::signer::TestSigner;

/// An object for tests: chunks of the right lengths with bytes that follow
/// from a seed, and an envelope over them. The chunks are no Fernet tokens.
#[derive(Debug, Clone)]
pub struct SampleObject {
    /// Describes the chunks, sequence number 1.
    pub envelope: SignedEnvelope,
    /// In their order.
    pub chunks: Vec<Chunk>,
}

impl SampleObject {
    /// An object of `size` bytes (at least 1) that account number `owner` signed.
    /// The seed determines the locator.
    pub fn new(owner: u8, seed: u64, size: u64) -> Self {
        let chunks: Vec<Chunk> = (0..size.div_ceil(CHUNK_SIZE))
            .map(|index| Self::chunk(seed, index, (size - index * CHUNK_SIZE).min(CHUNK_SIZE)))
            .collect();
        let envelope = Self::sign(owner, seed, size, &chunks, 1);
        Self { envelope, chunks }
    }

    /// One chunk over `plaintext` bytes, other bytes for every seed and index.
    pub fn chunk(seed: u64, index: u64, plaintext: u64) -> Chunk {
        let len = sealed_len(plaintext) as usize;
        let mut state = ((seed << 24) ^ index).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut bytes = Vec::with_capacity(len + 8);
        while bytes.len() < len {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            bytes.extend_from_slice(&state.to_le_bytes());
        }
        bytes.truncate(len);
        Chunk::new(Bytes::from(bytes))
    }

    /// A signed envelope over these chunks.
    pub fn sign(owner: u8, seed: u64, size: u64, chunks: &[Chunk], sequence: u64) -> SignedEnvelope {
        let mut names = ChunkListHasher::default();
        chunks.iter().for_each(|chunk| names.push(&chunk.name()));
        Self::sign_list(owner, seed, size, names.finish(), sequence)
    }

    /// A signed envelope over chunks whose names have this digest.
    pub fn sign_list(owner: u8, seed: u64, size: u64, chunk_list: [u8; 32], sequence: u64) -> SignedEnvelope {
        let signer = TestSigner::new(owner);
        let envelope = Envelope {
            id: ObjectId {
                locator: DataHash::of(&seed.to_le_bytes()).locator(),
                owner: dm_core::ports::Signer::address(&signer),
            },
            size,
            chunk_list,
            sequence,
            created_at: 1_700_000_000_000 + sequence,
            grants: Vec::new(),
            attachments: Vec::new(),
            expires_at: None,
        };
        Signed::sign(envelope, &signer).expect("the signer is the owner")
    }

    /// Which object it is.
    pub fn id(&self) -> ObjectId {
        self.envelope.id
    }

    /// The envelope again, with another sequence number; `owner` must be the
    /// account number that the object was made with.
    pub fn envelope_with_sequence(&self, owner: u8, sequence: u64) -> SignedEnvelope {
        let envelope = Envelope {
            sequence,
            ..self.envelope.statement().clone()
        };
        Signed::sign(envelope, &TestSigner::new(owner)).expect("the signer is the owner")
    }

    /// The envelope again, with a time at which the object ends; `owner` as above.
    pub fn envelope_that_ends(&self, owner: u8, expires_at: u64) -> SignedEnvelope {
        let envelope = Envelope {
            expires_at: Some(expires_at),
            ..self.envelope.statement().clone()
        };
        Signed::sign(envelope, &TestSigner::new(owner)).expect("the signer is the owner")
    }

    /// Writes the chunks under an envelope.
    ///
    /// # Errors
    /// Whatever the store says.
    pub async fn store_under(
        &self,
        store: &dyn ObjectStore,
        envelope: &SignedEnvelope,
    ) -> Result<(), StoreError> {
        let mut writer = store.create().await?;
        for chunk in &self.chunks {
            writer.append(chunk.clone()).await?;
        }
        writer.finish(envelope).await
    }

    /// Writes the object.
    ///
    /// # Errors
    /// Whatever the store says.
    pub async fn store_in(&self, store: &dyn ObjectStore) -> Result<(), StoreError> {
        self.store_under(store, &self.envelope).await
    }

    /// Whether the store has exactly this object.
    pub async fn is_in(&self, store: &dyn ObjectStore) -> bool {
        let envelope = store.envelope(&self.id()).await;
        if !matches!(envelope, Ok(Some(envelope)) if envelope == self.envelope) {
            return false;
        }
        for (index, expected) in (0..).zip(&self.chunks) {
            if !matches!(store.chunk(&self.id(), index).await, Ok(chunk) if chunk == *expected) {
                return false;
            }
        }
        true
    }
}
