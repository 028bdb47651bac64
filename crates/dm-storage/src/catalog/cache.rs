//! The readable objects that were asked for lately, so that a hot read, and each look at an own
//! object, does not wait for SQLite's thread; and which data was found not to be readable, since
//! whatever comes is looked up several times before it is.

use std::future::Future;

use dm_core::{hash::Locator, ports::CatalogError, share::ReadableObject};
use quick_cache::sync::Cache;

use super::contact_cache::ContactCache;

/// Entries; each takes some 400 bytes.
const CAPACITY: usize = 8192;

/// What a catalog keeps in memory, where nobody else changes its database.
pub(super) struct Caches {
    pub(super) readable: ReadableCache,
    pub(super) contacts: ContactCache,
}

impl Caches {
    pub(super) fn new() -> Self {
        Self {
            readable: ReadableCache::new(),
            contacts: ContactCache::new(),
        }
    }

    /// Those that keep nothing.
    #[cfg(feature = "postgres")]
    pub(super) fn disabled() -> Self {
        Self {
            readable: ReadableCache::disabled(),
            contacts: ContactCache::disabled(),
        }
    }
}

pub(super) struct ReadableCache(Option<Cache<Locator, Option<ReadableObject>>>);

impl ReadableCache {
    fn new() -> Self {
        Self(Some(Cache::new(CAPACITY)))
    }

    /// One that keeps nothing.
    #[cfg(feature = "postgres")]
    fn disabled() -> Self {
        Self(None)
    }

    /// The entry, loaded where it is not here. What is forgotten while it
    /// loads is not kept: a reader never puts back what a writer replaced.
    pub(super) async fn get_or_load(
        &self,
        locator: &Locator,
        load: impl Future<Output = Result<Option<ReadableObject>, CatalogError>>,
    ) -> Result<Option<ReadableObject>, CatalogError> {
        let Some(cache) = &self.0 else {
            return load.await;
        };
        match cache.get_value_or_guard_async(locator).await {
            Ok(object) => Ok(object),
            Err(place) => {
                let object = load.await?;
                // Refused where the entry was forgotten meanwhile.
                let _ = place.insert(object.clone());
                Ok(object)
            }
        }
    }

    /// Drops an entry, and keeps a load under way from leaving one.
    pub(super) fn forget(&self, locator: &Locator) {
        if let Some(cache) = &self.0 {
            cache.remove(locator);
        }
    }
}

#[cfg(test)]
mod tests {
    use dm_core::{Address, envelope::ObjectId, hash::DataHash, share::WrappedKey};

    use super::*;

    fn object() -> ReadableObject {
        let data_hash = DataHash::of(b"cached");
        ReadableObject {
            data_hash,
            id: ObjectId {
                locator: data_hash.locator(),
                owner: Address::ZERO,
            },
            size: 6,
            chunk_list: [7; 32],
            key: WrappedKey {
                version: 1,
                token: "token".into(),
            },
        }
    }

    #[tokio::test]
    async fn what_is_forgotten_while_it_loads_is_not_kept() {
        let cache = ReadableCache::new();
        let locator = object().id.locator;
        let load = async {
            cache.forget(&locator);
            Ok(Some(object()))
        };
        assert_eq!(cache.get_or_load(&locator, load).await.unwrap(), Some(object()));
        assert_eq!(
            cache.get_or_load(&locator, async { Ok(None) }).await.unwrap(),
            None
        );
    }

    #[tokio::test]
    async fn what_was_loaded_is_not_loaded_again() {
        let cache = ReadableCache::new();
        let locator = object().id.locator;
        cache
            .get_or_load(&locator, async { Ok(Some(object())) })
            .await
            .unwrap();
        assert_eq!(
            cache.get_or_load(&locator, async { Ok(None) }).await.unwrap(),
            Some(object())
        );
    }

    #[tokio::test]
    async fn what_was_not_there_is_not_looked_for_again_before_it_comes() {
        let cache = ReadableCache::new();
        let locator = object().id.locator;
        let load = |found: Option<ReadableObject>| cache.get_or_load(&locator, async { Ok(found) });
        assert_eq!(load(None).await.unwrap(), None);
        assert_eq!(load(Some(object())).await.unwrap(), None);
        cache.forget(&locator);
        assert_eq!(load(Some(object())).await.unwrap(), Some(object()));
    }
}
