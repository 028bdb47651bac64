use std::{fmt, sync::Arc};

use async_trait::async_trait;
use dm_core::{
    clock::now_ms,
    ports::{AuthorizedUsers, Authorizer, AuthorizerError, CatalogError, UserKey},
    user::{AuthorizedUser, UserId},
};

use crate::{SignatureFault, UserPublicKey};

/// Checks the signatures of the users in a catalog. Nothing is cached: a user
/// who was removed is gone at once, whoever removed it, and one more look-up by
/// its id costs the same among ten users and ten thousand.
pub struct UserAuthorizer {
    users: Arc<dyn AuthorizedUsers>,
}

impl UserAuthorizer {
    /// An authorizer of these users.
    pub fn new(users: Arc<dyn AuthorizedUsers>) -> Self {
        Self { users }
    }
}

impl fmt::Debug for UserAuthorizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UserAuthorizer").finish_non_exhaustive()
    }
}

#[async_trait]
impl Authorizer for UserAuthorizer {
    async fn verify(
        &self,
        user: &UserId,
        message: &str,
        signature: &str,
    ) -> Result<UserKey, AuthorizerError> {
        let Some(found) = self.users.user(user).await? else {
            return Err(AuthorizerError::UnknownUser(user.clone()));
        };
        let (message, signature) = (message.to_owned(), signature.to_owned());
        // A large key keeps a core busy for half a millisecond.
        let work = move || check(found, &message, &signature);
        tokio::task::spawn_blocking(work)
            .await
            .map_err(|error| CatalogError::Failed(error.into()))?
    }

    async fn is_authorized(&self, user: &UserId, fingerprint: &str) -> Result<bool, AuthorizerError> {
        let found = self.users.user(user).await?;
        Ok(found.is_some_and(|found| found.fingerprint == fingerprint))
    }

    async fn add(&self, user: UserId, public_key: &str) -> Result<AuthorizedUser, AuthorizerError> {
        let key = UserPublicKey::parse(public_key)
            .map_err(|reason| AuthorizerError::InvalidKey(reason.to_string()))?;
        let added = AuthorizedUser {
            id: user,
            kind: key.kind(),
            public_key: key.text().to_owned(),
            fingerprint: key.fingerprint().to_owned(),
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

fn check(user: AuthorizedUser, message: &str, signature: &str) -> Result<UserKey, AuthorizerError> {
    let key = UserPublicKey::parse(&user.public_key)
        .map_err(|reason| CatalogError::Corrupt(format!("the key of user {}: {reason}", user.id)))?;
    let AuthorizedUser {
        id,
        kind,
        fingerprint,
        ..
    } = user;
    match key.verify(message, signature) {
        Ok(()) => Ok(UserKey { kind, fingerprint }),
        Err(SignatureFault::Malformed(expected)) => Err(AuthorizerError::Malformed { kind, expected }),
        Err(SignatureFault::Wrong) => Err(AuthorizerError::Signature {
            user: id,
            kind,
            fingerprint,
        }),
    }
}
