//! The port [`ApiKeys`].
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::sync::Arc;

use dm_core::{
    Address,
    api_key::{KeyUsage, Principal, Rights, RouteName, Scope},
    clock::now_ms,
    ports::{ApiKeyError, ApiKeys, MAX_NAMED, NewApiKeyRequest},
};

mod memory;

pub use memory::MemoryApiKeys;

/// Every promise of [`ApiKeys`].
pub async fn run_api_keys_suite(keys: &dyn ApiKeys) {
    a_key_is_recognised_with_its_scopes(keys).await;
    a_text_that_is_no_key_is_unknown(keys).await;
    a_changed_key_is_unknown(keys).await;
    a_revoked_key_ends_at_once(keys).await;
    a_bearer_is_found_by_the_id_of_a_valid_key(keys).await;
    a_bearer_is_valid_as_long_as_its_key(keys).await;
    an_expired_key_is_unknown(keys).await;
    requests_that_are_not_valid_make_no_key(keys).await;
    the_list_has_no_secrets_and_keeps_revoked_keys(keys).await;
    what_narrows_a_key_comes_with_it(keys).await;
    a_budget_is_spent_to_its_last_byte_and_no_further(keys).await;
    a_budget_is_not_overdrawn_by_many_at_once(keys).await;
    bytes_that_cannot_be_held_back_count_beyond_the_budget(keys).await;
    the_list_shows_the_use_of_keys(keys).await;
}

fn request(scopes: &[Scope]) -> NewApiKeyRequest {
    NewApiKeyRequest {
        name: "test".to_owned(),
        rights: Arc::new(Rights::of(scopes.iter().copied())),
        expires_at: None,
    }
}

/// A key with the scope `read` that something narrows.
fn narrowed(rights: Rights) -> NewApiKeyRequest {
    NewApiKeyRequest {
        rights: Arc::new(Rights {
            scopes: [Scope::Read].into(),
            ..rights
        }),
        ..request(&[])
    }
}

fn with_budget(bytes: u64) -> NewApiKeyRequest {
    narrowed(Rights {
        bytes_budget: Some(bytes),
        ..Rights::default()
    })
}

fn numbered_address(number: usize) -> Address {
    let mut bytes = [0; 20];
    bytes[..8].copy_from_slice(&(number as u64).to_be_bytes());
    bytes.into()
}

async fn bearer_of(keys: &dyn ApiKeys, request: NewApiKeyRequest) -> Principal {
    let key = keys.create(request).await.unwrap().key;
    keys.authenticate(&key).await.unwrap()
}

async fn usage_of(keys: &dyn ApiKeys, bearer: &Principal) -> KeyUsage {
    let list = keys.list().await.unwrap();
    let record = list.iter().find(|record| *record.id == *bearer.key_id);
    record.unwrap().usage
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
        assert_eq!(*principal.key_id, *new.record.id);
        assert_eq!(*principal.rights, Rights::of(scopes));
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

/// A client that is known by its certificate has the rights of the key that it stands for.
pub async fn a_bearer_is_found_by_the_id_of_a_valid_key(keys: &dyn ApiKeys) {
    let new = keys.create(request(&[Scope::Read])).await.unwrap();
    let id = &new.record.id;
    assert_eq!(
        keys.bearer(id).await.unwrap(),
        keys.authenticate(&new.key).await.unwrap()
    );
    keys.revoke(id).await.unwrap();
    for id in [id, "nobody", new.key.as_str(), ""] {
        assert!(matches!(keys.bearer(id).await, Err(ApiKeyError::Unknown)), "{id}");
    }
}

/// Who was recognised before is told from who still counts, without a use of the key.
pub async fn a_bearer_is_valid_as_long_as_its_key(keys: &dyn ApiKeys) {
    let bearer = bearer_of(keys, request(&[Scope::Read])).await;
    let used = usage_of(keys, &bearer).await;
    assert!(keys.is_valid(&bearer).await.unwrap());
    assert_eq!(usage_of(keys, &bearer).await, used);
    keys.revoke(&bearer.key_id).await.unwrap();
    assert!(!keys.is_valid(&bearer).await.unwrap());
    let expires_at = now_ms() + 30;
    let expiring = NewApiKeyRequest {
        expires_at: Some(expires_at),
        ..request(&[Scope::Read])
    };
    let bearer = bearer_of(keys, expiring).await;
    assert_eq!(bearer.expires_at, Some(expires_at));
    while now_ms() < expires_at {
        tokio::task::yield_now().await;
    }
    assert!(!keys.is_valid(&bearer).await.unwrap());
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
        ("name", named("a\nb".to_owned())),
        ("scopes", request(&[])),
        (
            "routes",
            narrowed(Rights {
                routes: (0..=MAX_NAMED)
                    .map(|n| RouteName::of("GET", &format!("/{n}")))
                    .collect(),
                ..Rights::default()
            }),
        ),
        (
            "recipients",
            narrowed(Rights {
                recipients: (0..=MAX_NAMED).map(numbered_address).collect(),
                ..Rights::default()
            }),
        ),
        (
            "recipients",
            NewApiKeyRequest {
                rights: Arc::new(Rights {
                    recipients: [Address::ZERO].into(),
                    ..Rights::of([Scope::Admin])
                }),
                ..request(&[])
            },
        ),
        ("bytes_budget", with_budget(0)),
        ("bytes_budget", with_budget(u64::MAX)),
        (
            "expires_at",
            NewApiKeyRequest {
                expires_at: Some(now_ms()),
                ..valid.clone()
            },
        ),
        (
            "expires_at",
            NewApiKeyRequest {
                expires_at: Some(u64::MAX),
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

/// Routes, recipients and the budget are those that were asked for.
pub async fn what_narrows_a_key_comes_with_it(keys: &dyn ApiKeys) {
    let rights = Rights {
        scopes: [Scope::Share].into(),
        routes: [RouteName::of("PUT", "/objects")].into(),
        recipients: [Address::repeat_byte(1)].into(),
        bytes_budget: Some(7),
    };
    let request = NewApiKeyRequest {
        rights: Arc::new(rights.clone()),
        ..request(&[])
    };
    assert_eq!(*bearer_of(keys, request).await.rights, rights);
}

/// What has no room is refused, and takes no room.
pub async fn a_budget_is_spent_to_its_last_byte_and_no_further(keys: &dyn ApiKeys) {
    let bearer = bearer_of(keys, with_budget(10)).await;
    assert_eq!(keys.bytes_left(&bearer), Some(10));
    keys.spend(&bearer, 4).await.unwrap();
    let refused = keys.spend(&bearer, 7).await;
    assert!(
        matches!(refused, Err(ApiKeyError::OverBudget { left: 6 })),
        "{refused:?}"
    );
    keys.spend(&bearer, 6).await.unwrap();
    assert_eq!(keys.bytes_left(&bearer), Some(0));
    assert!(keys.spend(&bearer, 1).await.is_err());
    assert!(keys.spend(&bearer, 0).await.is_ok());
    let endless = bearer_of(keys, request(&[Scope::Read])).await;
    keys.spend(&endless, 1 << 50).await.unwrap();
    assert_eq!(keys.bytes_left(&endless), None);
}

/// Requests at the same time share the budget.
pub async fn a_budget_is_not_overdrawn_by_many_at_once(keys: &dyn ApiKeys) {
    const PIECE: u64 = 300 * 1024;
    let bearer = bearer_of(keys, with_budget(10 * PIECE + 1)).await;
    let spent = futures::future::join_all((0..30).map(|_| keys.spend(&bearer, PIECE))).await;
    assert_eq!(spent.iter().filter(|result| result.is_ok()).count(), 10);
    assert_eq!(keys.bytes_left(&bearer), Some(1));
}

/// An answer that was given counts, even where the budget is used up by it.
pub async fn bytes_that_cannot_be_held_back_count_beyond_the_budget(keys: &dyn ApiKeys) {
    let bearer = bearer_of(keys, with_budget(10)).await;
    keys.note(&bearer, 25);
    assert_eq!(keys.bytes_left(&bearer), Some(0));
    assert!(keys.spend(&bearer, 1).await.is_err());
    assert_eq!(usage_of(keys, &bearer).await.bytes_used, 25);
}

/// The list shows when a key was last used, and for how many bytes.
pub async fn the_list_shows_the_use_of_keys(keys: &dyn ApiKeys) {
    let new = keys.create(request(&[Scope::Read])).await.unwrap();
    assert_eq!(new.record.usage, KeyUsage::default());
    let before = now_ms();
    let bearer = keys.authenticate(&new.key).await.unwrap();
    keys.spend(&bearer, 5).await.unwrap();
    keys.note(&bearer, 3);
    let usage = usage_of(keys, &bearer).await;
    assert_eq!(usage.bytes_used, 8);
    assert!(
        usage
            .last_used_at
            .is_some_and(|at| (before..=now_ms()).contains(&at))
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_memory_api_keys_pass_the_suite() {
        run_api_keys_suite(&MemoryApiKeys::new()).await;
    }
}
