//! What the journal has to be told, one change at a time.

use std::{collections::BTreeMap, time::Duration};

use dm_core::{operation::OperationId, ports::ChainError};
use tokio::time::Instant;

use super::identity::Identity;
use crate::transactions::journal::{Change, JournalEntry};

/// Pause before the journal is tried again after it failed.
const WRITE_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// The notes for the journal.
#[derive(Default)]
pub(super) struct Notes {
    /// What it has to be told.
    dirty: BTreeMap<OperationId, Option<JournalEntry>>,
    /// What it is being told.
    writing: Option<Change>,
    not_before: Option<Instant>,
    /// Why the last change failed.
    failure: Option<String>,
}

impl Notes {
    /// The journal shall keep this under that name, or nothing any more.
    pub(super) fn note(&mut self, name: OperationId, entry: Option<JournalEntry>) {
        self.dirty.insert(name, entry);
    }

    /// Whether the journal may have a note that is on its way out: should the process
    /// die before that, the operation happens.
    pub(super) fn may_be_kept(&self, name: &OperationId) -> bool {
        let mut written = self.writing.iter().flat_map(|change| &change.entries);
        self.dirty.contains_key(name) || written.any(|(changed, _)| changed == name)
    }

    /// The journal is tried at once, even if it has just failed.
    pub(super) fn hurry(&mut self) {
        self.not_before = None;
    }

    /// Whether a change of the journal is under way.
    pub(super) fn is_writing(&self) -> bool {
        self.writing.is_some()
    }

    /// When the journal is tried again that has failed.
    pub(super) fn retry_at(&self) -> Option<Instant> {
        self.not_before.filter(|_| !self.dirty.is_empty())
    }

    /// Why the last change of the journal failed.
    pub(super) fn failure(&self) -> Option<&str> {
        self.failure.as_deref()
    }

    /// The next change of the journal, with new landmarks; `None` where there is no news,
    /// or the journal has to be left alone.
    pub(super) fn begin(&mut self, identity: &mut Identity, now: Instant) -> Option<Change> {
        let has_news = !self.dirty.is_empty() || identity.has_news();
        if self.writing.is_some() || !has_news || self.not_before.is_some_and(|at| at > now) {
            return None;
        }
        self.not_before = None;
        let change = Change {
            entries: std::mem::take(&mut self.dirty).into_iter().collect(),
            landmarks: identity.take_new(),
        };
        self.writing = Some(change.clone());
        Some(change)
    }

    /// The change has ended. One that failed is tried again, with what came after it.
    ///
    /// # Errors
    /// [`ChainError::Journal`] where it failed. The medium may have it all the same.
    pub(super) fn end(
        &mut self,
        result: Result<(), String>,
        identity: &mut Identity,
        now: Instant,
    ) -> Result<(), ChainError> {
        let change = self.writing.take().unwrap_or_default();
        self.failure = result.err();
        let Some(error) = &self.failure else {
            return Ok(());
        };
        tracing::error!(error, "the journal of transactions cannot be written");
        self.not_before = Some(now + WRITE_AGAIN_AFTER);
        for (name, entry) in change.entries {
            self.dirty.entry(name).or_insert(entry);
        }
        if change.landmarks.is_some() {
            identity.keep_for_later();
        }
        Err(ChainError::Journal(error.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transactions::journal::Landmarks;

    fn name(byte: u8) -> OperationId {
        OperationId::from_bytes([byte; 32])
    }

    fn identity() -> Identity {
        Identity::new(Landmarks::default())
    }

    #[test]
    fn notes_that_come_during_a_change_wait_for_the_next_one() {
        let (mut notes, mut identity, now) = (Notes::default(), identity(), Instant::now());
        notes.note(name(1), None);
        assert_eq!(
            notes.begin(&mut identity, now).unwrap().entries,
            [(name(1), None)]
        );
        notes.note(name(2), None);
        assert_eq!(notes.begin(&mut identity, now), None);
        assert!(notes.may_be_kept(&name(1)) && notes.may_be_kept(&name(2)));
        notes.end(Ok(()), &mut identity, now).unwrap();
        assert!(!notes.may_be_kept(&name(1)));
        assert_eq!(
            notes.begin(&mut identity, now).unwrap().entries,
            [(name(2), None)]
        );
    }

    #[test]
    fn a_change_that_failed_is_tried_again_after_a_pause() {
        let (mut notes, mut identity, now) = (Notes::default(), identity(), Instant::now());
        notes.note(name(1), None);
        let change = notes.begin(&mut identity, now);
        let failed = notes.end(Err("no space".to_owned()), &mut identity, now);
        assert_eq!(failed, Err(ChainError::Journal("no space".to_owned())));
        assert_eq!(notes.failure(), Some("no space"));
        assert_eq!(notes.begin(&mut identity, now), None);
        let later = notes.retry_at().unwrap();
        assert_eq!(notes.begin(&mut identity, later), change);
    }
}
