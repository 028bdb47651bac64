//! Knows the authorised users, and checks their signatures.

use std::sync::Arc;

use dm_core::{
    clock::now_ms,
    ports::{AuthorizedUsers, CatalogError, SignatureFault, UserKeys},
    user::{AuthorizedUser, KeyKind, UserId},
};

use crate::ServiceError;

/// The users who may order shares, and their signatures. Nothing is cached: a user
/// who was removed is gone at once, whoever removed it, and one more look-up by
/// its id costs the same among ten users and ten thousand.
#[derive(Clone)]
pub struct Authorizer {
    users: Arc<dyn AuthorizedUsers>,
    keys: Arc<dyn UserKeys>,
}

/// Which key a signature was made with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserKey {
    /// What kind of key it is.
    pub kind: KeyKind,
    /// Its name: see [`AuthorizedUser::fingerprint`].
    pub fingerprint: String,
}

/// Why a user was not authorised, or a signature not accepted.
#[derive(Debug, thiserror::Error)]
pub enum AuthorizerError {
    /// There is no such user.
    #[error("{0} is no authorised user of this node")]
    UnknownUser(UserId),
    /// The text has not the form of a signature by a key of this kind.
    #[error("must be {expected}, for a key of kind {kind}")]
    Malformed {
        /// What kind of key the user has.
        kind: KeyKind,
        /// What its signatures look like.
        expected: &'static str,
    },
    /// The key has not made this signature over this message.
    #[error("is not by the {kind} key {fingerprint} of {user} over this statement")]
    Signature {
        /// Whose key it is.
        user: UserId,
        /// What kind of key it is.
        kind: KeyKind,
        /// Its name.
        fingerprint: String,
    },
    /// The text is no public key that can be used; completes "public_key …".
    #[error("{0}")]
    InvalidKey(String),
    /// The id is taken.
    #[error("there is an authorised user {0} already; remove it first")]
    Exists(UserId),
    /// The catalog failed.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
}

impl Authorizer {
    /// Of the users in this catalog, whose keys `keys` reads.
    pub fn new(users: Arc<dyn AuthorizedUsers>, keys: Arc<dyn UserKeys>) -> Self {
        Self { users, keys }
    }

    /// Checks that the user with this id has signed `message`, and says with
    /// which key.
    ///
    /// # Errors
    /// [`AuthorizerError::UnknownUser`], [`AuthorizerError::Malformed`],
    /// [`AuthorizerError::Signature`].
    pub async fn verify(
        &self,
        user: &UserId,
        message: &str,
        signature: &str,
    ) -> Result<UserKey, AuthorizerError> {
        let Some(found) = self.users.user(user).await? else {
            return Err(AuthorizerError::UnknownUser(user.clone()));
        };
        let (keys, public_key) = (self.keys.clone(), found.public_key.clone());
        let (message, signature) = (message.to_owned(), signature.to_owned());
        let work = move || keys.check(&public_key, &message, &signature);
        let checked = tokio::task::spawn_blocking(work).await;
        let AuthorizedUser {
            id: user,
            kind,
            fingerprint,
            ..
        } = found;
        match checked.map_err(|error| CatalogError::Failed(error.into()))? {
            Ok(()) => Ok(UserKey { kind, fingerprint }),
            Err(SignatureFault::Malformed(expected)) => Err(AuthorizerError::Malformed { kind, expected }),
            Err(SignatureFault::Wrong) => Err(AuthorizerError::Signature {
                user,
                kind,
                fingerprint,
            }),
            Err(SignatureFault::Key(reason)) => {
                Err(CatalogError::Corrupt(format!("the key of user {user}: {reason}")).into())
            }
        }
    }

    /// Whether the user is authorised, with the key of this fingerprint.
    ///
    /// # Errors
    /// Faults of the catalog.
    pub async fn is_authorized(&self, user: &UserId, fingerprint: &str) -> Result<bool, AuthorizerError> {
        let found = self.users.user(user).await?;
        Ok(found.is_some_and(|found| found.fingerprint == fingerprint))
    }

    /// Authorises a user by its public key: see [`AuthorizedUser::public_key`].
    ///
    /// # Errors
    /// [`AuthorizerError::InvalidKey`], [`AuthorizerError::Exists`].
    pub async fn add(&self, user: UserId, public_key: &str) -> Result<AuthorizedUser, AuthorizerError> {
        let key = self.keys.read(public_key).map_err(AuthorizerError::InvalidKey)?;
        let added = AuthorizedUser {
            id: user,
            kind: key.kind,
            public_key: key.text,
            fingerprint: key.fingerprint,
            added_at: now_ms(),
        };
        match self.users.insert_user(&added).await {
            Ok(()) => Ok(added),
            Err(CatalogError::Conflict(_)) => Err(AuthorizerError::Exists(added.id)),
            Err(error) => Err(error.into()),
        }
    }

    /// At most `limit` users after `after`, in the order of their ids.
    ///
    /// # Errors
    /// Faults of the catalog.
    pub async fn list(
        &self,
        after: Option<&UserId>,
        limit: usize,
    ) -> Result<Vec<AuthorizedUser>, AuthorizerError> {
        Ok(self.users.users(after, limit).await?)
    }

    /// Ends a user's authority at once; whether there was such a user.
    ///
    /// # Errors
    /// Faults of the catalog.
    pub async fn remove(&self, user: &UserId) -> Result<bool, AuthorizerError> {
        Ok(self.users.remove_user(user).await?)
    }
}

impl From<AuthorizerError> for ServiceError {
    fn from(error: AuthorizerError) -> Self {
        match error {
            AuthorizerError::UnknownUser(user) => {
                Self::unmandated("user_id", format!("{user} is no authorised user of this node"))
            }
            AuthorizerError::Malformed { .. } => Self::invalid("signature", error),
            AuthorizerError::Signature { .. } => Self::unmandated("signature", error),
            AuthorizerError::InvalidKey(reason) => Self::invalid("public_key", reason),
            AuthorizerError::Exists(user) => {
                Self::rejected("user_id", format!("{user} is taken; remove it first"))
            }
            AuthorizerError::Catalog(error) => error.into(),
        }
    }
}
