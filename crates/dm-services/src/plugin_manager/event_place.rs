//! How far a plugin is in the journal. It outlives the process.

use dm_core::{
    journal::JournalId,
    ports::{EventJournal, KeyValueStore, StoreError, WriteBatch},
};
use serde::{Deserialize, Serialize};

use crate::ServiceError;

/// Begins the keys under which the places stand.
const PREFIX: &str = "events/";
/// Times that a plugin may fail on one event before the next one comes.
const MAX_TRIES: u32 = 5;

/// How far a plugin is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct EventPlace {
    /// In which journal.
    pub(super) journal: JournalId,
    /// The plugin has heard of every event up to this position, or missed it.
    pub(super) read_to: u64,
    /// How often it has failed on the next one.
    tries: u32,
}

/// The form in which a place is kept.
#[derive(Serialize, Deserialize)]
struct KeptPlace {
    journal: [u8; 8],
    read_to: u64,
    tries: u32,
}

impl EventPlace {
    /// Where the plugin goes on: at the end of the journal if it hears of events for the
    /// first time, and at its beginning if that is another journal than before.
    ///
    /// # Errors
    /// Faults of the store and the catalog.
    pub(super) async fn find(
        plugin: &str,
        store: &dyn KeyValueStore,
        journal: &dyn EventJournal,
    ) -> Result<Self, ServiceError> {
        let extent = journal.journal_extent().await?;
        let kept = store.get(&key(plugin)).await?;
        let kept: Option<KeptPlace> = kept.and_then(|bytes| postcard::from_bytes(&bytes).ok());
        let (read_to, tries) = match kept {
            // A catalog that was restored may be behind.
            Some(kept) if kept.journal == extent.id.0 => (kept.read_to.min(extent.last), kept.tries),
            Some(_) => (extent.first.saturating_sub(1), 0),
            None => (extent.last, 0),
        };
        let place = Self {
            journal: extent.id,
            read_to,
            tries,
        };
        place.keep(plugin, store).await?;
        Ok(place)
    }

    /// Keeps the place; durable when it returns.
    pub(super) async fn keep(&self, plugin: &str, store: &dyn KeyValueStore) -> Result<(), StoreError> {
        let kept = KeptPlace {
            journal: self.journal.0,
            read_to: self.read_to,
            tries: self.tries,
        };
        let mut batch = WriteBatch::new();
        // Numbers always have this form.
        batch.put(key(plugin), postcard::to_stdvec(&kept).unwrap_or_default());
        store.commit(batch).await
    }

    /// The plugin has heard of everything up to this position.
    pub(super) fn go_on_after(&mut self, position: u64) {
        if position > self.read_to {
            self.read_to = position;
            self.tries = 0;
        }
    }

    /// The plugin has failed on the event at this position. Whether that was once too often,
    /// and the next one comes.
    pub(super) fn failed_on(&mut self, position: u64) -> bool {
        self.tries += 1;
        let is_given_up = self.tries >= MAX_TRIES;
        if is_given_up {
            self.go_on_after(position);
        }
        is_given_up
    }
}

fn key(plugin: &str) -> Vec<u8> {
    format!("{PREFIX}{plugin}").into_bytes()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

    use dm_core::news::News;
    use dm_testing::{catalog::MemoryCatalog, key_value::MemoryKeyValueStore};

    use super::*;

    #[tokio::test]
    async fn a_plugin_begins_at_the_end_and_goes_on_where_it_was() {
        let (store, journal) = (MemoryKeyValueStore::new(), MemoryCatalog::new());
        journal.append_news(vec![News::NodeStopping {}; 3]).await.unwrap();
        let mut place = EventPlace::find("a", &store, &journal).await.unwrap();
        assert_eq!(place.read_to, 3);
        journal.append_news(vec![News::NodeStopping {}; 3]).await.unwrap();
        assert_eq!(EventPlace::find("a", &store, &journal).await.unwrap().read_to, 3);
        place.go_on_after(5);
        place.keep("a", &store).await.unwrap();
        assert_eq!(EventPlace::find("a", &store, &journal).await.unwrap(), place);
        assert_eq!(EventPlace::find("b", &store, &journal).await.unwrap().read_to, 6);
    }

    #[tokio::test]
    async fn in_another_journal_everything_is_new_and_in_a_restored_one_nothing_is_skipped() {
        let (store, journal) = (MemoryKeyValueStore::new(), MemoryCatalog::new());
        journal.append_news(vec![News::NodeStopping {}; 3]).await.unwrap();
        let mut place = EventPlace::find("a", &store, &journal).await.unwrap();
        place.go_on_after(100);
        place.keep("a", &store).await.unwrap();
        assert_eq!(EventPlace::find("a", &store, &journal).await.unwrap().read_to, 3);
        let other = MemoryCatalog::new();
        other.append_news(vec![News::NodeStopping {}; 2]).await.unwrap();
        assert_eq!(EventPlace::find("a", &store, &other).await.unwrap().read_to, 0);
    }

    #[test]
    fn an_event_is_given_up_after_some_tries_which_begin_anew_with_the_next_one() {
        let mut place = EventPlace {
            journal: JournalId([0; 8]),
            read_to: 0,
            tries: 0,
        };
        for position in 1..4 {
            for _ in 1..MAX_TRIES {
                assert!(!place.failed_on(position));
            }
            assert_eq!(place.read_to, position - 1);
            assert!(place.failed_on(position));
            assert_eq!(place.read_to, position);
        }
    }
}
