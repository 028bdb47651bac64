//! Tells how owners of objects stand with the operator.

use std::sync::Arc;

use alloy_primitives::Address;
use async_trait::async_trait;
use dm_core::{
    contact::Trust,
    ports::{Acquaintance, ContactBook, OwnerStanding, Standing},
};

/// An owner that is a contact is established, unless it is blocked; others are as
/// somebody else says.
pub struct KnownOwners {
    contacts: Arc<dyn ContactBook>,
    others: Arc<dyn OwnerStanding>,
}

impl KnownOwners {
    /// Asks `others` of those that are no contact.
    pub fn new(contacts: Arc<dyn ContactBook>, others: Arc<dyn OwnerStanding>) -> Self {
        Self { contacts, others }
    }

    /// How far the owner is trusted, if it is a contact. A catalog that does not answer
    /// knows nobody.
    async fn trust(&self, owner: Address) -> Option<Trust> {
        let contact = self.contacts.contact_at(owner).await;
        contact.ok().flatten().map(|contact| contact.trust)
    }
}

#[async_trait]
impl OwnerStanding for KnownOwners {
    async fn is_established(&self, owner: Address) -> bool {
        match self.trust(owner).await {
            Some(Trust::Block) => false,
            Some(Trust::Accept | Trust::Ask) => true,
            None => self.others.is_established(owner).await,
        }
    }

    async fn is_blocked(&self, owner: Address) -> bool {
        match self.trust(owner).await {
            Some(trust) => trust == Trust::Block,
            None => self.others.is_blocked(owner).await,
        }
    }
}

/// Contacts whose shares are accepted are welcome; those that the operator wants to be
/// asked about are met like strangers.
#[async_trait]
impl Acquaintance for KnownOwners {
    async fn standing_of(&self, account: Address) -> Standing {
        match self.trust(account).await {
            Some(Trust::Accept) => Standing::Contact,
            Some(Trust::Block) => Standing::Blocked,
            Some(Trust::Ask) | None => Standing::Stranger,
        }
    }
}
