//! What several test files need.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
};

use async_trait::async_trait;
use dm_core::{
    api_key::{ApiKeyRecord, KeyUsage},
    ports::{ApiKeyCatalog, CatalogError},
};

/// A catalog of API keys in memory, which counts how often it is read and can
/// play another process.
#[derive(Default)]
pub(crate) struct TestCatalog {
    keys: Mutex<Vec<ApiKeyRecord>>,
    generation: AtomicU64,
    reads: AtomicU64,
    writes_of_use: AtomicU64,
    fails: AtomicBool,
}

impl TestCatalog {
    /// Lets every question find the catalog failing.
    pub(crate) fn fail(&self) {
        self.fails.store(true, Relaxed);
    }

    fn ensure_working(&self) -> Result<(), CatalogError> {
        if self.fails.load(Relaxed) {
            return Err(CatalogError::Failed("the medium is gone".into()));
        }
        Ok(())
    }

    /// Reads of single keys so far.
    pub(crate) fn reads(&self) -> u64 {
        self.reads.load(Relaxed)
    }

    /// How often the use of keys was written so far.
    pub(crate) fn writes_of_use(&self) -> u64 {
        self.writes_of_use.load(Relaxed)
    }

    /// What a command-line tool beside this process does.
    pub(crate) fn revoke_from_another_process(&self, id: &str) {
        self.set_revoked(id, 1);
        self.generation.fetch_add(1, Relaxed);
    }

    fn set_revoked(&self, id: &str, now: u64) -> bool {
        let mut keys = self.keys.lock().unwrap();
        let key = keys.iter_mut().find(|key| key.id == id);
        key.map(|key| key.revoked_at.get_or_insert(now)).is_some()
    }
}

#[async_trait]
impl ApiKeyCatalog for TestCatalog {
    async fn insert_api_key(&self, key: &ApiKeyRecord) -> Result<(), CatalogError> {
        self.keys.lock().unwrap().push(key.clone());
        Ok(())
    }

    async fn api_key(&self, id: &str) -> Result<Option<ApiKeyRecord>, CatalogError> {
        self.ensure_working()?;
        self.reads.fetch_add(1, Relaxed);
        let found = self.keys.lock().unwrap().iter().find(|key| key.id == id).cloned();
        // Lets a revocation come between the read and what follows from it.
        tokio::task::yield_now().await;
        Ok(found)
    }

    async fn api_keys(&self) -> Result<Vec<ApiKeyRecord>, CatalogError> {
        Ok(self.keys.lock().unwrap().clone())
    }

    async fn revoke_api_key(&self, id: &str, now: u64) -> Result<bool, CatalogError> {
        Ok(self.set_revoked(id, now))
    }

    async fn add_api_key_usage(
        &self,
        usage: &[(Arc<str>, KeyUsage)],
    ) -> Result<Vec<(Arc<str>, KeyUsage)>, CatalogError> {
        self.writes_of_use.fetch_add(1, Relaxed);
        let mut keys = self.keys.lock().unwrap();
        let mut kept = Vec::new();
        for (id, usage) in usage {
            if let Some(key) = keys.iter_mut().find(|key| *key.id == **id) {
                key.usage.bytes_used += usage.bytes_used;
                key.usage.last_used_at = key.usage.last_used_at.max(usage.last_used_at);
                kept.push((id.clone(), key.usage));
            }
        }
        Ok(kept)
    }

    async fn api_key_generation(&self) -> Result<u64, CatalogError> {
        self.ensure_working()?;
        Ok(self.generation.load(Relaxed))
    }
}
