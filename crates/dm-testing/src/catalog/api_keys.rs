//! What [`ApiKeyCatalog`] promises.

#![allow(missing_docs, reason = "the name of a check is the promise")]

use std::sync::Arc;

use dm_core::{
    api_key::{ApiKeyRecord, KeyUsage, Rights, Scope},
    ports::{ApiKeyCatalog, CatalogError},
};

use super::samples::api_key;

/// Makes a test of each promise of [`ApiKeyCatalog`].
#[macro_export]
macro_rules! api_key_catalog_conformance {
    ($empty:path) => {
        $crate::conformance_tests! { $empty, api_keys:
            a_key_is_kept_as_it_was_given,
            the_id_of_a_key_is_taken_once,
            keys_are_listed_oldest_first,
            a_revoked_key_says_when_it_was_first_revoked,
            every_change_of_the_keys_makes_a_new_generation,
            the_use_of_keys_is_kept_and_is_no_change_of_them,
        }
    };
}

pub async fn a_key_is_kept_as_it_was_given(catalog: &impl ApiKeyCatalog) {
    let endless = ApiKeyRecord {
        expires_at: None,
        rights: Arc::new(Rights::of(Scope::ALL)),
        ..api_key("b", 2)
    };
    for key in [api_key("a", 1), endless] {
        catalog.insert_api_key(&key).await.unwrap();
        assert_eq!(catalog.api_key(&key.id).await.unwrap(), Some(key));
    }
    assert_eq!(catalog.api_key("c").await.unwrap(), None);
}

pub async fn the_id_of_a_key_is_taken_once(catalog: &impl ApiKeyCatalog) {
    catalog.insert_api_key(&api_key("a", 1)).await.unwrap();
    let second = catalog.insert_api_key(&api_key("a", 2)).await;
    assert!(matches!(second, Err(CatalogError::Conflict(_))), "{second:?}");
    assert_eq!(catalog.api_keys().await.unwrap(), [api_key("a", 1)]);
}

pub async fn keys_are_listed_oldest_first(catalog: &impl ApiKeyCatalog) {
    for (id, created_at) in [("b", 2), ("a", 3), ("c", 1)] {
        catalog.insert_api_key(&api_key(id, created_at)).await.unwrap();
    }
    assert_eq!(
        catalog.api_keys().await.unwrap(),
        [api_key("c", 1), api_key("b", 2), api_key("a", 3)]
    );
}

pub async fn a_revoked_key_says_when_it_was_first_revoked(catalog: &impl ApiKeyCatalog) {
    catalog.insert_api_key(&api_key("a", 1)).await.unwrap();
    assert!(catalog.revoke_api_key("a", 10).await.unwrap());
    assert!(catalog.revoke_api_key("a", 20).await.unwrap());
    assert!(!catalog.revoke_api_key("b", 10).await.unwrap());
    let revoked = catalog.api_key("a").await.unwrap().unwrap();
    assert_eq!(
        revoked,
        ApiKeyRecord {
            revoked_at: Some(10),
            ..api_key("a", 1)
        }
    );
}

pub async fn every_change_of_the_keys_makes_a_new_generation(catalog: &impl ApiKeyCatalog) {
    let empty = catalog.api_key_generation().await.unwrap();
    catalog.insert_api_key(&api_key("a", 1)).await.unwrap();
    let with_key = catalog.api_key_generation().await.unwrap();
    assert_ne!(empty, with_key);
    assert_eq!(catalog.api_key_generation().await.unwrap(), with_key);
    catalog.revoke_api_key("a", 10).await.unwrap();
    assert_ne!(catalog.api_key_generation().await.unwrap(), with_key);
}

pub async fn the_use_of_keys_is_kept_and_is_no_change_of_them(catalog: &impl ApiKeyCatalog) {
    for id in ["a", "b"] {
        catalog.insert_api_key(&api_key(id, 1)).await.unwrap();
    }
    let generation = catalog.api_key_generation().await.unwrap();
    let usage = |bytes_used, last_used_at| KeyUsage {
        bytes_used,
        last_used_at: Some(last_used_at),
    };
    let first = [("a".into(), usage(10, 5)), ("nobody".into(), usage(1, 1))];
    let kept = catalog.add_api_key_usage(&first).await.unwrap();
    assert_eq!(kept, first[..1]);
    // What another process adds, which may have seen the key earlier.
    let second = [("a".into(), usage(7, 4)), ("b".into(), usage(1 << 60, 7))];
    let kept = catalog.add_api_key_usage(&second).await.unwrap();
    assert_eq!(
        kept,
        [("a".into(), usage(17, 5)), ("b".into(), usage(1 << 60, 7))]
    );
    let third = [("a".into(), usage(0, 6))];
    catalog.add_api_key_usage(&third).await.unwrap();
    assert_eq!(catalog.add_api_key_usage(&[]).await.unwrap(), []);
    let used = |id, usage| ApiKeyRecord {
        usage,
        ..api_key(id, 1)
    };
    let expected = [used("a", usage(17, 6)), used("b", usage(1 << 60, 7))];
    assert_eq!(catalog.api_keys().await.unwrap(), expected);
    assert_eq!(catalog.api_key("b").await.unwrap().as_ref(), expected.last());
    assert_eq!(catalog.api_key("nobody").await.unwrap(), None);
    assert_eq!(catalog.api_key_generation().await.unwrap(), generation);
}
