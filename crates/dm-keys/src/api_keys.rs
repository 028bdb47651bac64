use std::{
    fmt,
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, Instant},
};

use async_trait::async_trait;
use dm_core::{
    api_key::{ApiKeyRecord, Principal},
    clock::now_ms,
    ports::{ApiKeyCatalog, ApiKeyError, ApiKeys, CatalogError, NewApiKey, NewApiKeyRequest},
};
use subtle::ConstantTimeEq;
use tokio::sync::Mutex;

mod cache;
mod format;

use cache::Cache;
use format::PresentedKey;

/// For how long keys from the cache are used before the catalog is asked
/// whether another process has changed any.
const RECHECK_INTERVAL: Duration = Duration::from_millis(250);
/// Longest name of a key, in characters.
const MAX_NAME_CHARS: usize = 100;
/// How often an id that is taken is replaced by another one.
const ID_ATTEMPTS: usize = 4;

/// Recognises and manages API keys over a catalog.
///
/// Keys in use are cached: recognising one takes about a microsecond. What this
/// manager revokes ends at once, what another process revokes within 250 ms.
/// Keys that the catalog does not have are never kept.
pub struct ApiKeyManager {
    catalog: Arc<dyn ApiKeyCatalog>,
    recheck_interval: Duration,
    cache: RwLock<Cache>,
    /// Which generation of the catalog the cache belongs to, and who asks.
    generation: Mutex<Option<u64>>,
}

impl ApiKeyManager {
    /// A manager of the keys in this catalog.
    pub fn new(catalog: Arc<dyn ApiKeyCatalog>) -> Self {
        Self {
            catalog,
            recheck_interval: RECHECK_INTERVAL,
            cache: RwLock::default(),
            generation: Mutex::new(None),
        }
    }

    /// Asks the catalog for changes by other processes at this interval.
    #[must_use]
    pub fn with_recheck_interval(mut self, interval: Duration) -> Self {
        self.recheck_interval = interval;
        self
    }

    /// The record with this id, not older than the interval.
    async fn record(&self, id: &str) -> Result<Option<Arc<ApiKeyRecord>>, CatalogError> {
        if !self.is_fresh() {
            self.recheck().await?;
        }
        let (cached, epoch) = self.read_cache(|cache| (cache.get(id), cache.epoch()));
        if cached.is_some() {
            return Ok(cached);
        }
        let Some(record) = self.catalog.api_key(id).await?.map(Arc::new) else {
            return Ok(None);
        };
        self.write_cache(|cache| cache.insert(record.clone(), epoch));
        Ok(Some(record))
    }

    fn is_fresh(&self) -> bool {
        self.read_cache(|cache| {
            cache
                .checked_at()
                .is_some_and(|at| at.elapsed() < self.recheck_interval)
        })
    }

    /// Empties the cache where another process may have changed keys. Requests
    /// that come meanwhile wait for the one that asks.
    async fn recheck(&self) -> Result<(), CatalogError> {
        let mut known = self.generation.lock().await;
        if self.is_fresh() {
            return Ok(());
        }
        let asked_at = Instant::now();
        let current = self.catalog.api_key_generation().await?;
        let changed = known.replace(current) != Some(current);
        self.write_cache(|cache| cache.checked(asked_at, changed));
        Ok(())
    }

    fn read_cache<R>(&self, read: impl FnOnce(&Cache) -> R) -> R {
        read(&self.cache.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn write_cache<R>(&self, write: impl FnOnce(&mut Cache) -> R) -> R {
        write(&mut self.cache.write().unwrap_or_else(PoisonError::into_inner))
    }

    async fn insert(&self, request: &NewApiKeyRequest, now: u64) -> Result<NewApiKey, CatalogError> {
        let (id, key) = format::fresh_key();
        let record = ApiKeyRecord {
            id,
            name: request.name.trim().to_owned(),
            secret_hash: format::hash(&key),
            scopes: request.scopes.clone(),
            created_at: now,
            expires_at: request.expires_at,
            revoked_at: None,
        };
        self.catalog.insert_api_key(&record).await?;
        Ok(NewApiKey { record, key })
    }
}

impl fmt::Debug for ApiKeyManager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiKeyManager").finish_non_exhaustive()
    }
}

fn check(request: &NewApiKeyRequest, now: u64) -> Result<(), ApiKeyError> {
    let invalid = |field, reason| Err(ApiKeyError::Invalid { field, reason });
    let name = request.name.trim();
    if !(1..=MAX_NAME_CHARS).contains(&name.chars().count()) {
        return invalid("name", "must have 1 to 100 characters");
    }
    if name.contains(char::is_control) {
        return invalid("name", "must not contain control characters");
    }
    if request.scopes.is_empty() {
        return invalid("scopes", "cannot be empty");
    }
    if request.expires_at.is_some_and(|expires_at| expires_at <= now) {
        return invalid("expires_at", "must be in the future");
    }
    Ok(())
}

fn is_valid_at(record: &ApiKeyRecord, now: u64) -> bool {
    record.revoked_at.is_none() && record.expires_at.is_none_or(|expires_at| now < expires_at)
}

#[async_trait]
impl ApiKeys for ApiKeyManager {
    async fn authenticate(&self, key: &str) -> Result<Principal, ApiKeyError> {
        let presented = PresentedKey::parse(key).ok_or(ApiKeyError::Unknown)?;
        let record = self.record(presented.id()).await?.ok_or(ApiKeyError::Unknown)?;
        let same: bool = presented.hash().ct_eq(&record.secret_hash).into();
        if !same || !is_valid_at(&record, now_ms()) {
            return Err(ApiKeyError::Unknown);
        }
        Ok(Principal {
            key_id: record.id.clone(),
            scopes: record.scopes.clone(),
        })
    }

    async fn create(&self, request: NewApiKeyRequest) -> Result<NewApiKey, ApiKeyError> {
        let now = now_ms();
        check(&request, now)?;
        for _ in 1..ID_ATTEMPTS {
            match self.insert(&request, now).await {
                Err(CatalogError::Conflict(_)) => {}
                result => return Ok(result?),
            }
        }
        Ok(self.insert(&request, now).await?)
    }

    async fn list(&self) -> Result<Vec<ApiKeyRecord>, ApiKeyError> {
        Ok(self.catalog.api_keys().await?)
    }

    async fn revoke(&self, id: &str) -> Result<bool, ApiKeyError> {
        let revoked = self.catalog.revoke_api_key(id, now_ms()).await;
        // Even where it failed: the cache must not know better than the catalog.
        self.write_cache(|cache| cache.remove(id));
        Ok(revoked?)
    }
}
