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

/// Reads the public keys of users, and checks signatures. Both keep a core busy: up to
/// half a millisecond for a large key.
pub trait UserKeys: Send + Sync {
    /// Reads a public key: see [`AuthorizedUser::public_key`].
    ///
    /// # Errors
    /// A reason that completes "public_key …".
    fn read(&self, public_key: &str) -> Result<PublicKey, String>;

    /// Checks that a public key, as [`UserKeys::read`] returned it, has signed `message`.
    ///
    /// # Errors
    /// [`SignatureFault`].
    fn check(&self, public_key: &str, message: &str, signature: &str) -> Result<(), SignatureFault>;
}

/// A public key that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey {
    /// What kind of key it is.
    pub kind: KeyKind,
    /// Its one form as text: see [`AuthorizedUser::public_key`].
    pub text: String,
    /// Its name: see [`AuthorizedUser::fingerprint`].
    pub fingerprint: String,
}

/// Why a signature does not count.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignatureFault {
    /// The text has not the form of a signature by such a key; the expected form.
    #[error("must be {0}")]
    Malformed(&'static str),
    /// The key has not made it over this message.
    #[error("is not by this key over this message")]
    Wrong,
    /// The public key cannot be read.
    #[error("the public key {0}")]
    Key(String),
}
