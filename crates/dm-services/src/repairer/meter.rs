//! What repair counts of its own work, for whoever shows it.

use dm_core::{
    meter::Counter,
    ports::{PushReport, StoreError},
};

use super::{Repairer, plan::Proof};

/// What repair has done since the start of the process.
#[derive(Debug, Default)]
pub struct RepairMeter {
    /// Challenges in which a holder proved its copy.
    pub proven: Counter,
    /// Challenges in which a holder did not have the object.
    pub missing: Counter,
    /// Challenges that were answered, and not from the bytes.
    pub wrong: Counter,
    /// Challenges without an answer.
    pub silent: Counter,
    /// Copies that peers have taken.
    pub copies_made: Counter,
    /// Copies that were wanted and that no peer took.
    pub copies_refused: Counter,
}

impl RepairMeter {
    pub(super) fn challenged(&self, proof: Proof) {
        let counter = match proof {
            Proof::Proven => &self.proven,
            Proof::Missing => &self.missing,
            Proof::Wrong => &self.wrong,
            Proof::Silent => &self.silent,
        };
        counter.increment();
    }

    /// Of so many copies these were made.
    pub(super) fn placed<E>(&self, wanted: u32, placed: &Result<PushReport, E>) {
        let made = placed.as_ref().map_or(0, |report| report.holders.len() as u64);
        self.copies_made.add(made);
        self.copies_refused.add(u64::from(wanted).saturating_sub(made));
    }
}

/// How many objects repair looks after.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RepairTotals {
    /// Objects for which this node owes copies.
    pub objects: u64,
    /// Those that have too few.
    pub short: u64,
}

impl Repairer {
    /// What was done since the start of the process.
    pub fn meter(&self) -> &RepairMeter {
        &self.inner.meter
    }

    /// How many objects are looked after: numbers that the index keeps, nothing is counted.
    ///
    /// # Errors
    /// Where the index cannot be opened.
    pub async fn totals(&self) -> Result<RepairTotals, StoreError> {
        let (objects, short) = self.plan().await?.totals();
        Ok(RepairTotals { objects, short })
    }
}
