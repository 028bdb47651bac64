//! API keys over a catalog that other processes change, too.

use std::{sync::Arc, time::Duration};

use dm_core::{
    api_key::{Principal, Rights, Scope},
    ports::{ApiKeyCatalog, ApiKeyError, ApiKeys, NewApiKey, NewApiKeyRequest},
};
use dm_keys::ApiKeyManager;
use tokio_util::sync::CancellationToken;

use crate::support::TestCatalog;

fn manager(recheck_interval: Duration) -> (Arc<TestCatalog>, Arc<ApiKeyManager>) {
    let catalog = Arc::new(TestCatalog::default());
    let manager = ApiKeyManager::new(catalog.clone()).with_recheck_interval(recheck_interval);
    (catalog, Arc::new(manager))
}

async fn new_key(manager: &ApiKeyManager) -> NewApiKey {
    let request = NewApiKeyRequest {
        name: "client".to_owned(),
        rights: Arc::new(Rights::of([Scope::Read])),
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
async fn keys_in_use_count_for_a_second_while_the_catalog_fails() {
    for (grace, still_counts) in [(Duration::from_secs(3600), true), (Duration::ZERO, false)] {
        let catalog = Arc::new(TestCatalog::default());
        let manager = ApiKeyManager::new(catalog.clone())
            .with_recheck_interval(Duration::ZERO)
            .with_grace(grace);
        let (used, unused) = (new_key(&manager).await.key, new_key(&manager).await.key);
        let bearer = manager.authenticate(&used).await.unwrap();
        catalog.fail();
        let again = manager.authenticate(&used).await;
        assert_eq!(again.is_ok(), still_counts, "{again:?}");
        assert_eq!(manager.is_valid(&bearer).await.is_ok(), still_counts);
        // Nobody is called unknown of whom nothing can be said.
        let never_seen = manager.authenticate(&unused).await;
        assert!(
            matches!(never_seen, Err(ApiKeyError::Catalog(_))),
            "{never_seen:?}"
        );
        manager.revoke(&bearer.key_id).await.unwrap();
        assert!(
            manager.authenticate(&used).await.is_err(),
            "an own revocation counts at once"
        );
    }
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

async fn bearer_with_budget(manager: &ApiKeyManager, bytes: u64) -> (String, Principal) {
    let request = NewApiKeyRequest {
        name: "client".to_owned(),
        rights: Arc::new(Rights {
            bytes_budget: Some(bytes),
            ..Rights::of([Scope::Read])
        }),
        expires_at: None,
    };
    let key = manager.create(request).await.unwrap().key;
    let bearer = manager.authenticate(&key).await.unwrap();
    (key, bearer)
}

#[tokio::test]
async fn a_process_that_is_killed_gives_less_than_a_mebibyte_of_a_budget_back() {
    const PIECE: u64 = 100_000;
    let (catalog, manager) = manager(Duration::from_secs(3600));
    let (key, bearer) = bearer_with_budget(&manager, 100 * PIECE).await;
    for _ in 0..95 {
        manager.spend(&bearer, PIECE).await.unwrap();
    }
    // Nothing is told to this one that goes on where the other was killed.
    let next = ApiKeyManager::new(catalog.clone());
    let bearer = next.authenticate(&key).await.unwrap();
    let left = next.bytes_left(&bearer).unwrap();
    assert!((5 * PIECE..5 * PIECE + (1 << 20)).contains(&left), "{left}");
    assert!(next.spend(&bearer, left + 1).await.is_err());
    assert!(catalog.writes_of_use() < 10, "not one write for each piece");
}

#[tokio::test]
async fn instances_overdraw_a_budget_by_less_than_a_mebibyte_each() {
    const PIECE: u64 = 100_000;
    const BUDGET: u64 = 100 * PIECE;
    let (catalog, manager) = manager(Duration::from_secs(3600));
    let (key, _) = bearer_with_budget(&manager, BUDGET).await;
    let instances = [0; 3].map(|_| ApiKeyManager::new(catalog.clone()));
    let mut passed = 0;
    for round in 0..300 {
        let instance = &instances[round % instances.len()];
        let bearer = instance.authenticate(&key).await.unwrap();
        if instance.spend(&bearer, PIECE).await.is_ok() {
            passed += PIECE;
        }
    }
    assert!(passed >= BUDGET - PIECE, "{passed}");
    assert!(passed < BUDGET + (instances.len() as u64) * (1 << 20), "{passed}");
}

#[tokio::test(start_paused = true)]
async fn use_is_kept_at_intervals_and_at_the_end() {
    let (catalog, manager) = manager(Duration::from_secs(3600));
    let new = new_key(&manager).await;
    let shutdown = CancellationToken::new();
    let running = tokio::spawn({
        let (manager, shutdown) = (manager.clone(), shutdown.clone());
        async move { manager.run(shutdown).await }
    });
    let bearer = manager.authenticate(&new.key).await.unwrap();
    for _ in 0..1000 {
        manager.spend(&bearer, 1 << 20).await.unwrap();
    }
    assert_eq!(catalog.writes_of_use(), 0, "no write for a request");
    let kept = || async { catalog.api_keys().await.unwrap().remove(0).usage };
    tokio::time::sleep(Duration::from_secs(11)).await;
    assert_eq!(kept().await.bytes_used, 1000 << 20);
    assert!(kept().await.last_used_at.is_some());
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(catalog.writes_of_use(), 1, "an unused key is not written again");
    manager.note(&bearer, 7);
    shutdown.cancel();
    running.await.unwrap().unwrap();
    assert_eq!(kept().await.bytes_used, (1000 << 20) + 7);
}
