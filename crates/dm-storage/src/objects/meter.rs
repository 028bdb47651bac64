//! What the object store counts of its own work, for whoever shows it.

use std::sync::Arc;

use dm_core::{
    meter::{CommitMeter, Histogram},
    ports::Kept,
};

use super::Objects;

/// What an object store has done since it was opened, and what it has now. It answers from
/// memory; cheap to clone.
#[derive(Clone)]
pub struct StorageMeter(pub(crate) Arc<Objects>);

impl StorageMeter {
    /// The commits.
    pub fn commits(&self) -> &CommitMeter {
        self.0.committer.meter()
    }

    /// How long it took to read records and chunks that were not in memory.
    pub fn reads(&self) -> &Histogram {
        &self.0.reads
    }

    /// How many changes wait to be committed.
    pub fn waiting_changes(&self) -> usize {
        self.0.committer.waiting()
    }

    /// How many objects are stored, as of the last commit.
    pub fn objects(&self) -> u64 {
        self.0.committer.totals().usage.objects
    }

    /// How many bytes are kept for whom, as of the last commit.
    pub fn kept(&self) -> Kept {
        self.0.committer.totals().kept
    }

    /// How many stored objects are known to be damaged.
    pub fn damaged(&self) -> usize {
        self.0.damage.count()
    }
}
