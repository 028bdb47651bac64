//! API keys over a catalog that other processes change, too.
#![allow(clippy::unwrap_used, reason = "a helper that fails is a test that fails")]

use std::{sync::Arc, time::Duration};

use dm_core::{
    api_key::Scope,
    ports::{ApiKeyError, ApiKeys, NewApiKey, NewApiKeyRequest},
};
use dm_keys::ApiKeyManager;

mod support;

use support::TestCatalog;

fn manager(recheck_interval: Duration) -> (Arc<TestCatalog>, Arc<ApiKeyManager>) {
    let catalog = Arc::new(TestCatalog::default());
    let manager = ApiKeyManager::new(catalog.clone()).with_recheck_interval(recheck_interval);
    (catalog, Arc::new(manager))
}

async fn new_key(manager: &ApiKeyManager) -> NewApiKey {
    let request = NewApiKeyRequest {
        name: "client".to_owned(),
        scopes: [Scope::Read].into(),
        expires_at: None,
    };
    manager.create(request).await.unwrap()
}

#[tokio::test]
async fn a_key_in_use_is_read_from_the_catalog_once() {
    let (catalog, manager) = manager(Duration::from_secs(3600));
    let key = new_key(&manager).await.key;
    for _ in 0..100 {
        manager.authenticate(&key).await.unwrap();
    }
    assert_eq!(catalog.reads(), 1);
}

#[tokio::test]
async fn a_wrong_secret_for_a_known_id_does_not_reach_the_catalog() {
    let (catalog, manager) = manager(Duration::from_secs(3600));
    let new = new_key(&manager).await;
    manager.authenticate(&new.key).await.unwrap();
    let guess = format!("dm_{}_{}", new.record.id, "0".repeat(64));
    for _ in 0..100 {
        assert!(matches!(
            manager.authenticate(&guess).await,
            Err(ApiKeyError::Unknown)
        ));
    }
    assert_eq!(catalog.reads(), 1);
}

#[tokio::test]
async fn what_has_not_the_form_of_a_key_does_not_reach_the_catalog() {
    let (catalog, manager) = manager(Duration::ZERO);
    let long = "a".repeat(1 << 20);
    for text in ["", "dm_0_0", "x", long.as_str()] {
        assert!(matches!(
            manager.authenticate(text).await,
            Err(ApiKeyError::Unknown)
        ));
    }
    assert_eq!(catalog.reads(), 0);
}

#[tokio::test]
async fn a_revocation_by_another_process_counts_after_the_interval() {
    let (catalog, manager) = manager(Duration::ZERO);
    let new = new_key(&manager).await;
    manager.authenticate(&new.key).await.unwrap();
    catalog.revoke_from_another_process(&new.record.id);
    assert!(matches!(
        manager.authenticate(&new.key).await,
        Err(ApiKeyError::Unknown)
    ));
}

#[tokio::test]
async fn a_key_of_another_process_is_recognised_at_once() {
    let (catalog, manager) = manager(Duration::from_secs(3600));
    let first = new_key(&manager).await.key;
    manager.authenticate(&first).await.unwrap();
    let other_process = ApiKeyManager::new(catalog.clone());
    let key = new_key(&other_process).await.key;
    assert!(manager.authenticate(&key).await.is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_revoked_amid_requests_never_comes_back() {
    let (_, manager) = manager(Duration::from_secs(3600));
    for _ in 0..50 {
        let new = new_key(&manager).await;
        let readers: Vec<_> = (0..8)
            .map(|_| {
                let (manager, key) = (manager.clone(), new.key.clone());
                tokio::spawn(async move {
                    let _ = manager.authenticate(&key).await;
                })
            })
            .collect();
        manager.revoke(&new.record.id).await.unwrap();
        for reader in readers {
            reader.await.unwrap();
        }
        assert!(matches!(
            manager.authenticate(&new.key).await,
            Err(ApiKeyError::Unknown)
        ));
    }
}
