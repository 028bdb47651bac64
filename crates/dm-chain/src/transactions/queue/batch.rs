//! From nonces to transactions that are signed and noted: one batch at a time, while
//! further orders gather for the next.

use std::collections::BTreeMap;

use dm_core::{operation::OperationId, ports::ChainError};
use tokio::time::Instant;

use super::{
    Action, Key,
    item::{Phase, Sending},
    ledger::Ledger,
};
use crate::tx::{SigningJob, Version};

/// Most transactions of a batch.
pub(super) const MAX_BATCH: usize = 512;

/// The batch, if there is one.
#[derive(Default)]
pub(super) struct Batch {
    stage: Stage,
}

/// Where the batch is.
#[derive(Default)]
enum Stage {
    /// There is none.
    #[default]
    Idle,
    /// It is being signed.
    Signing(Vec<Key>),
    /// It waits for the journal.
    Ready(Vec<(Key, Version)>),
    /// The journal is noting it.
    Writing(Vec<(Key, Version)>),
}

impl Batch {
    /// Whether there is none.
    pub(super) fn is_idle(&self) -> bool {
        matches!(self.stage, Stage::Idle)
    }

    /// Begins one with these, which have to be signed.
    pub(super) fn begin(&mut self, jobs: Vec<(Key, SigningJob)>) -> Option<Action> {
        if jobs.is_empty() {
            return None;
        }
        let (keys, jobs) = jobs.into_iter().unzip();
        self.stage = Stage::Signing(keys);
        Some(Action::Sign(jobs))
    }

    /// Its transactions are signed, and the journal has to note them; or they cannot be.
    pub(super) fn signed(&mut self, ledger: &mut Ledger, result: Result<Vec<Version>, ChainError>) {
        let Stage::Signing(keys) = std::mem::take(&mut self.stage) else {
            return;
        };
        let versions = match result {
            Ok(versions) if versions.len() == keys.len() => versions,
            Ok(_) => Vec::new(),
            Err(refusal) => return keys.iter().for_each(|key| unstage(ledger, *key, &refusal)),
        };
        let batch: Vec<_> = keys.into_iter().zip(versions).collect();
        if note_versions(ledger, &batch) {
            ledger.notes.hurry();
            self.stage = Stage::Ready(batch);
        }
    }

    /// The change of the journal that begins contains the batch that waits for it.
    pub(super) fn begin_writing(&mut self) {
        self.stage = match std::mem::take(&mut self.stage) {
            Stage::Ready(batch) => Stage::Writing(batch),
            other => other,
        };
    }

    /// The change of the journal has ended: the batch goes to the chain, or never will.
    /// Whether something was begun that had not been.
    pub(super) fn written(
        &mut self,
        ledger: &mut Ledger,
        result: &Result<(), ChainError>,
        now: Instant,
    ) -> bool {
        let batch = match std::mem::take(&mut self.stage) {
            Stage::Writing(batch) => batch,
            other => {
                self.stage = other;
                return false;
            }
        };
        let mut is_news = false;
        for (key, version) in batch {
            match result {
                Ok(()) => is_news |= release(ledger, key, version, now),
                Err(refusal) => unstage(ledger, key, refusal),
            }
        }
        is_news
    }
}

/// Notes the versions of a batch; whether there was one to note. All may have been mined or
/// given up in the meantime: then a batch that waited for the journal would wait for ever.
fn note_versions(ledger: &mut Ledger, batch: &[(Key, Version)]) -> bool {
    let mut entries = BTreeMap::new();
    for (key, version) in batch {
        if let Some(item) = ledger.items.get_mut(*key)
            && !item.is_over()
        {
            let note = *item.note.get_or_insert(OperationId::from_bytes(version.hash.0));
            let mut entry = item.entry();
            if matches!(item.phase, Phase::Staged) {
                entry.versions.clear();
            }
            entry.versions.push(version.clone());
            entries.insert(note, entry);
        }
    }
    let has_entries = !entries.is_empty();
    for (note, entry) in entries {
        ledger.notes.note(note, Some(entry));
    }
    has_entries
}

/// The chain gets a version that is noted; whether its transaction was not begun before.
fn release(ledger: &mut Ledger, key: Key, version: Version, now: Instant) -> bool {
    let Some(item) = ledger.items.get_mut(key) else {
        return false;
    };
    let hash = version.hash;
    let (in_flight, is_first) = match &item.phase {
        Phase::Staged => (false, true),
        Phase::Sending(sending) => (sending.in_flight, false),
        // It was mined in the meantime: the chain never gets the new version.
        _ => return false,
    };
    if is_first {
        item.past
            .extend(item.versions.drain(..).map(|version| version.hash));
    }
    item.versions.push(version);
    let sending = Sending {
        in_flight,
        ..Sending::new(item.versions.len() - 1, now)
    };
    ledger.items.set_phase(key, Phase::Sending(sending));
    ledger.items.index_hash(hash, key);
    is_first
}

/// A version was not signed or not noted, so it never goes to the chain.
fn unstage(ledger: &mut Ledger, key: Key, refusal: &ChainError) {
    let Some(item) = ledger.items.get_mut(key) else {
        return;
    };
    match &mut item.phase {
        Phase::Staged if item.versions.is_empty() => ledger.give_up(key, refusal),
        Phase::Staged => ledger.items.requeue(key),
        Phase::Sending(sending) => {
            sending.is_replaced = false;
            ledger.note(key);
        }
        _ => {}
    }
}
