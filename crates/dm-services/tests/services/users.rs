//! Authorised users: added, listed, believed, removed.

use std::sync::Arc;

use dm_core::{
    ports::{AuthorizedUsers, CatalogError, Signer},
    user::{AuthorizedUser, KeyKind, UserId},
};
use dm_services::{Authorizer, AuthorizerError};
use dm_testing::{
    catalog::MemoryCatalog,
    signer::TestSigner,
    user_keys::{AccountKeys, signed},
};

const MESSAGE: &str = "{\"said\":\"näher\"}";

fn authorizer() -> Authorizer {
    Authorizer::new(Arc::new(MemoryCatalog::new()), Arc::new(AccountKeys))
}

fn id(text: &str) -> UserId {
    text.parse().unwrap()
}

async fn added(authorizer: &Authorizer, name: &str, account: u8) -> (UserId, TestSigner) {
    let signer = TestSigner::new(account);
    let address = signer.address().to_string();
    let user = authorizer.add(id(name), &address).await.unwrap();
    assert_eq!(user.kind, KeyKind::Ethereum);
    assert_eq!((&user.public_key, &user.fingerprint), (&address, &address));
    (user.id, signer)
}

#[tokio::test]
async fn a_user_is_added_once_and_listed() {
    let authorizer = authorizer();
    let (first, _) = added(&authorizer, "listed-1", 1).await;
    let (second, _) = added(&authorizer, "listed-2", 2).await;
    let other_key = TestSigner::new(3).address().to_string();
    let again = authorizer.add(first.clone(), &other_key).await;
    assert!(matches!(again, Err(AuthorizerError::Exists(taken)) if taken == first));
    let page = authorizer.list(None, 1).await.unwrap();
    assert_eq!(page[0].id, first);
    assert!(page[0].added_at > 0);
    let rest = authorizer.list(Some(&first), 9).await.unwrap();
    assert_eq!(rest.into_iter().map(|user| user.id).collect::<Vec<_>>(), [second]);
}

#[tokio::test]
async fn a_user_without_a_key_is_not_added() {
    let authorizer = authorizer();
    let refused = authorizer.add(id("keyless"), "ssh-ed25519 AAAA").await;
    assert!(matches!(refused, Err(AuthorizerError::InvalidKey(_))));
    assert!(!authorizer.remove(&id("keyless")).await.unwrap());
}

#[tokio::test]
async fn a_signature_counts_for_its_user_alone() {
    let authorizer = authorizer();
    let (user, signer) = added(&authorizer, "signer", 4).await;
    let (other, _) = added(&authorizer, "other", 5).await;
    let signature = signed(&signer, MESSAGE);
    let key = authorizer.verify(&user, MESSAGE, &signature).await.unwrap();
    assert_eq!(key.fingerprint, signer.address().to_string());
    let refused = authorizer.verify(&other, MESSAGE, &signature).await;
    assert!(matches!(refused, Err(AuthorizerError::Signature { user, .. }) if user == other));
    let malformed = authorizer.verify(&user, MESSAGE, "0x").await;
    assert!(matches!(malformed, Err(AuthorizerError::Malformed { .. })));
    let unknown = authorizer.verify(&id("unknown"), MESSAGE, &signature).await;
    assert!(matches!(unknown, Err(AuthorizerError::UnknownUser(_))));
}

#[tokio::test]
async fn a_removed_user_ends_at_once() {
    let authorizer = authorizer();
    let (user, signer) = added(&authorizer, "removed", 7).await;
    let (signature, key) = (signed(&signer, MESSAGE), signer.address().to_string());
    authorizer.verify(&user, MESSAGE, &signature).await.unwrap();
    assert!(authorizer.is_authorized(&user, &key).await.unwrap());
    assert!(authorizer.remove(&user).await.unwrap());
    let refused = authorizer.verify(&user, MESSAGE, &signature).await;
    assert!(matches!(refused, Err(AuthorizerError::UnknownUser(_))));
    assert!(!authorizer.is_authorized(&user, &key).await.unwrap());
    // Whoever has the name now is somebody else.
    added(&authorizer, "removed", 8).await;
    assert!(!authorizer.is_authorized(&user, &key).await.unwrap());
}

#[tokio::test]
async fn a_damaged_key_in_the_catalog_is_no_fault_of_the_signature() {
    let catalog = Arc::new(MemoryCatalog::new());
    let damaged = AuthorizedUser {
        id: id("damaged"),
        kind: KeyKind::Ethereum,
        public_key: "0x12".to_owned(),
        fingerprint: "0x12".to_owned(),
        added_at: 1,
    };
    catalog.insert_user(&damaged).await.unwrap();
    let authorizer = Authorizer::new(catalog, Arc::new(AccountKeys));
    let signature = signed(&TestSigner::new(9), MESSAGE);
    let failed = authorizer.verify(&damaged.id, MESSAGE, &signature).await;
    assert!(matches!(
        failed,
        Err(AuthorizerError::Catalog(CatalogError::Corrupt(_)))
    ));
}
