//! Objects that were shared with this node and have come, or have changed.

use std::{sync::Arc, time::Duration};

use alloy_primitives::Address;
use dm_core::{
    envelope::SignedEnvelope,
    inbox::Arrival,
    ports::{CatalogError, InboxCatalog},
};

use crate::Bell;

/// Keeps what has come until the inbox has looked at it; cheap to clone.
#[derive(Clone)]
pub struct Arrivals {
    catalog: Arc<dyn InboxCatalog>,
    own: Address,
    /// Rings when something has come.
    bell: Bell,
}

impl Arrivals {
    /// Keeps there what comes for this account.
    pub fn new(catalog: Arc<dyn InboxCatalog>, own: Address) -> Self {
        Self {
            catalog,
            own,
            bell: Bell::default(),
        }
    }

    /// These have come or have changed, as somebody says. Durable when it returns.
    ///
    /// # Errors
    /// Those of the catalog.
    pub async fn have_come(&self, arrivals: &[Arrival]) -> Result<(), CatalogError> {
        if !arrivals.is_empty() {
            self.catalog.note_arrivals(arrivals).await?;
            self.bell.ring();
        }
        Ok(())
    }

    /// Whether the inbox is to look at an object that is stored here with this envelope: it
    /// is for this node, or it was.
    ///
    /// # Errors
    /// Those of the catalog.
    pub(crate) async fn concerns(&self, envelope: &SignedEnvelope) -> Result<bool, CatalogError> {
        if envelope.id.owner == self.own {
            return Ok(false);
        }
        Ok(envelope.grants_to(self.own) || self.catalog.inbox_item(&envelope.id).await?.is_some())
    }

    /// Waits until something has come, no longer than `patience`.
    pub(super) async fn wait(&self, patience: Duration) {
        self.bell.wait(patience).await;
    }

    /// Rings when something has come.
    pub fn bell(&self) -> Bell {
        self.bell.clone()
    }
}
