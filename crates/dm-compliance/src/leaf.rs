//! Events as leaves of the tree.

use dm_core::{B256, event::Event, ports::ComplianceError};

use crate::tree::leaf_hash;

/// An event that is ready to take its place in the log.
#[derive(Debug)]
pub(crate) struct Leaf {
    /// The fact.
    pub(crate) event: Event,
    /// RFC 6962 hash of its canonical JSON.
    pub(crate) hash: B256,
}

impl Leaf {
    /// Hashes the event.
    pub(crate) fn of(event: Event) -> Result<Self, ComplianceError> {
        let canonical = event
            .canonical()
            .map_err(|error| ComplianceError::Corrupt(error.to_string()))?;
        Ok(Self {
            hash: leaf_hash(&canonical),
            event,
        })
    }
}
