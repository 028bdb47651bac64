//! Copies what a node keeps from its stores to others, and compares both.
//!
//! What a target has already stays, and is compared: a copy that was broken off is made again
//! and goes on where it was. Nobody else uses the stores meanwhile.

mod objects;
#[cfg(test)]
mod tests;

use bytes::Bytes;
use dm_core::{
    envelope::ObjectId,
    ports::{KeyValueStore, SecretFiles, SecretFilesError, StoreError, WriteBatch},
};

pub use self::objects::{ObjectTotals, objects};

/// Entries that are read, compared and written at a time.
const ENTRIES: usize = 256;

/// What is done with what a target lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pass {
    /// It is copied.
    Copy,
    /// It is a difference.
    Compare,
}

/// Why something was not copied, or is not the same.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MigrationError {
    /// The target has something else.
    #[error("{0} is not the same in both places")]
    Different(String),
    /// An object cannot be read at the source.
    #[error(
        "the object {} of {} is damaged: run the node until it has repaired the object, or erase it ({reason})",
        .id.locator,
        .id.owner
    )]
    Damaged {
        /// Which one.
        id: ObjectId,
        /// What is damaged of it.
        reason: String,
    },
    /// A store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The files of secrets failed.
    #[error(transparent)]
    Secrets(#[from] SecretFilesError),
}

/// Copies or compares a key-value store, which errors call by `name`. How many entries it has.
///
/// # Errors
/// [`MigrationError::Different`], and where a store fails.
pub async fn entries(
    name: &str,
    source: &dyn KeyValueStore,
    target: &dyn KeyValueStore,
    pass: Pass,
) -> Result<u64, MigrationError> {
    let (mut after, mut count): (Option<Bytes>, u64) = (None, 0);
    loop {
        let page = source.scan(b"", after.as_deref(), ENTRIES).await?;
        let found = target.scan(b"", after.as_deref(), ENTRIES).await?;
        if found != page {
            let missing = page.strip_prefix(found.as_slice()).filter(|_| pass == Pass::Copy);
            let missing =
                missing.ok_or_else(|| MigrationError::Different(format!("the namespace {name}")))?;
            let mut batch = WriteBatch::new();
            for (key, value) in missing {
                batch.put(key.clone(), value.clone());
            }
            target.commit(batch).await?;
        }
        let Some((last, _)) = page.last() else {
            return Ok(count);
        };
        count += page.len() as u64;
        after = Some(last.clone());
    }
}

/// Copies or compares a file of secrets. Whether there is one. Blocks.
///
/// # Errors
/// [`MigrationError::Different`], and where the files fail.
pub fn secret_file(
    name: &str,
    source: &dyn SecretFiles,
    target: &dyn SecretFiles,
    pass: Pass,
) -> Result<bool, MigrationError> {
    let (content, found) = (source.load(name)?, target.load(name)?);
    match (&content, &found) {
        (content, found) if content == found => {}
        (Some(_), None) if pass == Pass::Copy => target.replace(name, None, content.as_deref())?,
        _ => return Err(MigrationError::Different(name.to_owned())),
    }
    Ok(content.is_some())
}
