//! How the last writes of a store went, for its health.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use dm_core::clock::now_ms;

/// What came of the last writes; clones are the same.
#[derive(Clone, Default)]
pub(crate) struct WriteState(Arc<Mutex<Option<WriteFault>>>);

/// Writes fail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WriteFault {
    /// Since when, in milliseconds since the Unix epoch.
    pub(crate) since: u64,
    /// Why the last one failed.
    pub(crate) reason: String,
}

impl WriteState {
    /// A write is durable.
    pub(crate) fn succeeded(&self) {
        *self.lock() = None;
    }

    /// The medium refused a write.
    pub(crate) fn failed(&self, reason: &impl ToString) {
        let mut fault = self.lock();
        let since = fault.as_ref().map_or_else(now_ms, |fault| fault.since);
        *fault = Some(WriteFault {
            since,
            reason: reason.to_string(),
        });
    }

    /// Why writes fail, where the last one did.
    pub(crate) fn fault(&self) -> Option<WriteFault> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Option<WriteFault>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_keeps_its_beginning_and_ends_with_a_write() {
        let state = WriteState::default();
        assert_eq!(state.fault(), None);
        state.failed(&"first");
        let since = state.fault().unwrap().since;
        state.failed(&"second");
        let fault = state.fault().unwrap();
        assert_eq!((fault.since, fault.reason.as_str()), (since, "second"));
        state.succeeded();
        assert_eq!(state.fault(), None);
    }
}
