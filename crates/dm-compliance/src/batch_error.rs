//! One failure of the catalog, told to everybody whose event was in the batch.

use std::sync::Arc;

use dm_core::ports::{CatalogError, ComplianceError};

/// A failure that can be told more than once.
#[derive(Debug, Clone)]
pub(crate) struct BatchError(Arc<ComplianceError>);

/// The database's failure, shared between those who are told.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Shared(Arc<ComplianceError>);

impl From<ComplianceError> for BatchError {
    fn from(error: ComplianceError) -> Self {
        Self(Arc::new(error))
    }
}

impl BatchError {
    /// The failure for one caller, of the kind that it had.
    pub(crate) fn for_caller(&self) -> ComplianceError {
        match &*self.0 {
            ComplianceError::Catalog(error) => error.repeated().into(),
            ComplianceError::Corrupt(what) => ComplianceError::Corrupt(what.clone()),
            _ => CatalogError::Failed(Box::new(Shared(self.0.clone()))).into(),
        }
    }
}
