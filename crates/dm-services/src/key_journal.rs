//! Sees to it that each change of keys has one event in the log, whatever interrupts it.
//!
//! A change is remembered before it is made. Whether it was made is seen from the keys
//! themselves, and whether its event was recorded from the log behind the place where it
//! was begun; so all of it can be repeated after a stop at any moment.

use std::sync::Arc;

use dm_core::{
    event::{EventKind, NewEvent},
    ports::{
        BegunKeyChange, ComplianceError, ComplianceLog, EventFilter, HistoryQuery, KeyChange,
        KeyChangeDetails, KeyChanges,
    },
};

/// Events that are looked through together.
const PAGE: usize = 100;

/// Remembers changes of keys and records their events; cheap to clone.
#[derive(Clone)]
pub(super) struct KeyJournal {
    changes: Arc<dyn KeyChanges>,
    log: Arc<dyn ComplianceLog>,
}

impl KeyJournal {
    pub(super) fn new(changes: Arc<dyn KeyChanges>, log: Arc<dyn ComplianceLog>) -> Self {
        Self { changes, log }
    }

    /// Remembers a change that is about to be made.
    pub(super) async fn begin(&self, change: KeyChange) -> Result<BegunKeyChange, ComplianceError> {
        let newest = HistoryQuery {
            filter: EventFilter::default(),
            before: None,
            limit: 1,
        };
        let newest = self.log.history(&newest).await?.entries;
        let begun = BegunKeyChange {
            id: rand::random(),
            change,
            events: newest.first().map_or(0, |entry| entry.index + 1),
        };
        self.changes.begin_key_change(&begun).await?;
        Ok(begun)
    }

    /// What was begun and is not settled, oldest first.
    pub(super) async fn begun(&self) -> Result<Vec<BegunKeyChange>, ComplianceError> {
        Ok(self.changes.begun_key_changes().await?)
    }

    /// Records the event of a change that was made, unless it is in the log already, and
    /// forgets the change; `None` where it was not made.
    pub(super) async fn settle(
        &self,
        begun: &BegunKeyChange,
        made: Option<KeyChangeDetails>,
    ) -> Result<(), ComplianceError> {
        if let Some(details) = made
            && !self.is_recorded(begun.events, &details).await?
        {
            self.log.record(key_rotation(details)).await?;
        }
        Ok(self.changes.end_key_change(&begun.id).await?)
    }

    async fn is_recorded(&self, since: u64, details: &KeyChangeDetails) -> Result<bool, ComplianceError> {
        let mut before = None;
        loop {
            let page = self.log.history(&changes_before(before, PAGE)).await?;
            let recent = page.entries.iter().take_while(|entry| entry.index >= since);
            if recent.clone().any(|entry| entry.event.details == *details) {
                return Ok(true);
            }
            if recent.count() < page.entries.len() || page.next.is_none() {
                return Ok(false);
            }
            before = page.next;
        }
    }

    /// The newest event of a change of this key.
    pub(super) async fn newest_of(&self, key: &str) -> Result<Option<KeyChangeDetails>, ComplianceError> {
        let mut before = None;
        loop {
            let page = self.log.history(&changes_before(before, PAGE)).await?;
            let found = page
                .entries
                .into_iter()
                .find(|entry| entry.event.details.get("key").is_some_and(|of| of == key));
            if let Some(found) = found {
                return Ok(Some(found.event.details));
            }
            if page.next.is_none() {
                return Ok(None);
            }
            before = page.next;
        }
    }
}

fn changes_before(before: Option<u64>, limit: usize) -> HistoryQuery {
    HistoryQuery {
        filter: EventFilter {
            kinds: [EventKind::KeyRotation].into(),
            ..EventFilter::default()
        },
        before,
        limit,
    }
}

/// What the event of a change of `key` says.
pub(super) fn details<const N: usize>(key: &str, more: [(&str, String); N]) -> KeyChangeDetails {
    let details = [("key", key.to_owned())].into_iter().chain(more);
    details.map(|(name, value)| (name.to_owned(), value)).collect()
}

fn key_rotation(details: KeyChangeDetails) -> NewEvent {
    NewEvent {
        kind: EventKind::KeyRotation,
        data_hash: None,
        recipient: None,
        details,
        mandate: None,
    }
}
