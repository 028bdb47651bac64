//! Objects, from one store to another.

use dm_core::{
    envelope::{ChunkListHasher, ObjectId, SignedEnvelope},
    ports::{ObjectStore, StoreError},
};
use futures::{StreamExt, TryStreamExt, stream};

use super::{MigrationError, Pass};

/// Objects that are listed at a time.
const PAGE: usize = 256;
/// Objects that are copied or read at the same time.
const AT_ONCE: usize = 8;

/// What was met.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ObjectTotals {
    /// Objects.
    pub objects: u64,
    /// Bytes of their chunks.
    pub bytes: u64,
}

/// Copies or compares all objects. To compare one is to read each of its chunks back from the
/// medium of the target; the owner has signed their names. `told` hears how far it is.
///
/// # Errors
/// [`MigrationError::Different`], [`MigrationError::Damaged`], and where a store fails.
pub async fn objects(
    source: &dyn ObjectStore,
    target: &dyn ObjectStore,
    pass: Pass,
    told: &(dyn Fn(ObjectTotals) + Send + Sync),
) -> Result<ObjectTotals, MigrationError> {
    let (mut after, mut totals) = (None, ObjectTotals::default());
    loop {
        let page = source.list(after.as_ref(), PAGE).await?;
        if pass == Pass::Compare {
            let found = target.list(after.as_ref(), PAGE).await?;
            let other = page.iter().zip(&found).find(|(wanted, found)| wanted != found);
            let other = other.map(|(wanted, _)| wanted);
            // The first of those that only one of them has.
            let longer = if page.len() > found.len() { &page } else { &found };
            if let Some(id) = other.or(longer.get(page.len().min(found.len()))) {
                return Err(different(id));
            }
        }
        let last = page.last().copied();
        let each = |id: ObjectId| async move {
            match pass {
                Pass::Copy => copy(source, target, &id).await,
                Pass::Compare => compare(source, target, &id).await,
            }
        };
        let mut done = stream::iter(page).map(each).buffer_unordered(AT_ONCE);
        while let Some(bytes) = done.try_next().await? {
            totals.objects += 1;
            totals.bytes += bytes;
            told(totals);
        }
        if last.is_none() {
            return Ok(totals);
        }
        after = last;
    }
}

/// Copies an object that the target does not have. How many bytes its chunks have.
async fn copy(
    source: &dyn ObjectStore,
    target: &dyn ObjectStore,
    id: &ObjectId,
) -> Result<u64, MigrationError> {
    let envelope = envelope(source, id).await?;
    if target.envelope(id).await?.as_ref() == Some(&envelope) {
        return Ok(envelope.sealed_size());
    }
    let mut writer = target.create().await?;
    for index in 0..envelope.chunk_count() {
        let chunk = source
            .chunk(id, index)
            .await
            .map_err(|error| damaged(error, id))?;
        writer.append(chunk).await?;
    }
    match writer.finish(&envelope).await {
        Ok(()) => Ok(envelope.sealed_size()),
        Err(StoreError::Stale { .. }) => Err(different(id)),
        Err(error) => Err(error.into()),
    }
}

/// Reads an object back. How many bytes its chunks have.
async fn compare(
    source: &dyn ObjectStore,
    target: &dyn ObjectStore,
    id: &ObjectId,
) -> Result<u64, MigrationError> {
    let envelope = envelope(source, id).await?;
    if target.envelope(id).await?.as_ref() != Some(&envelope) {
        return Err(different(id));
    }
    let mut names = ChunkListHasher::default();
    for index in 0..envelope.chunk_count() {
        names.push(&target.chunk_from_medium(id, index).await?.name());
    }
    if names.finish() != envelope.chunk_list {
        return Err(different(id));
    }
    Ok(envelope.sealed_size())
}

async fn envelope(source: &dyn ObjectStore, id: &ObjectId) -> Result<SignedEnvelope, MigrationError> {
    let envelope = source.envelope(id).await.map_err(|error| damaged(error, id))?;
    // Nobody removes it meanwhile.
    Ok(envelope.ok_or(StoreError::Missing)?)
}

/// The error of a read from the source.
fn damaged(error: StoreError, id: &ObjectId) -> MigrationError {
    match error {
        StoreError::Corrupt(reason) => MigrationError::Damaged { id: *id, reason },
        error => error.into(),
    }
}

fn different(id: &ObjectId) -> MigrationError {
    MigrationError::Different(format!("the object {} of {}", id.locator, id.owner))
}
