//! The chunks of small objects in the engine: one entry each, its key the body
//! id and the index, its value the name and the bytes.

use bytes::Bytes;
use dm_core::{envelope::Chunk, hash::ChunkName, ports::StoreError};

use crate::{
    engine::{Engine, Table},
    record::BodyId,
    transaction::Transaction,
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
    for index in 0..count {
        transaction.delete(Table::Chunks, key(body, index).to_vec());
    }
}

/// A chunk, checked against its name; `None` where the engine has none.
pub(crate) fn get(engine: &dyn Engine, body: BodyId, index: u64) -> Result<Option<Chunk>, StoreError> {
    let Some((name, bytes)) = get_parts(engine, body, index)? else {
        return Ok(None);
    };
    // Copied where it is small, so that a cached chunk does not keep a whole block of the engine in memory.
    let bytes = match bytes.len() as u64 {
        ..=crate::cache::MAX_CACHED_CHUNK => Bytes::copy_from_slice(&bytes),
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
