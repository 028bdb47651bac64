//! Notes that plugins made on shares that are not in the log yet: a share that
//! is interrupted keeps them.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use alloy_primitives::Address;
use dm_core::{
    hash::DataHash,
    plugin::Notes,
    ports::{KeyValueStore, StoreError, WriteBatch},
};

const PREFIX: &str = "notes/";
/// Notes that can be left from before: far more than shares are accepted at once.
const MOST: usize = 100_000;

/// Durable notes, those of this process in memory as well.
pub(super) struct ShareNotes {
    store: Arc<dyn KeyValueStore>,
    notes: Mutex<BTreeMap<String, Notes>>,
    /// Whether other instances keep notes in the store, too.
    is_shared: AtomicBool,
}

impl ShareNotes {
    /// Reads what is left from before.
    pub(super) async fn open(store: Arc<dyn KeyValueStore>) -> Result<Self, StoreError> {
        let mut notes = BTreeMap::new();
        for (key, value) in store.scan(PREFIX.as_bytes(), None, MOST).await? {
            notes.insert(String::from_utf8_lossy(&key).into_owned(), read(&value)?);
        }
        Ok(Self {
            store,
            notes: Mutex::new(notes),
            is_shared: AtomicBool::new(false),
        })
    }

    /// Other instances keep notes here, too: what is not in memory is looked for in the store.
    pub(super) fn share(&self) {
        self.is_shared.store(true, Ordering::Relaxed);
    }

    fn is_shared(&self) -> bool {
        self.is_shared.load(Ordering::Relaxed)
    }

    /// Keeps the notes on a share, durable when this returns. That there are
    /// none costs nothing.
    pub(super) async fn keep(
        &self,
        data_hash: &DataHash,
        recipient: Address,
        notes: Notes,
    ) -> Result<(), StoreError> {
        let key = key(data_hash, recipient);
        if notes.is_empty() && !self.lock().contains_key(&key) {
            return Ok(());
        }
        let json = serde_json::to_vec(&notes).map_err(|error| StoreError::Failed(error.into()))?;
        let mut batch = WriteBatch::new();
        batch.put(key.clone().into_bytes(), json);
        self.store.commit(batch).await?;
        self.lock().insert(key, notes);
        Ok(())
    }

    /// The notes on a share.
    pub(super) async fn of(&self, data_hash: &DataHash, recipient: Address) -> Result<Notes, StoreError> {
        let key = key(data_hash, recipient);
        if let Some(notes) = self.lock().get(&key) {
            return Ok(notes.clone());
        }
        let kept = match self.is_shared() {
            true => self.store.get(key.as_bytes()).await?,
            false => None,
        };
        kept.map_or_else(|| Ok(Notes::new()), |notes| read(&notes))
    }

    /// The share is in the log, and its notes with it.
    pub(super) async fn forget(&self, data_hash: &DataHash, recipient: Address) -> Result<(), StoreError> {
        let key = key(data_hash, recipient);
        let is_known = self.lock().remove(&key).is_some();
        let is_kept = is_known || (self.is_shared() && self.store.get(key.as_bytes()).await?.is_some());
        if !is_kept {
            return Ok(());
        }
        let mut batch = WriteBatch::new();
        batch.delete(key.into_bytes());
        self.store.commit(batch).await
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Notes>> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn read(notes: &[u8]) -> Result<Notes, StoreError> {
    serde_json::from_slice(notes).map_err(|error| StoreError::Corrupt(format!("notes of a plugin: {error}")))
}

fn key(data_hash: &DataHash, recipient: Address) -> String {
    format!("{PREFIX}{data_hash}/{recipient}")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

    use dm_testing::key_value::MemoryKeyValueStore;

    use super::*;

    #[tokio::test]
    async fn notes_on_an_interrupted_share_are_there_after_a_restart_until_it_is_logged() {
        let store: Arc<dyn KeyValueStore> = Arc::new(MemoryKeyValueStore::new());
        let (hash, recipient) = (DataHash::of(b"data"), Address::repeat_byte(1));
        let made = Notes::from([("guard".to_owned(), "seen".to_owned())]);
        let notes = ShareNotes::open(store.clone()).await.unwrap();
        notes.keep(&hash, recipient, made.clone()).await.unwrap();
        let notes = ShareNotes::open(store.clone()).await.unwrap();
        assert_eq!(notes.of(&hash, recipient).await.unwrap(), made);
        assert!(notes.of(&hash, Address::repeat_byte(2)).await.unwrap().is_empty());
        notes.forget(&hash, recipient).await.unwrap();
        let notes = ShareNotes::open(store).await.unwrap();
        assert!(notes.of(&hash, recipient).await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn no_notes_are_not_written_and_replace_earlier_ones() {
        let store: Arc<dyn KeyValueStore> = Arc::new(MemoryKeyValueStore::new());
        let (hash, recipient) = (DataHash::of(b"data"), Address::repeat_byte(1));
        let notes = ShareNotes::open(store.clone()).await.unwrap();
        notes.keep(&hash, recipient, Notes::new()).await.unwrap();
        assert!(store.scan(b"", None, 10).await.unwrap().is_empty());
        let made = Notes::from([("guard".to_owned(), "seen".to_owned())]);
        notes.keep(&hash, recipient, made).await.unwrap();
        notes.keep(&hash, recipient, Notes::new()).await.unwrap();
        let notes = ShareNotes::open(store).await.unwrap();
        assert!(notes.of(&hash, recipient).await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn notes_that_another_instance_has_kept_are_found_and_forgotten() {
        let store: Arc<dyn KeyValueStore> = Arc::new(MemoryKeyValueStore::new());
        let (hash, recipient) = (DataHash::of(b"data"), Address::repeat_byte(1));
        let made = Notes::from([("guard".to_owned(), "seen".to_owned())]);
        let [first, second] = [
            ShareNotes::open(store.clone()).await.unwrap(),
            ShareNotes::open(store.clone()).await.unwrap(),
        ];
        second.share();
        first.keep(&hash, recipient, made.clone()).await.unwrap();
        assert_eq!(second.of(&hash, recipient).await.unwrap(), made);
        second.forget(&hash, recipient).await.unwrap();
        assert!(store.scan(b"", None, 10).await.unwrap().is_empty());
    }
}
