//! Opens a store in a folder, stores an object, and reads it. The code is that of the README.

use std::sync::Arc;

use bytes::Bytes;
use dm_core::{
    clock::now_ms,
    config::StorageConfig,
    envelope::{Chunk, ChunkListHasher, Envelope, ObjectId, SignedEnvelope, sealed_len},
    hash::DataHash,
    ports::{KeyValueStore, ObjectStore, Signer, WriteBatch},
    signed::Signed,
};
use dm_storage::Storage;
use dm_testing::signer::TestSigner;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let storage = Storage::open(folder.path(), &StorageConfig::default())?;

    // An object is an envelope and its chunks. A node seals the chunks with dm-keys, and
    // signs with its account; the store asks for the right length and a valid signature.
    let signer = TestSigner::new(1);
    let size = 5;
    let chunk = Chunk::new(Bytes::from(vec![7; sealed_len(size) as usize]));
    let mut names = ChunkListHasher::default();
    names.push(&chunk.name());
    let envelope = Envelope {
        id: ObjectId {
            locator: DataHash::of(b"hello").locator(),
            owner: signer.address(),
        },
        size,
        chunk_list: names.finish(),
        sequence: 1,
        created_at: now_ms(),
        grants: Vec::new(),
        attachments: Vec::new(),
        expires_at: None,
    };
    let envelope: SignedEnvelope = Signed::sign(envelope, &signer)?;

    // Stored chunk by chunk; on the disk when `finish` returns.
    let objects: Arc<dyn ObjectStore> = storage.objects();
    let mut writer = objects.create().await?;
    writer.append(chunk.clone()).await?;
    writer.finish(&envelope).await?;
    assert_eq!(objects.envelope(&envelope.id).await?, Some(envelope.clone()));
    assert_eq!(objects.chunk(&envelope.id, 0).await?, chunk);

    // Whatever else has to last goes to a namespace.
    let notes: Arc<dyn KeyValueStore> = storage.namespace("notes");
    let mut batch = WriteBatch::new();
    batch.put("greeting", "hello");
    notes.commit(batch).await?;
    assert_eq!(notes.get(b"greeting").await?, Some(Bytes::from("hello")));

    storage.close().await?;
    Ok(())
}
