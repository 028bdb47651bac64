//! The port [`Authorizer`].
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::sync::Arc;

use alloy_primitives::{Signature, eip191_hash_message};
use async_trait::async_trait;
use dm_core::{
    address::parse_address,
    clock::now_ms,
    ports::{AuthorizedUsers, Authorizer, AuthorizerError, CatalogError, Signer, UserKey},
    user::{AuthorizedUser, KeyKind, UserId},
};

use super::{catalog::MemoryCatalog, signer::TestSigner};

/// Knows users with Ethereum accounts, in memory.
#[derive(Default)]
pub struct MemoryAuthorizer {
    users: Arc<MemoryCatalog>,
}

impl MemoryAuthorizer {
    /// Without any user.
    pub fn new() -> Self {
        Self::default()
    }
}

/// The signature of a test account over a message, as a wallet gives it.
pub fn signed(signer: &TestSigner, message: &str) -> String {
    let signature = signer.sign_hash(&eip191_hash_message(message)).unwrap();
    format!("0x{}", hex::encode(signature.as_bytes()))
}

#[async_trait]
impl Authorizer for MemoryAuthorizer {
    async fn verify(
        &self,
        user: &UserId,
        message: &str,
        signature: &str,
    ) -> Result<UserKey, AuthorizerError> {
        let Some(found) = self.users.user(user).await? else {
            return Err(AuthorizerError::UnknownUser(user.clone()));
        };
        let kind = KeyKind::Ethereum;
        let signature: Signature = signature.parse().map_err(|_| AuthorizerError::Malformed {
            kind,
            expected: "0x and 130 hexadecimal digits",
        })?;
        let signer = signature.recover_address_from_msg(message).ok();
        if signer.is_some_and(|signer| signer.to_string() == found.fingerprint) {
            Ok(UserKey {
                kind,
                fingerprint: found.fingerprint,
            })
        } else {
            Err(AuthorizerError::Signature {
                user: user.clone(),
                kind,
                fingerprint: found.fingerprint,
            })
        }
    }

    async fn is_authorized(&self, user: &UserId, fingerprint: &str) -> Result<bool, AuthorizerError> {
        let found = self.users.user(user).await?;
        Ok(found.is_some_and(|found| found.fingerprint == fingerprint))
    }

    async fn add(&self, user: UserId, public_key: &str) -> Result<AuthorizedUser, AuthorizerError> {
        let address = parse_address(public_key)
            .map_err(|reason| AuthorizerError::InvalidKey(reason.to_string()))?
            .to_string();
        let added = AuthorizedUser {
            id: user,
            kind: KeyKind::Ethereum,
            public_key: address.clone(),
            fingerprint: address,
            added_at: now_ms(),
        };
        match self.users.insert_user(&added).await {
            Ok(()) => Ok(added),
            Err(CatalogError::Conflict(_)) => Err(AuthorizerError::Exists(added.id)),
            Err(error) => Err(error.into()),
        }
    }

    async fn list(
        &self,
        after: Option<&UserId>,
        limit: usize,
    ) -> Result<Vec<AuthorizedUser>, AuthorizerError> {
        Ok(self.users.users(after, limit).await?)
    }

    async fn remove(&self, user: &UserId) -> Result<bool, AuthorizerError> {
        Ok(self.users.remove_user(user).await?)
    }
}

/// Every promise of [`Authorizer`], for one without users.
pub async fn run_authorizer_suite(authorizer: &dyn Authorizer) {
    a_user_is_added_and_listed(authorizer).await;
    what_is_no_key_is_refused(authorizer).await;
    a_signature_counts_for_its_user_and_its_message_alone(authorizer).await;
    a_text_that_is_no_signature_is_told_from_a_wrong_one(authorizer).await;
    a_removed_user_ends_at_once(authorizer).await;
}

const MESSAGE: &str = "{\"said\":\"näher\"}";

fn id(text: &str) -> UserId {
    text.parse().unwrap()
}

async fn added(authorizer: &dyn Authorizer, name: &str, account: u8) -> (UserId, TestSigner) {
    let signer = TestSigner::new(account);
    let address = signer.address().to_string();
    let user = authorizer.add(id(name), &address).await.unwrap();
    assert_eq!(user.kind, KeyKind::Ethereum);
    assert_eq!((&user.public_key, &user.fingerprint), (&address, &address));
    (user.id, signer)
}

async fn a_user_is_added_and_listed(authorizer: &dyn Authorizer) {
    let (first, _) = added(authorizer, "listed-1", 1).await;
    let (second, _) = added(authorizer, "listed-2", 2).await;
    let other_key = TestSigner::new(3).address().to_string();
    let again = authorizer.add(first.clone(), &other_key).await;
    assert!(matches!(again, Err(AuthorizerError::Exists(taken)) if taken == first));
    let page = authorizer.list(None, 1).await.unwrap();
    assert_eq!(page[0].id, first);
    assert!(page[0].added_at > 0);
    let rest = authorizer.list(Some(&first), 9).await.unwrap();
    assert_eq!(rest.into_iter().map(|user| user.id).collect::<Vec<_>>(), [second]);
}

async fn what_is_no_key_is_refused(authorizer: &dyn Authorizer) {
    for key in ["", "0x", "-----BEGIN PUBLIC KEY-----", "ssh-ed25519 AAAA"] {
        let refused = authorizer.add(id("keyless"), key).await;
        assert!(
            matches!(refused, Err(AuthorizerError::InvalidKey(_))),
            "{refused:?}"
        );
    }
    assert!(!authorizer.remove(&id("keyless")).await.unwrap());
}

async fn a_signature_counts_for_its_user_and_its_message_alone(authorizer: &dyn Authorizer) {
    let (user, signer) = added(authorizer, "signer", 4).await;
    let (other, _) = added(authorizer, "other", 5).await;
    let signature = signed(&signer, MESSAGE);
    let key = authorizer.verify(&user, MESSAGE, &signature).await.unwrap();
    assert_eq!(key.fingerprint, signer.address().to_string());
    for (user, message) in [(&user, "{\"said\":\"naher\"}"), (&user, ""), (&other, MESSAGE)] {
        let refused = authorizer.verify(user, message, &signature).await;
        assert!(
            matches!(refused, Err(AuthorizerError::Signature { .. })),
            "{refused:?}"
        );
    }
    let unknown = authorizer.verify(&id("unknown"), MESSAGE, &signature).await;
    assert!(
        matches!(unknown, Err(AuthorizerError::UnknownUser(_))),
        "{unknown:?}"
    );
}

async fn a_text_that_is_no_signature_is_told_from_a_wrong_one(authorizer: &dyn Authorizer) {
    let (user, signer) = added(authorizer, "clumsy", 6).await;
    let signature = signed(&signer, MESSAGE);
    for text in [
        "",
        "0x",
        "c2lnbmF0dXJl",
        &signature[..130],
        &format!("{signature}00"),
    ] {
        let refused = authorizer.verify(&user, MESSAGE, text).await;
        assert!(
            matches!(refused, Err(AuthorizerError::Malformed { .. })),
            "{text} {refused:?}"
        );
    }
}

async fn a_removed_user_ends_at_once(authorizer: &dyn Authorizer) {
    let (user, signer) = added(authorizer, "removed", 7).await;
    let (signature, key) = (signed(&signer, MESSAGE), signer.address().to_string());
    authorizer.verify(&user, MESSAGE, &signature).await.unwrap();
    assert!(authorizer.is_authorized(&user, &key).await.unwrap());
    assert!(authorizer.remove(&user).await.unwrap());
    let refused = authorizer.verify(&user, MESSAGE, &signature).await;
    assert!(
        matches!(refused, Err(AuthorizerError::UnknownUser(_))),
        "{refused:?}"
    );
    assert!(!authorizer.is_authorized(&user, &key).await.unwrap());
    // Whoever has the name now is somebody else.
    added(authorizer, "removed", 8).await;
    assert!(!authorizer.is_authorized(&user, &key).await.unwrap());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_memory_authorizer_keeps_every_promise() {
        run_authorizer_suite(&MemoryAuthorizer::new()).await;
    }
}
