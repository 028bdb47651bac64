//! The port [`ApiKeys`].
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::{collections::BTreeSet, sync::Mutex};

use async_trait::async_trait;
use sha2::{Digest, Sha256};

use crate::{
    api_key::{ApiKeyRecord, Principal, Scope},
    clock::now_ms,
    ports::{ApiKeyError, ApiKeys, NewApiKey, NewApiKeyRequest},
};

/// Keeps API keys in memory.
#[derive(Debug, Default)]
pub struct MemoryApiKeys {
    records: Mutex<Vec<ApiKeyRecord>>,
}

impl MemoryApiKeys {
    /// Without any key.
    pub fn new() -> Self {
        Self::default()
    }
}

fn check(request: &NewApiKeyRequest) -> Result<(), ApiKeyError> {
    let invalid = |field, reason| Err(ApiKeyError::Invalid { field, reason });
    if !(1..=100).contains(&request.name.trim().chars().count()) {
        return invalid("name", "must have 1 to 100 characters");
    }
    if request.scopes.is_empty() {
        return invalid("scopes", "cannot be empty");
    }
    if request.expires_at.is_some_and(|at| at <= now_ms()) {
        return invalid("expires_at", "must be in the future");
    }
    Ok(())
}

#[async_trait]
impl ApiKeys for MemoryApiKeys {
    async fn authenticate(&self, key: &str) -> Result<Principal, ApiKeyError> {
        let hash: [u8; 32] = Sha256::digest(key).into();
        let records = self.records.lock().unwrap();
        records
            .iter()
            .find(|record| record.secret_hash == hash)
            .filter(|record| record.revoked_at.is_none())
            .filter(|record| record.expires_at.is_none_or(|at| now_ms() < at))
            .map(|record| Principal {
                key_id: record.id.clone(),
                scopes: record.scopes.clone(),
            })
            .ok_or(ApiKeyError::Unknown)
    }

    async fn create(&self, request: NewApiKeyRequest) -> Result<NewApiKey, ApiKeyError> {
        check(&request)?;
        let id = hex::encode(rand::random::<[u8; 6]>());
        let key = format!("dm_{id}_{}", hex::encode(rand::random::<[u8; 32]>()));
        let record = ApiKeyRecord {
            id,
            name: request.name.trim().to_owned(),
            secret_hash: Sha256::digest(&key).into(),
            scopes: request.scopes,
            created_at: now_ms(),
            expires_at: request.expires_at,
            revoked_at: None,
        };
        self.records.lock().unwrap().push(record.clone());
        Ok(NewApiKey { record, key })
    }

    async fn list(&self) -> Result<Vec<ApiKeyRecord>, ApiKeyError> {
        Ok(self.records.lock().unwrap().clone())
    }

    async fn revoke(&self, id: &str) -> Result<bool, ApiKeyError> {
        let mut records = self.records.lock().unwrap();
        let Some(record) = records.iter_mut().find(|record| record.id == id) else {
            return Ok(false);
        };
        record.revoked_at.get_or_insert_with(now_ms);
        Ok(true)
    }
}

/// Every promise of [`ApiKeys`].
pub async fn run_api_keys_suite(keys: &dyn ApiKeys) {
    a_key_is_recognised_with_its_scopes(keys).await;
    a_text_that_is_no_key_is_unknown(keys).await;
    a_changed_key_is_unknown(keys).await;
    a_revoked_key_ends_at_once(keys).await;
    an_expired_key_is_unknown(keys).await;
    requests_that_are_not_valid_make_no_key(keys).await;
    the_list_has_no_secrets_and_keeps_revoked_keys(keys).await;
}

fn request(scopes: &[Scope]) -> NewApiKeyRequest {
    NewApiKeyRequest {
        name: "test".to_owned(),
        scopes: scopes.iter().copied().collect(),
        expires_at: None,
    }
}

async fn is_unknown(keys: &dyn ApiKeys, key: &str) -> bool {
    matches!(keys.authenticate(key).await, Err(ApiKeyError::Unknown))
}

/// A new key has the form `dm_<id>_<secret>` and bears its scopes.
pub async fn a_key_is_recognised_with_its_scopes(keys: &dyn ApiKeys) {
    let scopes = [Scope::Share, Scope::Read];
    let new = keys.create(request(&scopes)).await.unwrap();
    assert!(new.key.starts_with(&format!("dm_{}_", new.record.id)));
    for _ in 0..2 {
        let principal = keys.authenticate(&new.key).await.unwrap();
        assert_eq!(principal.key_id, new.record.id);
        assert_eq!(principal.scopes, BTreeSet::from(scopes));
    }
}

/// Anything else than a key is unknown, whatever its length or characters.
pub async fn a_text_that_is_no_key_is_unknown(keys: &dyn ApiKeys) {
    let long = "dm_".repeat(100_000);
    let made_up = format!("dm_{}_{}", "0".repeat(12), "0".repeat(64));
    for text in [
        "", "dm", "dm_", "dm__", "dm_1_2", "\u{0}", "dm_ä_ö", &made_up, &long,
    ] {
        assert!(is_unknown(keys, text).await);
    }
}

/// No character of a key can be changed, added or left out.
pub async fn a_changed_key_is_unknown(keys: &dyn ApiKeys) {
    let key = keys.create(request(&[Scope::Read])).await.unwrap().key;
    for position in 0..key.len() {
        let mut changed = key.clone();
        let replacement = if &key[position..=position] == "0" {
            "1"
        } else {
            "0"
        };
        changed.replace_range(position..=position, replacement);
        assert!(is_unknown(keys, &changed).await, "character {position}");
        assert!(is_unknown(keys, &key[..position]).await, "{position} characters");
    }
    assert!(is_unknown(keys, &format!("{key}0")).await);
    assert!(is_unknown(keys, &key.to_uppercase()).await);
}

/// Revoking ends a key that was in use a moment ago.
pub async fn a_revoked_key_ends_at_once(keys: &dyn ApiKeys) {
    let new = keys.create(request(&[Scope::Admin])).await.unwrap();
    let other = keys.create(request(&[Scope::Admin])).await.unwrap();
    keys.authenticate(&new.key).await.unwrap();
    assert!(keys.revoke(&new.record.id).await.unwrap());
    assert!(is_unknown(keys, &new.key).await);
    assert!(keys.authenticate(&other.key).await.is_ok());
    assert!(keys.revoke(&new.record.id).await.unwrap());
    assert!(!keys.revoke("nobody").await.unwrap());
}

/// A key ends by itself.
pub async fn an_expired_key_is_unknown(keys: &dyn ApiKeys) {
    let expires_at = now_ms() + 30;
    let expiring = NewApiKeyRequest {
        expires_at: Some(expires_at),
        ..request(&[Scope::Read])
    };
    let key = keys.create(expiring).await.unwrap().key;
    while now_ms() < expires_at {
        tokio::task::yield_now().await;
    }
    assert!(is_unknown(keys, &key).await);
}

/// Name, scopes and time of expiry are checked.
pub async fn requests_that_are_not_valid_make_no_key(keys: &dyn ApiKeys) {
    let count = keys.list().await.unwrap().len();
    let valid = request(&[Scope::Read]);
    let named = |name: String| NewApiKeyRequest {
        name,
        ..valid.clone()
    };
    let cases = [
        ("name", named(String::new())),
        ("name", named("  ".to_owned())),
        ("name", named("ä".repeat(101))),
        ("scopes", request(&[])),
        (
            "expires_at",
            NewApiKeyRequest {
                expires_at: Some(now_ms()),
                ..valid.clone()
            },
        ),
    ];
    for (expected, request) in cases {
        let error = keys.create(request).await.err();
        assert!(matches!(error, Some(ApiKeyError::Invalid { field, .. }) if field == expected));
    }
    assert_eq!(keys.list().await.unwrap().len(), count);
    assert!(keys.create(named("ä".repeat(100))).await.is_ok());
}

/// The list shows every key that was made, without what would let one use it.
pub async fn the_list_has_no_secrets_and_keeps_revoked_keys(keys: &dyn ApiKeys) {
    let new = keys.create(request(&[Scope::Read])).await.unwrap();
    keys.revoke(&new.record.id).await.unwrap();
    let list = keys.list().await.unwrap();
    let listed = list.iter().find(|record| record.id == new.record.id).unwrap();
    assert!(listed.revoked_at.is_some());
    let shown = serde_json::to_string(&list).unwrap() + &format!("{list:?}");
    assert!(!shown.contains(new.key.split('_').nth(2).unwrap()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_memory_api_keys_pass_the_suite() {
        run_api_keys_suite(&MemoryApiKeys::new()).await;
    }
}
