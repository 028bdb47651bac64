use async_trait::async_trait;
use bytes::Bytes;

use super::StoreError;

/// A small durable ordered map, for parts of the node that keep bytes of
/// their own: the embedded chain, plugins. Keys are at most 1 KiB.
#[async_trait]
pub trait KeyValueStore: Send + Sync {
    /// The value of a key.
    async fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError>;

    /// At most `limit` entries whose key begins with `prefix` and is greater
    /// than `after`, in the order of the keys.
    async fn scan(
        &self,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<(Bytes, Bytes)>, StoreError>;

    /// Applies all changes or none; once it returns they survive the loss of power.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] where an entry is not what the batch expects: of several
    /// batches that expect the same and change it, one is applied.
    async fn commit(&self, batch: WriteBatch) -> Result<(), StoreError>;
}

/// Changes that belong together. The last one to a key wins.
#[derive(Debug, Clone, Default)]
pub struct WriteBatch {
    /// Keys with their new values; `None` deletes.
    pub changes: Vec<(Bytes, Option<Bytes>)>,
    /// Keys with the values that they must have before the changes; `None` for no entry.
    pub expected: Vec<(Bytes, Option<Bytes>)>,
}

impl WriteBatch {
    /// No change.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets a key.
    pub fn put(&mut self, key: impl Into<Bytes>, value: impl Into<Bytes>) -> &mut Self {
        self.changes.push((key.into(), Some(value.into())));
        self
    }

    /// Deletes a key.
    pub fn delete(&mut self, key: impl Into<Bytes>) -> &mut Self {
        self.changes.push((key.into(), None));
        self
    }

    /// Makes the changes depend on what a key has before them: a value, or no entry.
    pub fn expect(&mut self, key: impl Into<Bytes>, value: Option<Bytes>) -> &mut Self {
        self.expected.push((key.into(), value));
        self
    }
}
