//! Objects of a [`MemoryObjectStore`] that come in parts.

use std::sync::atomic::Ordering;

use async_trait::async_trait;
use dm_core::{
    envelope::{Chunk, SignedEnvelope},
    ports::{ObjectWriter, StoreError, UnfinishedObjects, UnfinishedWriter},
    upload::UploadId,
};

use super::{MemoryObjectStore, MemoryWriter, failed};

/// What was not synced is lost with it.
struct PartWriter {
    id: UploadId,
    writer: MemoryWriter,
    /// Chunks that were there at the last sync.
    synced: usize,
}

#[async_trait]
impl ObjectWriter for PartWriter {
    async fn append(&mut self, chunk: Chunk) -> Result<(), StoreError> {
        self.writer.append(chunk).await
    }

    async fn finish(self: Box<Self>, envelope: &SignedEnvelope) -> Result<(), StoreError> {
        Box::new(self.writer).finish(envelope).await
    }

    async fn restore(self: Box<Self>, envelope: &SignedEnvelope) -> Result<(), StoreError> {
        Box::new(self.writer).restore(envelope).await
    }

    fn discard(self: Box<Self>) {}
}

#[async_trait]
impl UnfinishedWriter for PartWriter {
    async fn sync(&mut self) -> Result<(), StoreError> {
        let store = self.writer.store.clone();
        store.write(None, |_| {
            if store.is_full.load(Ordering::Relaxed) {
                return Err(StoreError::Full);
            }
            let mut parts = store.parts.lock().unwrap();
            parts.insert(self.id, self.writer.chunks.clone());
            Ok(())
        })?;
        self.synced = self.writer.chunks.len();
        Ok(())
    }

    async fn rewind(&mut self) -> Result<(), StoreError> {
        self.writer.chunks.truncate(self.synced);
        Ok(())
    }
}

#[async_trait]
impl UnfinishedObjects for MemoryObjectStore {
    async fn go_on(&self, id: UploadId, _: u64) -> Result<Box<dyn UnfinishedWriter>, StoreError> {
        self.faults.read(failed)?;
        Ok(Box::new(PartWriter {
            id,
            writer: MemoryWriter {
                store: self.clone(),
                chunks: Vec::new(),
                resumes: None,
            },
            synced: 0,
        }))
    }

    async fn unfinished_chunk(&self, id: UploadId, index: u64) -> Result<Chunk, StoreError> {
        self.faults.read(failed)?;
        let parts = self.parts.lock().unwrap();
        let chunks = parts.get(&id).ok_or(StoreError::Missing)?;
        let index = usize::try_from(index).unwrap_or(usize::MAX);
        chunks.get(index).cloned().ok_or(StoreError::Missing)
    }

    async fn forget_unfinished(&self, id: UploadId) -> Result<(), StoreError> {
        self.write(None, |_| {
            self.parts.lock().unwrap().remove(&id);
            Ok(())
        })
    }

    async fn list_unfinished(&self) -> Result<Vec<UploadId>, StoreError> {
        self.faults.read(failed)?;
        Ok(self.parts.lock().unwrap().keys().copied().collect())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use dm_core::ports::{ObjectStore, UnfinishedObjects};

    use crate::objects::MemoryObjectStore;

    async fn open() -> (Arc<dyn ObjectStore>, Arc<dyn UnfinishedObjects>, ()) {
        let store = MemoryObjectStore::new();
        (Arc::new(store.clone()), Arc::new(store), ())
    }

    crate::unfinished_objects_conformance!(open);
}
