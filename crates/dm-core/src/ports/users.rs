use alloy_primitives::B256;
use async_trait::async_trait;

use super::CatalogError;
use crate::user::{AuthorizedUser, KeyKind, UserId};

/// Keeps authorised users.
#[async_trait]
pub trait AuthorizedUsers: Send + Sync {
    /// Keeps a new user; durable when it returns.
    ///
    /// # Errors
    /// [`CatalogError::Conflict`] where the id is taken.
    async fn insert_user(&self, user: &AuthorizedUser) -> Result<(), CatalogError>;

    /// The user with this id.
    async fn user(&self, id: &UserId) -> Result<Option<AuthorizedUser>, CatalogError>;

    /// At most `limit` users after `after`, in the order of their ids (by bytes).
    async fn users(&self, after: Option<&UserId>, limit: usize) -> Result<Vec<AuthorizedUser>, CatalogError>;

    /// Strikes a user out; whether there was one.
    async fn remove_user(&self, id: &UserId) -> Result<bool, CatalogError>;
}

/// Remembers which statements have led to a share. They are kept by
/// [`ShareCatalog::commit_share`](super::ShareCatalog::commit_share), in one
/// step with their share.
#[async_trait]
pub trait UsedMandates: Send + Sync {
    /// Whether a share was made on the statement with this
    /// [digest](crate::mandate::Mandate::digest), whatever became of the share but for
    /// one that was [taken back](super::ShareCatalog::forget_share).
    async fn is_mandate_used(&self, digest: B256) -> Result<bool, CatalogError>;

    /// Forgets statements that ended before `now` (milliseconds since the Unix
    /// epoch), but for those whose share is not recorded yet.
    async fn forget_mandates(&self, now: u64) -> Result<(), CatalogError>;
}

/// Knows the authorised users and their signatures.
#[async_trait]
pub trait Authorizer: Send + Sync {
    /// Checks that the user with this id has signed `message`, and says with
    /// which key.
    ///
    /// # Errors
    /// [`AuthorizerError::UnknownUser`], [`AuthorizerError::Malformed`],
    /// [`AuthorizerError::Signature`].
    async fn verify(&self, user: &UserId, message: &str, signature: &str)
    -> Result<UserKey, AuthorizerError>;

    /// Whether the user is authorised, with the key of this fingerprint.
    async fn is_authorized(&self, user: &UserId, fingerprint: &str) -> Result<bool, AuthorizerError>;

    /// Authorises a user by its public key: see [`AuthorizedUser::public_key`].
    ///
    /// # Errors
    /// [`AuthorizerError::InvalidKey`], [`AuthorizerError::Exists`].
    async fn add(&self, user: UserId, public_key: &str) -> Result<AuthorizedUser, AuthorizerError>;

    /// At most `limit` users after `after`, in the order of their ids.
    async fn list(
        &self,
        after: Option<&UserId>,
        limit: usize,
    ) -> Result<Vec<AuthorizedUser>, AuthorizerError>;

    /// Ends a user's authority at once; whether there was such a user.
    async fn remove(&self, user: &UserId) -> Result<bool, AuthorizerError>;
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
