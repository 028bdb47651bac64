use std::{
    convert::Infallible,
    fmt,
    sync::{self, Arc, PoisonError, RwLock},
    time::{Duration, Instant},
};

use async_trait::async_trait;
use dm_core::{
    api_key::{ApiKeyRecord, KeyUsage, Principal},
    clock::now_ms,
    ports::{ApiKeyCatalog, ApiKeyError, ApiKeys, CatalogError, NewApiKey, NewApiKeyRequest},
};
use subtle::ConstantTimeEq;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

mod cache;
mod format;
mod ledger;

use cache::Cache;
use format::PresentedKey;
use ledger::Ledger;

/// For how long keys from the cache are used before the catalog is asked
/// whether another process has changed any.
const RECHECK_INTERVAL: Duration = Duration::from_millis(250);
/// For how long after the catalog was last asked the keys in the cache count while it
/// fails: no longer than it may take until a key that another process revokes ends.
const GRACE: Duration = Duration::from_secs(1);
/// Between two times that the use of keys is kept.
const KEEP_INTERVAL: Duration = Duration::from_secs(10);
/// How often an id that is taken is replaced by another one.
const ID_ATTEMPTS: usize = 4;

/// Recognises and manages API keys over a catalog.
///
/// Keys in use are cached: recognising one takes about a microsecond. What this
/// manager revokes ends at once, what another process revokes within 250 ms, or
/// within a second while the catalog fails. Keys that the catalog does not have are
/// never kept.
///
/// The use of keys is counted in memory. [`run`](Self::run) keeps it every ten
/// seconds; what passes for a key with a budget is kept at each MiB, too. Then it
/// also learns what other instances have counted: each lets at most a MiB pass
/// beyond a budget.
pub struct ApiKeyManager {
    catalog: Arc<dyn ApiKeyCatalog>,
    recheck_interval: Duration,
    grace: Duration,
    cache: RwLock<Cache>,
    /// Which generation of the catalog the cache belongs to, and who asks.
    generation: Mutex<Option<u64>>,
    ledger: sync::Mutex<Ledger>,
    /// Held by who writes the ledger down.
    keeping: Mutex<()>,
}

impl ApiKeyManager {
    /// A manager of the keys in this catalog.
    pub fn new(catalog: Arc<dyn ApiKeyCatalog>) -> Self {
        Self {
            catalog,
            recheck_interval: RECHECK_INTERVAL,
            grace: GRACE,
            cache: RwLock::default(),
            generation: Mutex::new(None),
            ledger: sync::Mutex::default(),
            keeping: Mutex::new(()),
        }
    }

    /// Asks the catalog for changes by other processes at this interval.
    #[must_use]
    pub fn with_recheck_interval(mut self, interval: Duration) -> Self {
        self.recheck_interval = interval;
        self
    }

    /// Lets cached keys count for so long after the catalog last answered while it fails.
    #[must_use]
    pub fn with_grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// Keeps the use of keys at intervals, and once more at the end.
    ///
    /// # Errors
    /// None: where the catalog fails, the use is kept later.
    pub async fn run(&self, shutdown: CancellationToken) -> Result<(), Infallible> {
        let mut is_over = false;
        while !is_over {
            let pause = tokio::time::sleep(KEEP_INTERVAL);
            is_over = shutdown.run_until_cancelled(pause).await.is_none();
            if let Err(error) = self.keep().await {
                tracing::warn!(%error, "the use of API keys could not be kept");
            }
        }
        Ok(())
    }

    async fn keep(&self) -> Result<(), CatalogError> {
        let _keeping = self.keeping.lock().await;
        self.write_down().await
    }

    /// Waits until so little of what passed for the key is not kept that more
    /// may pass. Of those that wait, one writes for all.
    async fn keep_for(&self, bearer: &Principal) -> Result<(), CatalogError> {
        if !self.ledger().must_be_kept(bearer) {
            return Ok(());
        }
        let _keeping = self.keeping.lock().await;
        if self.ledger().must_be_kept(bearer) {
            self.write_down().await?;
        }
        Ok(())
    }

    async fn write_down(&self) -> Result<(), CatalogError> {
        let unkept = self.ledger().unkept();
        if !unkept.is_empty() {
            let kept = self.catalog.add_api_key_usage(&unkept).await?;
            self.ledger().kept(&unkept, &kept);
        }
        Ok(())
    }

    fn ledger(&self) -> sync::MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The record with this id, not older than the interval.
    async fn record(&self, id: &str) -> Result<Option<Arc<ApiKeyRecord>>, CatalogError> {
        if !self.is_checked_within(self.recheck_interval)
            && let Err(error) = self.recheck().await
        {
            let cached = self.read_cache(|cache| cache.get(id));
            let still_counts = cached.is_some() && self.is_checked_within(self.grace);
            return if still_counts { Ok(cached) } else { Err(error) };
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

    fn is_checked_within(&self, time: Duration) -> bool {
        let checked_at = self.read_cache(Cache::checked_at);
        checked_at.is_some_and(|at| at.elapsed() < time)
    }

    /// Empties the cache where another process may have changed keys. Requests
    /// that come meanwhile wait for the one that asks.
    async fn recheck(&self) -> Result<(), CatalogError> {
        let mut known = self.generation.lock().await;
        if self.is_checked_within(self.recheck_interval) {
            return Ok(());
        }
        let asked_at = Instant::now();
        let current = self.catalog.api_key_generation().await?;
        let changed = known.replace(current) != Some(current);
        self.write_cache(|cache| cache.checked(asked_at, changed));
        Ok(())
    }

    /// Who bears a key, which counts as used now.
    fn used(&self, record: &ApiKeyRecord) -> Result<Principal, ApiKeyError> {
        let now = now_ms();
        if !is_valid_at(record, now) {
            return Err(ApiKeyError::Unknown);
        }
        let key_id: Arc<str> = record.id.as_str().into();
        self.ledger().touch(&key_id, record.usage, now);
        Ok(Principal {
            key_id,
            name: record.name.as_str().into(),
            rights: record.rights.clone(),
            expires_at: record.expires_at,
            person: None,
        })
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
            rights: request.rights.clone(),
            created_at: now,
            expires_at: request.expires_at,
            revoked_at: None,
            usage: KeyUsage::default(),
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

fn is_valid_at(record: &ApiKeyRecord, now: u64) -> bool {
    record.revoked_at.is_none() && record.expires_at.is_none_or(|expires_at| now < expires_at)
}

#[async_trait]
impl ApiKeys for ApiKeyManager {
    async fn authenticate(&self, key: &str) -> Result<Principal, ApiKeyError> {
        let presented = PresentedKey::parse(key).ok_or(ApiKeyError::Unknown)?;
        let record = self.record(presented.id()).await?.ok_or(ApiKeyError::Unknown)?;
        let same: bool = presented.hash().ct_eq(&record.secret_hash).into();
        if !same {
            return Err(ApiKeyError::Unknown);
        }
        self.used(&record)
    }

    async fn bearer(&self, id: &str) -> Result<Principal, ApiKeyError> {
        let record = self.record(id).await?.ok_or(ApiKeyError::Unknown)?;
        self.used(&record)
    }

    async fn is_valid(&self, bearer: &Principal) -> Result<bool, ApiKeyError> {
        let record = self.record(&bearer.key_id).await?;
        Ok(record.is_some_and(|record| is_valid_at(&record, now_ms())))
    }

    fn bytes_left(&self, bearer: &Principal) -> Option<u64> {
        self.ledger().left(bearer)
    }

    async fn spend(&self, bearer: &Principal, bytes: u64) -> Result<(), ApiKeyError> {
        let spent = self.ledger().spend(bearer, bytes);
        spent.map_err(|left| ApiKeyError::OverBudget { left })?;
        Ok(self.keep_for(bearer).await?)
    }

    fn note(&self, bearer: &Principal, bytes: u64) {
        self.ledger().note(bearer, bytes);
    }

    async fn create(&self, request: NewApiKeyRequest) -> Result<NewApiKey, ApiKeyError> {
        let now = now_ms();
        request.check(now)?;
        for _ in 1..ID_ATTEMPTS {
            match self.insert(&request, now).await {
                Err(CatalogError::Conflict(_)) => {}
                result => return Ok(result?),
            }
        }
        Ok(self.insert(&request, now).await?)
    }

    async fn list(&self) -> Result<Vec<ApiKeyRecord>, ApiKeyError> {
        let mut keys = self.catalog.api_keys().await?;
        let ledger = self.ledger();
        for key in &mut keys {
            key.usage = ledger.usage(&key.id).unwrap_or(key.usage);
        }
        Ok(keys)
    }

    async fn revoke(&self, id: &str) -> Result<bool, ApiKeyError> {
        let revoked = self.catalog.revoke_api_key(id, now_ms()).await;
        // Even where it failed: the cache must not know better than the catalog.
        self.write_cache(|cache| cache.remove(id));
        Ok(revoked?)
    }
}
