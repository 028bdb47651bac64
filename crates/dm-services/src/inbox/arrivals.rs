//! Objects that were shared with this node and have come, or have changed.

use std::{sync::Arc, time::Duration};

use alloy_primitives::Address;
use dm_core::{
    envelope::{ObjectId, SignedEnvelope},
    inbox::Arrival,
    ports::{CatalogError, InboxCatalog},
};

use crate::Bell;

/// Keeps what has come until the inbox has looked at it; cheap to clone.
#[derive(Clone)]
pub struct Arrivals {
    catalog: Arc<dyn InboxCatalog>,
    /// Rings when something has come.
    bell: Bell,
}

/// Objects of others that are stored here, of some changes together.
#[derive(Default)]
pub(crate) struct Stored {
    /// They are for this node.
    come: Vec<Arrival>,
    /// They are not, and may have been.
    others: Vec<Arrival>,
}

impl Stored {
    /// Adds what is stored with this envelope, unless this node, whose account is `own`, has
    /// shared it.
    pub(crate) fn add(&mut self, envelope: &SignedEnvelope, own: Address) {
        if envelope.id.owner == own {
            return;
        }
        let list = if envelope.grants_to(own) {
            &mut self.come
        } else {
            &mut self.others
        };
        list.push(Arrival {
            object: envelope.id,
            sequence: envelope.sequence,
        });
    }
}

impl Arrivals {
    /// Keeps there what comes.
    pub fn new(catalog: Arc<dyn InboxCatalog>) -> Self {
        Self {
            catalog,
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

    /// These are stored here now. Those that are for this node have come, and so have those that
    /// were: the inbox lists them.
    ///
    /// # Errors
    /// Those of the catalog.
    pub(crate) async fn are_stored(&self, stored: Stored) -> Result<(), CatalogError> {
        let Stored { mut come, others } = stored;
        let objects: Vec<ObjectId> = others.iter().map(|arrival| arrival.object).collect();
        if !objects.is_empty() {
            let listed = self.catalog.listed_among(&objects).await?;
            come.extend(others.into_iter().filter(|other| listed.contains(&other.object)));
        }
        self.have_come(&come).await
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
