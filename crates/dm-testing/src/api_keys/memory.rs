//! A double of the port `ApiKeys`.

use std::sync::{
    Mutex,
    atomic::{AtomicBool, Ordering},
};

use async_trait::async_trait;
use dm_core::{
    api_key::{ApiKeyRecord, KeyUsage, Principal},
    clock::now_ms,
    ports::{ApiKeyError, ApiKeys, CatalogError, NewApiKey, NewApiKeyRequest},
};
use sha2::{Digest, Sha256};

/// Keeps API keys in memory.
#[derive(Debug, Default)]
pub struct MemoryApiKeys {
    records: Mutex<Vec<ApiKeyRecord>>,
    fails: AtomicBool,
}

impl MemoryApiKeys {
    /// Without any key.
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets whoever asks find the catalog failing, or not any more.
    pub fn set_failing(&self, fails: bool) {
        self.fails.store(fails, Ordering::SeqCst);
    }

    fn ensure_working(&self) -> Result<(), CatalogError> {
        if self.fails.load(Ordering::SeqCst) {
            return Err(CatalogError::Failed("the medium is gone".into()));
        }
        Ok(())
    }
}

impl MemoryApiKeys {
    fn change<R>(&self, bearer: &Principal, change: impl FnOnce(&mut ApiKeyRecord) -> R) -> R {
        let mut records = self.records.lock().unwrap();
        let mut records = records.iter_mut();
        let record = records.find(|record| *record.id == *bearer.key_id);
        change(record.expect("a key that was recognised exists"))
    }

    /// Who bears the valid key that is meant.
    fn used(&self, is_meant: impl Fn(&ApiKeyRecord) -> bool) -> Result<Principal, ApiKeyError> {
        self.ensure_working()?;
        let mut records = self.records.lock().unwrap();
        records
            .iter_mut()
            .find(|record| is_meant(record))
            .filter(|record| is_valid_at(record, now_ms()))
            .map(|record| {
                record.usage.last_used_at = Some(now_ms());
                Principal {
                    key_id: record.id.as_str().into(),
                    name: record.name.as_str().into(),
                    rights: record.rights.clone(),
                    expires_at: record.expires_at,
                    person: None,
                }
            })
            .ok_or(ApiKeyError::Unknown)
    }
}

fn is_valid_at(record: &ApiKeyRecord, now: u64) -> bool {
    record.revoked_at.is_none() && record.expires_at.is_none_or(|at| now < at)
}

fn left(record: &ApiKeyRecord) -> Option<u64> {
    let budget = record.rights.bytes_budget?;
    Some(budget.saturating_sub(record.usage.bytes_used))
}

#[async_trait]
impl ApiKeys for MemoryApiKeys {
    async fn authenticate(&self, key: &str) -> Result<Principal, ApiKeyError> {
        let hash: [u8; 32] = Sha256::digest(key).into();
        self.used(|record| record.secret_hash == hash)
    }

    async fn bearer(&self, id: &str) -> Result<Principal, ApiKeyError> {
        self.used(|record| record.id == id)
    }

    async fn is_valid(&self, bearer: &Principal) -> Result<bool, ApiKeyError> {
        self.ensure_working()?;
        Ok(self.change(bearer, |record| is_valid_at(record, now_ms())))
    }

    fn bytes_left(&self, bearer: &Principal) -> Option<u64> {
        self.change(bearer, |record| left(record))
    }

    async fn spend(&self, bearer: &Principal, bytes: u64) -> Result<(), ApiKeyError> {
        self.change(bearer, |record| match left(record) {
            Some(left) if left < bytes => Err(ApiKeyError::OverBudget { left }),
            _ => {
                record.usage.bytes_used += bytes;
                Ok(())
            }
        })
    }

    fn note(&self, bearer: &Principal, bytes: u64) {
        self.change(bearer, |record| record.usage.bytes_used += bytes);
    }

    async fn create(&self, request: NewApiKeyRequest) -> Result<NewApiKey, ApiKeyError> {
        self.ensure_working()?;
        request.check(now_ms())?;
        let id = hex::encode(rand::random::<[u8; 6]>());
        let key = format!("dm_{id}_{}", hex::encode(rand::random::<[u8; 32]>()));
        let record = ApiKeyRecord {
            id,
            name: request.name.trim().to_owned(),
            secret_hash: Sha256::digest(&key).into(),
            rights: request.rights,
            created_at: now_ms(),
            expires_at: request.expires_at,
            revoked_at: None,
            usage: KeyUsage::default(),
        };
        self.records.lock().unwrap().push(record.clone());
        Ok(NewApiKey { record, key })
    }

    async fn list(&self) -> Result<Vec<ApiKeyRecord>, ApiKeyError> {
        self.ensure_working()?;
        Ok(self.records.lock().unwrap().clone())
    }

    async fn revoke(&self, id: &str) -> Result<bool, ApiKeyError> {
        self.ensure_working()?;
        let mut records = self.records.lock().unwrap();
        let Some(record) = records.iter_mut().find(|record| record.id == id) else {
            return Ok(false);
        };
        record.revoked_at.get_or_insert_with(now_ms);
        Ok(true)
    }
}
