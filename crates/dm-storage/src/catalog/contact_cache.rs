//! The contacts that were asked for lately: whoever sends something is looked up several times,
//! and most of those who send much are contacts.

use std::{
    future::Future,
    sync::atomic::{AtomicU64, Ordering},
};

use dm_core::{Address, contact::Contact, ports::CatalogError};
use quick_cache::sync::Cache;

/// Accounts that are remembered, those that are no contacts among them.
const CAPACITY: usize = 4096;

/// Contacts by their addresses. All of them are forgotten when one changes, which people do.
pub(super) struct ContactCache {
    /// Each with the generation in which its load began. `None`: nothing is kept.
    kept: Option<Cache<Address, (u64, Option<Contact>)>>,
    /// Grows when a contact changes; what was read before counts no more.
    generation: AtomicU64,
}

impl ContactCache {
    pub(super) fn new() -> Self {
        Self {
            kept: Some(Cache::new(CAPACITY)),
            generation: AtomicU64::new(0),
        }
    }

    /// One that keeps nothing.
    #[cfg(feature = "postgres")]
    pub(super) fn disabled() -> Self {
        Self {
            kept: None,
            generation: AtomicU64::new(0),
        }
    }

    /// The contact with this address, loaded where it is not here. A load that was begun before
    /// [`ContactCache::forget_all`] leaves nothing that counts after it.
    pub(super) async fn get_or_load(
        &self,
        address: Address,
        load: impl Future<Output = Result<Option<Contact>, CatalogError>>,
    ) -> Result<Option<Contact>, CatalogError> {
        let Some(kept) = &self.kept else {
            return load.await;
        };
        let generation = self.generation.load(Ordering::Acquire);
        if let Some((of, contact)) = kept.get(&address)
            && of == generation
        {
            return Ok(contact);
        }
        let contact = load.await?;
        kept.insert(address, (generation, contact.clone()));
        Ok(contact)
    }

    /// Some contact has changed.
    pub(super) fn forget_all(&self) {
        self.generation.fetch_add(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use dm_core::contact::Trust;

    use super::*;

    fn contact(trust: Trust) -> Option<Contact> {
        Some(Contact {
            name: "acme".parse().unwrap(),
            address: Address::ZERO,
            trust,
            note: None,
            added_at: 1,
            confirmed: None,
            changed: None,
        })
    }

    async fn ask(cache: &ContactCache, loaded: Option<Contact>) -> Option<Contact> {
        let load = async { Ok(loaded) };
        cache.get_or_load(Address::ZERO, load).await.unwrap()
    }

    #[tokio::test]
    async fn an_account_is_looked_up_once_until_a_contact_changes() {
        let cache = ContactCache::new();
        assert_eq!(ask(&cache, None).await, None);
        assert_eq!(ask(&cache, contact(Trust::Accept)).await, None);
        cache.forget_all();
        assert_eq!(ask(&cache, contact(Trust::Block)).await, contact(Trust::Block));
        assert_eq!(ask(&cache, None).await, contact(Trust::Block));
    }

    #[tokio::test]
    async fn what_changes_while_it_loads_is_loaded_again() {
        let cache = ContactCache::new();
        let load = async {
            cache.forget_all();
            Ok(contact(Trust::Accept))
        };
        cache.get_or_load(Address::ZERO, load).await.unwrap();
        assert_eq!(ask(&cache, contact(Trust::Block)).await, contact(Trust::Block));
    }
}
