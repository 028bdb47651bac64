//! Makes the keys of two nodes, seals data, grants it to the second node, and opens it there.
//! The code is that of the README.

use dm_core::{
    address_record::AddressRecord,
    clock::now_ms,
    envelope::{ChunkListHasher, Envelope, ObjectId, SignedEnvelope},
    hash::DataHash,
    secret::{ContentKey, SecretString},
    signed::Signed,
};
use dm_keys::NodeKeys;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let dir = tempfile::tempdir()?;
    let password = SecretString::new("correct horse battery staple");
    let owner = NodeKeys::create(&dir.path().join("owner"), Some(&password), None)?;
    let reader = NodeKeys::create(&dir.path().join("reader"), Some(&password), None)?;

    // The owner seals its data under a content key of the object's own, and keeps that wrapped.
    let data = b"hello";
    let content_key = ContentKey::random();
    let chunk = owner.sealer().seal(&content_key, data);
    let wrapped = owner.key_ring().wrap(&content_key);

    // A grant wraps the content key for the reader, whose public key is in its address record.
    let id = ObjectId {
        locator: DataHash::of(data).locator(),
        owner: owner.signer().address(),
    };
    let (account, public_key) = (reader.signer().address(), reader.grants().public_key());
    let record = AddressRecord::new(account, public_key, "peer id".to_owned(), 1);
    let grant = owner.grants().grant(&content_key, &id, &record)?;

    // The owner signs which chunks make up the object, and who may read it.
    let mut names = ChunkListHasher::default();
    names.push(&chunk.name());
    let envelope = Envelope {
        id,
        size: data.len() as u64,
        chunk_list: names.finish(),
        sequence: 1,
        created_at: now_ms(),
        grants: vec![grant],
        attachments: Vec::new(),
        expires_at: None,
    };
    let envelope: SignedEnvelope = Signed::sign(envelope, &*owner.signer())?;

    // The reader opens its grant, and with it the data.
    let granted = reader
        .grants()
        .open_grant(&envelope)?
        .ok_or("no grant for the reader")?;
    assert_eq!(reader.sealer().open(&granted, chunk.bytes())?, data);

    // After a restart the owner unwraps the content key.
    let owner = NodeKeys::open(&dir.path().join("owner"), Some(&password), None)?;
    let content_key = owner.key_ring().unwrap(&wrapped)?;
    assert_eq!(owner.sealer().open(&content_key, chunk.bytes())?, data);
    Ok(())
}
