use bytes::Bytes;
use dm_core::{
    envelope::SignedEnvelope,
    lease::Epoch,
    ports::{CatalogError, StoreError},
};

use super::{changes::Changes, totals::Totals};
use crate::engine::{Reads, Table};

/// The changes of several callers that are going to be one commit.
pub(crate) struct Group<'a> {
    reads: &'a dyn Reads,
    pub(crate) changes: Changes,
    pub(crate) totals: Totals,
}

impl<'a> Group<'a> {
    /// An empty group over a state of the tables, which has these totals.
    pub(crate) fn new(reads: &'a dyn Reads, totals: Totals) -> Self {
        Self {
            reads,
            changes: Changes::default(),
            totals,
        }
    }

    /// Runs one caller's work on top of what the group has so far. Where it
    /// fails, nothing of it stays.
    pub(crate) fn apply<T>(
        &mut self,
        work: impl FnOnce(&mut Transaction<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut transaction = Transaction {
            group: self,
            changes: Changes::default(),
            totals: self.totals,
        };
        let result = work(&mut transaction)?;
        let Transaction { changes, totals, .. } = transaction;
        self.changes.absorb(changes);
        self.totals = totals;
        Ok(result)
    }
}

/// One caller's reads and writes within a [`Group`].
pub(crate) struct Transaction<'a> {
    group: &'a Group<'a>,
    changes: Changes,
    totals: Totals,
}

impl Transaction<'_> {
    /// The value of a key, as this transaction and those before it left it.
    pub(crate) fn get(&self, table: Table, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        let pending = self
            .changes
            .get(table, key)
            .or_else(|| self.group.changes.get(table, key));
        match pending {
            Some(value) => Ok(value.clone()),
            None => self.group.reads.get(table, key),
        }
    }

    /// The state of the tables before this group, and the changes of this transaction.
    #[cfg(feature = "postgres")]
    pub(crate) fn parts(&mut self) -> (&dyn Reads, &mut Changes) {
        (self.group.reads, &mut self.changes)
    }

    /// Milliseconds since the Unix epoch, by the one clock of all who write.
    pub(crate) fn now_ms(&self) -> Result<u64, StoreError> {
        self.group.reads.now_ms()
    }

    /// Whether the lease of the leader is of that epoch, and stays so until the commit.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] where it is not.
    pub(crate) fn check_epoch(&self, epoch: Epoch) -> Result<(), StoreError> {
        match self.group.reads.is_led_in(epoch)? {
            true => Ok(()),
            false => Err(StoreError::Unavailable(
                CatalogError::NotLeading(epoch).to_string(),
            )),
        }
    }

    pub(crate) fn put(&mut self, table: Table, key: impl Into<Bytes>, value: impl Into<Bytes>) {
        self.changes.set(table, key.into(), Some(value.into()));
    }

    pub(crate) fn delete(&mut self, table: Table, key: impl Into<Bytes>) {
        self.changes.set(table, key.into(), None);
    }

    /// The position of a change of an object, behind all that are committed.
    pub(crate) fn next_position(&mut self) -> u128 {
        self.totals.next_position()
    }

    /// Counts an object.
    pub(crate) fn count_object(&mut self, envelope: &SignedEnvelope) {
        self.totals.add(envelope);
    }

    /// Whether what is kept for the owner of an object is within its limit.
    ///
    /// # Errors
    /// [`StoreError::Full`] where it is more than may be kept.
    pub(crate) fn check_limits(&self, envelope: &SignedEnvelope) -> Result<(), StoreError> {
        self.totals.check(envelope)
    }

    /// Takes an object out of the count.
    pub(crate) fn uncount_object(&mut self, envelope: &SignedEnvelope) {
        self.totals.subtract(envelope);
    }
}
