//! Those who share a commit.

use bytes::Bytes;
use dm_core::ports::StoreError;
use tokio::sync::mpsc;

use super::{
    committer::{Job, Need},
    totals::Totals,
};
use crate::{
    engine::{Reads, Table},
    error::repeat,
};

/// Callers that share a commit.
pub(super) struct Gathering<'q> {
    /// Whether the disk takes new data.
    pub(super) space: Result<(), StoreError>,
    /// Who comes first, until it is among the others.
    pub(super) first: Option<Box<dyn Job>>,
    pub(super) queue: &'q mut mpsc::Receiver<Box<dyn Job>>,
    pub(super) jobs: Vec<Box<dyn Job>>,
    /// What is stored when the commit is made, where there is something to commit.
    pub(super) after: Option<Totals>,
}

impl Gathering<'_> {
    /// Takes in at most so many who wait. Those for which there is no room are told so.
    pub(super) fn take(&mut self, limit: usize) {
        for _ in 0..limit {
            let Some(job) = self.first.take().or_else(|| self.queue.try_recv().ok()) else {
                return;
            };
            match &self.space {
                Err(full) if job.need() == Need::Space => job.reply(&Err(repeat(full))),
                _ => self.jobs.push(job),
            }
        }
    }

    /// Reads what all from the one at `from` on will read, and `keys`.
    pub(super) fn expect(
        &self,
        from: usize,
        reads: &dyn Reads,
        mut keys: Vec<(Table, Bytes)>,
    ) -> Result<(), StoreError> {
        keys.extend(self.jobs.iter().skip(from).filter_map(|job| job.key().cloned()));
        if keys.is_empty() {
            return Ok(());
        }
        reads.expect(&keys)
    }

    pub(super) fn frees_room(&self) -> bool {
        self.jobs.iter().all(|job| job.need() == Need::Nothing)
    }
}
