use async_trait::async_trait;

use super::{ObjectStore, ObjectWriter, Resumed, StoreError, StoreUsage};
use crate::{
    envelope::{Chunk, ObjectId, SignedEnvelope},
    hash::{ChunkName, Locator},
};

/// An object store over another one. It is an [`ObjectStore`]: what a layer does not
/// define, the store below answers.
///
/// ```
/// use async_trait::async_trait;
/// use dm_core::{
///     envelope::ObjectId,
///     ports::{ObjectStore, ObjectStoreLayer, StoreError},
/// };
///
/// /// Keeps what is stored for good.
/// struct Archive(Box<dyn ObjectStore>);
///
/// #[async_trait]
/// impl ObjectStoreLayer for Archive {
///     fn inner(&self) -> &dyn ObjectStore {
///         &*self.0
///     }
///
///     async fn remove(&self, _: &ObjectId) -> Result<bool, StoreError> {
///         Err(StoreError::Unavailable("nothing is removed from an archive".to_owned()))
///     }
/// }
/// ```
#[async_trait]
pub trait ObjectStoreLayer: Send + Sync {
    /// The store below.
    fn inner(&self) -> &dyn ObjectStore;

    /// What the writers of the store below are wrapped in, those of a resumed object
    /// as well.
    fn wrap_writer(&self, writer: Box<dyn ObjectWriter>) -> Box<dyn ObjectWriter> {
        writer
    }

    /// [`ObjectStore::replace_envelope`].
    async fn replace_envelope(&self, envelope: &SignedEnvelope) -> Result<bool, StoreError> {
        self.inner().replace_envelope(envelope).await
    }

    /// [`ObjectStore::envelope`].
    async fn envelope(&self, id: &ObjectId) -> Result<Option<SignedEnvelope>, StoreError> {
        self.inner().envelope(id).await
    }

    /// [`ObjectStore::envelopes`].
    async fn envelopes(&self, locator: &Locator) -> Result<Vec<SignedEnvelope>, StoreError> {
        self.inner().envelopes(locator).await
    }

    /// [`ObjectStore::chunk_names`].
    async fn chunk_names(
        &self,
        id: &ObjectId,
        first: u64,
        count: usize,
    ) -> Result<Vec<ChunkName>, StoreError> {
        self.inner().chunk_names(id, first, count).await
    }

    /// [`ObjectStore::chunk`].
    async fn chunk(&self, id: &ObjectId, index: u64) -> Result<Chunk, StoreError> {
        self.inner().chunk(id, index).await
    }

    /// [`ObjectStore::chunks`]; one by one as [`ObjectStoreLayer::chunk`] reads them, unless the
    /// layer defines it.
    async fn chunks(&self, id: &ObjectId, first: u64, _count: u64) -> Result<Vec<Chunk>, StoreError> {
        Ok(vec![self.chunk(id, first).await?])
    }

    /// [`ObjectStore::chunk_from_medium`].
    async fn chunk_from_medium(&self, id: &ObjectId, index: u64) -> Result<Chunk, StoreError> {
        self.inner().chunk_from_medium(id, index).await
    }

    /// [`ObjectStore::is_damaged`].
    fn is_damaged(&self, id: &ObjectId) -> bool {
        self.inner().is_damaged(id)
    }

    /// [`ObjectStore::remove`].
    async fn remove(&self, id: &ObjectId) -> Result<bool, StoreError> {
        self.inner().remove(id).await
    }

    /// [`ObjectStore::list`].
    async fn list(&self, after: Option<&ObjectId>, limit: usize) -> Result<Vec<ObjectId>, StoreError> {
        self.inner().list(after, limit).await
    }

    /// [`ObjectStore::usage`].
    async fn usage(&self) -> Result<StoreUsage, StoreError> {
        self.inner().usage().await
    }
}

#[async_trait]
impl<Layer: ObjectStoreLayer> ObjectStore for Layer {
    async fn create(&self) -> Result<Box<dyn ObjectWriter>, StoreError> {
        Ok(self.wrap_writer(self.inner().create().await?))
    }

    async fn resume(&self, envelope: &SignedEnvelope) -> Result<Resumed, StoreError> {
        let Resumed { kept, writer } = self.inner().resume(envelope).await?;
        let writer = self.wrap_writer(writer);
        Ok(Resumed { kept, writer })
    }

    async fn replace_envelope(&self, envelope: &SignedEnvelope) -> Result<bool, StoreError> {
        ObjectStoreLayer::replace_envelope(self, envelope).await
    }

    async fn envelope(&self, id: &ObjectId) -> Result<Option<SignedEnvelope>, StoreError> {
        ObjectStoreLayer::envelope(self, id).await
    }

    async fn envelopes(&self, locator: &Locator) -> Result<Vec<SignedEnvelope>, StoreError> {
        ObjectStoreLayer::envelopes(self, locator).await
    }

    async fn chunk_names(
        &self,
        id: &ObjectId,
        first: u64,
        count: usize,
    ) -> Result<Vec<ChunkName>, StoreError> {
        ObjectStoreLayer::chunk_names(self, id, first, count).await
    }

    async fn chunk(&self, id: &ObjectId, index: u64) -> Result<Chunk, StoreError> {
        ObjectStoreLayer::chunk(self, id, index).await
    }

    async fn chunks(&self, id: &ObjectId, first: u64, count: u64) -> Result<Vec<Chunk>, StoreError> {
        ObjectStoreLayer::chunks(self, id, first, count).await
    }

    async fn chunk_from_medium(&self, id: &ObjectId, index: u64) -> Result<Chunk, StoreError> {
        ObjectStoreLayer::chunk_from_medium(self, id, index).await
    }

    fn is_damaged(&self, id: &ObjectId) -> bool {
        ObjectStoreLayer::is_damaged(self, id)
    }

    async fn remove(&self, id: &ObjectId) -> Result<bool, StoreError> {
        ObjectStoreLayer::remove(self, id).await
    }

    async fn list(&self, after: Option<&ObjectId>, limit: usize) -> Result<Vec<ObjectId>, StoreError> {
        ObjectStoreLayer::list(self, after, limit).await
    }

    async fn usage(&self) -> Result<StoreUsage, StoreError> {
        ObjectStoreLayer::usage(self).await
    }
}
