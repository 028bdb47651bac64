//! The revision of a journal: random bytes that every change replaces, by which a writer
//! finds out that another one has been there.

use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use dm_core::ports::{KeyValueStore, StoreError, WriteBatch};
use tokio::sync::Mutex;

/// What one writer knows of the revision.
pub(super) struct Revision {
    key: Vec<u8>,
    known: Mutex<Known>,
    is_outdated: AtomicBool,
}

#[derive(Default)]
struct Known {
    /// What the store has had at the last reading or writing.
    kept: Option<Bytes>,
    /// What it may have since then: the answer to a change was an error.
    tried: Option<Bytes>,
}

impl Revision {
    /// The revision in the entry with this key.
    pub(super) fn kept_under(key: Vec<u8>) -> Self {
        Self {
            key,
            known: Mutex::default(),
            is_outdated: AtomicBool::new(false),
        }
    }

    /// Takes note of the revision that the store has.
    ///
    /// # Errors
    /// Faults of the store.
    pub(super) async fn read(&self, store: &dyn KeyValueStore) -> Result<(), StoreError> {
        let mut known = self.known.lock().await;
        known.kept = store.get(&self.key).await?;
        known.tried = None;
        Ok(())
    }

    /// Whether another writer was found to have been there.
    pub(super) fn is_outdated(&self) -> bool {
        self.is_outdated.load(Ordering::Relaxed)
    }

    /// Makes the changes as a new revision, where the store has the one that is known.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] where it has another one, and faults of the store.
    pub(super) async fn commit(
        &self,
        store: &dyn KeyValueStore,
        mut batch: WriteBatch,
    ) -> Result<(), StoreError> {
        let mut known = self.known.lock().await;
        if let Some(tried) = known.tried.clone() {
            let kept = store.get(&self.key).await?;
            if kept.as_ref() == Some(&tried) {
                known.kept = kept;
            }
            known.tried = None;
        }
        let next = Bytes::from(rand::random::<[u8; 16]>().to_vec());
        batch.expect(self.key.clone(), known.kept.clone());
        batch.put(self.key.clone(), next.clone());
        let made = store.commit(batch).await;
        match &made {
            Ok(()) => known.kept = Some(next),
            Err(StoreError::Conflict) => self.is_outdated.store(true, Ordering::Relaxed),
            Err(_) => known.tried = Some(next),
        }
        made
    }
}
