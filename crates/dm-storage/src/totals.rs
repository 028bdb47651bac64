//! What is stored in all, and how much of the limits that takes.

use dm_core::{
    envelope::SignedEnvelope,
    ports::{Kept, KeptLimits, StoreError, StoreUsage, storage_cost},
};

use crate::{
    engine::{Engine, Table, scan_prefix},
    meta,
    record::Record,
    transaction::Changes,
};

/// Records that are read at once when everything is counted anew.
const PAGE: usize = 256;

/// The counters that change with every object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Totals {
    pub(crate) usage: StoreUsage,
    pub(crate) kept: Kept,
    pub(crate) limits: KeptLimits,
}

impl Totals {
    /// The counters of an engine. What is kept for whom is counted anew where
    /// that was never done, or done for another account.
    pub(crate) fn load(engine: &dyn Engine, limits: KeptLimits) -> Result<Self, StoreError> {
        let mut totals = Self {
            usage: meta::usage(engine)?,
            kept: Kept::default(),
            limits,
        };
        match meta::kept(engine)? {
            Some((account, kept)) if account == limits.account => totals.kept = kept,
            _ => totals.count_all(engine)?,
        }
        Ok(totals)
    }

    fn count_all(&mut self, engine: &dyn Engine) -> Result<(), StoreError> {
        let mut after: Option<bytes::Bytes> = None;
        loop {
            let page = scan_prefix(engine, Table::Records, &[], after.as_deref(), PAGE)?;
            let Some((last, _)) = page.last() else {
                break;
            };
            after = Some(last.clone());
            for (_, record) in &page {
                // A damaged record costs only itself; readers say which it is.
                if let Ok(Record { envelope, .. }) = Record::decode(record) {
                    *self.part(&envelope) += storage_cost(&envelope);
                }
            }
        }
        let mut changes = Changes::default();
        self.write(&mut changes);
        engine.commit(changes.into_list())
    }

    /// Counts an object.
    pub(crate) fn add(&mut self, envelope: &SignedEnvelope) {
        self.usage.objects += 1;
        self.usage.bytes += envelope.sealed_size();
        let part = self.part(envelope);
        *part = part.saturating_add(storage_cost(envelope));
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
    }

    fn part(&mut self, envelope: &SignedEnvelope) -> &mut u64 {
        if envelope.id.owner == self.limits.account {
            &mut self.kept.own
        } else {
            &mut self.kept.foreign
        }
    }
}
