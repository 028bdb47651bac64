use alloy_primitives::Address;
use async_trait::async_trait;

use super::CatalogError;
use crate::contact::{Contact, ContactName};

/// Keeps contacts: each name once, and each address once.
#[async_trait]
pub trait ContactBook: Send + Sync {
    /// Keeps a contact, in the place of the one that has its name; durable when it returns.
    ///
    /// # Errors
    /// [`CatalogError::Conflict`] where another contact has its address.
    async fn put_contact(&self, contact: &Contact) -> Result<(), CatalogError>;

    /// The contact of this name.
    async fn contact(&self, name: &ContactName) -> Result<Option<Contact>, CatalogError>;

    /// The contact that has this address.
    async fn contact_at(&self, address: Address) -> Result<Option<Contact>, CatalogError>;

    /// At most `limit` contacts after `after`, in the order of their names.
    async fn contacts(&self, after: Option<&ContactName>, limit: usize)
    -> Result<Vec<Contact>, CatalogError>;

    /// How many there are.
    async fn count_contacts(&self) -> Result<u64, CatalogError>;

    /// Strikes a contact out; whether there was one.
    async fn remove_contact(&self, name: &ContactName) -> Result<bool, CatalogError>;
}
