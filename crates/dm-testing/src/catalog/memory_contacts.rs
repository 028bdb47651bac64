//! The contacts of a [`MemoryCatalog`].

use async_trait::async_trait;
use dm_core::{
    Address,
    contact::{Contact, ContactName},
    ports::{CatalogError, ContactBook},
};

use super::MemoryCatalog;

#[async_trait]
impl ContactBook for MemoryCatalog {
    async fn put_contact(&self, contact: &Contact) -> Result<(), CatalogError> {
        let contacts = &mut self.state().contacts;
        let mut others = contacts.values().filter(|other| other.name != contact.name);
        if others.any(|other| other.address == contact.address) {
            return Err(CatalogError::Conflict(format!(
                "another contact has the address {}",
                contact.address
            )));
        }
        contacts.insert(contact.name.clone(), contact.clone());
        Ok(())
    }

    async fn contact(&self, name: &ContactName) -> Result<Option<Contact>, CatalogError> {
        Ok(self.state().contacts.get(name).cloned())
    }

    async fn contact_at(&self, address: Address) -> Result<Option<Contact>, CatalogError> {
        let state = self.state();
        let mut contacts = state.contacts.values();
        Ok(contacts.find(|contact| contact.address == address).cloned())
    }

    async fn contacts(
        &self,
        after: Option<&ContactName>,
        limit: usize,
    ) -> Result<Vec<Contact>, CatalogError> {
        let state = self.state();
        let contacts = state.contacts.values();
        let rest = contacts.filter(|contact| after.is_none_or(|after| contact.name > *after));
        Ok(rest.take(limit).cloned().collect())
    }

    async fn count_contacts(&self) -> Result<u64, CatalogError> {
        Ok(self.state().contacts.len() as u64)
    }

    async fn remove_contact(&self, name: &ContactName) -> Result<bool, CatalogError> {
        Ok(self.state().contacts.remove(name).is_some())
    }
}
