//! The chunks of small objects in the engine: one entry each, its key the body
//! id and the index, its value the name and the bytes.

use bytes::Bytes;
use dm_core::{envelope::Chunk, hash::ChunkName, ports::StoreError};

use super::record::BodyId;
use crate::{
    commits::transaction::Transaction,
    engine::{Engine, Table},
};

const NAME_LEN: usize = 32;

fn key(body: BodyId, index: u64) -> [u8; 24] {
    let mut key = [0; 24];
    key[..16].copy_from_slice(&body.to_bytes());
    key[16..].copy_from_slice(&index.to_be_bytes());
    key
}

/// Puts the chunks of a new body.
pub(crate) fn put_all(transaction: &mut Transaction<'_>, body: BodyId, chunks: &[Chunk]) {
    for (index, chunk) in (0..).zip(chunks) {
        let mut value = Vec::with_capacity(NAME_LEN + chunk.bytes().len());
        value.extend_from_slice(chunk.name().as_bytes());
        value.extend_from_slice(chunk.bytes());
        transaction.put(Table::Chunks, key(body, index).to_vec(), value);
    }
}

/// Deletes the first `count` chunks of a body.
pub(crate) fn delete_all(transaction: &mut Transaction<'_>, body: BodyId, count: u64) {
    for key in keys(body, count) {
        transaction.delete(Table::Chunks, key);
    }
}

/// The keys of the first `count` chunks of a body.
pub(crate) fn keys(body: BodyId, count: u64) -> impl Iterator<Item = Bytes> {
    (0..count).map(move |index| Bytes::copy_from_slice(&key(body, index)))
}

/// A chunk, checked against its name; `None` where the engine has none.
pub(crate) fn get(engine: &dyn Engine, body: BodyId, index: u64) -> Result<Option<Chunk>, StoreError> {
    let Some((name, bytes)) = get_parts(engine, body, index)? else {
        return Ok(None);
    };
    // Copied where it is small, so that a cached chunk does not keep a whole block of the engine in memory.
    let bytes = match bytes.len() as u64 {
        ..=crate::objects::cache::MAX_CACHED_CHUNK => Bytes::copy_from_slice(&bytes),
        _ => bytes,
    };
    match Chunk::checked(name, bytes) {
        Some(chunk) => Ok(Some(chunk)),
        None => Err(StoreError::Corrupt(format!("chunk {index} of an object"))),
    }
}

/// The name of a chunk; `None` where the engine has none.
pub(crate) fn name(engine: &dyn Engine, body: BodyId, index: u64) -> Result<Option<ChunkName>, StoreError> {
    Ok(get_parts(engine, body, index)?.map(|(name, _)| name))
}

fn get_parts(
    engine: &dyn Engine,
    body: BodyId,
    index: u64,
) -> Result<Option<(ChunkName, Bytes)>, StoreError> {
    let Some(value) = engine.get(Table::Chunks, &key(body, index))? else {
        return Ok(None);
    };
    match value.first_chunk::<NAME_LEN>() {
        Some(name) => Ok(Some((ChunkName::from_bytes(*name), value.slice(NAME_LEN..)))),
        None => Err(StoreError::Corrupt(format!(
            "chunk {index} of an object is cut short"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use dm_core::{config::StorageConfig, ports::ObjectStore};
    use dm_testing::objects::SampleObject;

    use super::*;
    use crate::{
        Storage,
        engine::Change,
        objects::{LocalObjects, record::Body},
    };

    #[tokio::test]
    async fn what_stands_on_the_medium_counts_and_not_what_is_kept_in_memory() {
        let folder = tempfile::tempdir().unwrap();
        let storage = Storage::open(folder.path(), &StorageConfig::default()).unwrap();
        let LocalObjects(objects) = storage.local();
        let store = LocalObjects(objects.clone());
        let small = SampleObject::new(1, 1, 500);
        small.store_in(&store).await.unwrap();
        assert_eq!(store.chunk(&small.id(), 0).await.unwrap(), small.chunks[0]);
        let record =
            crate::objects::changes::stored(|key| objects.engine.get(Table::Records, key), &small.id());
        let Body::Inline(body) = record.unwrap().unwrap().body else {
            panic!("a small object is in the engine");
        };
        let key = Bytes::copy_from_slice(&key(body, 0));
        let mut value = objects.engine.get(Table::Chunks, &key).unwrap().unwrap().to_vec();
        value[NAME_LEN + 3] ^= 1;
        let change = Change {
            table: Table::Chunks,
            key,
            value: Some(value.into()),
        };
        objects.engine.commit(vec![change]).unwrap();
        assert_eq!(store.chunk(&small.id(), 0).await.unwrap(), small.chunks[0]);
        assert!(!store.is_damaged(&small.id()));
        let read = store.chunk_from_medium(&small.id(), 0).await;
        assert!(matches!(read, Err(StoreError::Corrupt(_))), "{read:?}");
        assert!(store.is_damaged(&small.id()));
    }
}
