//! Objects of others, as peers bring them: ciphertext, and an envelope with one reader.

use std::sync::Arc;

use bytes::Bytes;
use dm_core::{
    Address,
    clock::now_ms,
    envelope::{Chunk, ChunkListHasher, Envelope, Grant, ObjectId, SignedEnvelope, sealed_len},
    hash::DataHash,
    ports::{ObjectStore, Signer},
};
use dm_keys::LocalAccount;

use super::fill::OBJECT_BYTES;

/// Accounts that own the objects.
const OWNERS: usize = 16;
/// Over this time, in milliseconds, they have come one after the other.
const HISTORY: u64 = 2 * 365 * 24 * 3_600_000;

/// Makes objects of others; cheap to clone.
#[derive(Clone)]
pub(super) struct Foreign {
    objects: Arc<dyn ObjectStore>,
    owners: Arc<[LocalAccount]>,
}

impl Foreign {
    pub(super) fn new(objects: Arc<dyn ObjectStore>) -> Self {
        Self {
            objects,
            owners: (0..OWNERS).map(|_| LocalAccount::random()).collect(),
        }
    }

    /// Makes and stores one object. Nobody has its key.
    pub(super) async fn make(self, number: u64) -> anyhow::Result<()> {
        let owner = &self.owners[number as usize % OWNERS];
        let mut token = vec![0; sealed_len(OBJECT_BYTES) as usize];
        rand::fill(&mut token[..]);
        let chunk = Chunk::new(Bytes::from(token));
        let mut names = ChunkListHasher::default();
        names.push(&chunk.name());
        let created_at = now_ms() - rand::random_range(0..HISTORY);
        let envelope = Envelope {
            id: ObjectId {
                locator: DataHash::from_bytes(rand::random()).locator(),
                owner: owner.address(),
            },
            size: OBJECT_BYTES,
            chunk_list: names.finish(),
            sequence: created_at,
            created_at,
            grants: vec![Grant {
                recipient: Address::from(rand::random::<[u8; 20]>()),
                key_id: rand::random(),
                encapsulated_key: rand::random(),
                ciphertext: rand::random::<[u8; 48]>().to_vec(),
            }],
            attachments: Vec::new(),
            expires_at: None,
        };
        let envelope = SignedEnvelope::sign(envelope, owner)?;
        let mut writer = self.objects.create().await?;
        writer.append(chunk).await?;
        Ok(writer.finish(&envelope).await?)
    }
}
