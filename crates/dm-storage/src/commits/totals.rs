//! What is stored in all, and how much of the limits that takes.

use dm_core::{
    envelope::SignedEnvelope,
    ports::{Kept, KeptLimits, StoreError, StoreUsage, storage_cost},
};

use super::{changes::Changes, meta};
use crate::engine::Reads;

/// The counters that change with every object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Totals {
    pub(crate) usage: StoreUsage,
    pub(crate) kept: Kept,
    pub(crate) limits: KeptLimits,
    /// Position of the last noted change of an object: the epoch, and the number in it.
    pub(crate) noted: u128,
}

impl Totals {
    /// The counters of an engine, and whether they say what is kept for whom: they do not
    /// where that was never counted, or for another account. Positions of changes go on from
    /// `epoch`, where they are not further yet.
    pub(crate) fn load(
        reads: &dyn Reads,
        limits: KeptLimits,
        epoch: u64,
    ) -> Result<(Self, bool), StoreError> {
        let kept = meta::kept(reads)?.filter(|(account, _)| *account == limits.account);
        let totals = Self {
            usage: meta::usage(reads)?,
            kept: kept.map_or_else(Kept::default, |(_, kept)| kept),
            limits,
            noted: meta::noted(reads)?.max(u128::from(epoch) << 64),
        };
        Ok((totals, kept.is_some()))
    }

    /// The position of one more change.
    pub(super) fn next_position(&mut self) -> u128 {
        self.noted += 1;
        self.noted
    }

    /// Counts what is kept for the owner of an object that is stored already.
    pub(crate) fn add_kept(&mut self, envelope: &SignedEnvelope) {
        let part = self.part(envelope);
        *part = part.saturating_add(storage_cost(envelope));
    }

    /// Counts an object.
    pub(crate) fn add(&mut self, envelope: &SignedEnvelope) {
        self.usage.objects += 1;
        self.usage.bytes += envelope.sealed_size();
        self.add_kept(envelope);
    }

    /// Whether what is kept for the owner of an object is within its limit.
    ///
    /// # Errors
    /// [`StoreError::Full`] where it is more than may be kept.
    pub(crate) fn check(&self, envelope: &SignedEnvelope) -> Result<(), StoreError> {
        let (kept, limits) = (self.kept, self.limits);
        let is_within = if envelope.id.owner == limits.account {
            kept.own <= limits.own
        } else {
            kept.foreign <= limits.foreign
        };
        if is_within { Ok(()) } else { Err(StoreError::Full) }
    }

    /// Takes an object out of the count.
    pub(crate) fn subtract(&mut self, envelope: &SignedEnvelope) {
        self.usage.objects = self.usage.objects.saturating_sub(1);
        self.usage.bytes = self.usage.bytes.saturating_sub(envelope.sealed_size());
        let part = self.part(envelope);
        *part = part.saturating_sub(storage_cost(envelope));
    }

    /// Puts the counters among the changes of a commit.
    pub(crate) fn write(&self, changes: &mut Changes) {
        meta::set_usage(changes, self.usage);
        meta::set_kept(changes, self.limits.account, self.kept);
        meta::set_noted(changes, self.noted);
    }

    fn part(&mut self, envelope: &SignedEnvelope) -> &mut u64 {
        if envelope.id.owner == self.limits.account {
            &mut self.kept.own
        } else {
            &mut self.kept.foreign
        }
    }
}
