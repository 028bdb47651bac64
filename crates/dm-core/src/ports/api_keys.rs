use std::sync::Arc;

use async_trait::async_trait;

use super::CatalogError;
use crate::{
    api_key::{ApiKeyRecord, Principal, Rights, Scope},
    clock::LATEST_MS,
};

/// Recognises API keys and manages them.
#[async_trait]
pub trait ApiKeys: Send + Sync {
    /// Who bears this key. The key counts as used now.
    ///
    /// # Errors
    /// [`ApiKeyError::Unknown`] where it is no valid key, revoked or expired.
    async fn authenticate(&self, key: &str) -> Result<Principal, ApiKeyError>;

    /// Who bears the key with this id: for a client that has proved in another way, as by its
    /// certificate, that it may use the key. The key counts as used now.
    ///
    /// # Errors
    /// [`ApiKeyError::Unknown`] where there is no such key, or it is revoked or expired.
    async fn bearer(&self, id: &str) -> Result<Principal, ApiKeyError>;

    /// Whether a key that was recognised is still valid: neither revoked nor expired.
    /// It does not count as used.
    ///
    /// # Errors
    /// [`ApiKeyError::Catalog`] where that cannot be found out now.
    async fn is_valid(&self, bearer: &Principal) -> Result<bool, ApiKeyError>;

    /// Bytes that may still pass for a key that was recognised; `None` where it
    /// has no budget.
    fn bytes_left(&self, bearer: &Principal) -> Option<u64>;

    /// Counts bytes that are about to pass. When it returns, all that has passed
    /// for a key with a budget is durable, up to 1 MiB.
    ///
    /// # Errors
    /// [`ApiKeyError::OverBudget`] where its budget has no room for them; then
    /// none of them is counted.
    async fn spend(&self, bearer: &Principal, bytes: u64) -> Result<(), ApiKeyError>;

    /// Counts bytes that cannot be held back any more, whatever the budget says.
    fn note(&self, bearer: &Principal, bytes: u64);

    /// Makes a key.
    async fn create(&self, request: NewApiKeyRequest) -> Result<NewApiKey, ApiKeyError>;

    /// All keys, revoked ones too.
    async fn list(&self) -> Result<Vec<ApiKeyRecord>, ApiKeyError>;

    /// Ends a key at once; whether there is such a key.
    async fn revoke(&self, id: &str) -> Result<bool, ApiKeyError>;
}

/// A key that is to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewApiKeyRequest {
    /// What the operator calls it: 1 to 100 characters.
    pub name: String,
    /// What it allows; at least one scope, at most [`MAX_NAMED`] routes and
    /// recipients each, and a budget above 0.
    pub rights: Arc<Rights>,
    /// When it ends, in milliseconds since the Unix epoch.
    pub expires_at: Option<u64>,
}

/// Most routes, and most recipients, that a key may name.
pub const MAX_NAMED: usize = 100;

impl NewApiKeyRequest {
    /// Whether a key can be made of it at `now`, in milliseconds since the Unix
    /// epoch.
    ///
    /// # Errors
    /// [`ApiKeyError::Invalid`], which names the field.
    pub fn check(&self, now: u64) -> Result<(), ApiKeyError> {
        let invalid = |field, reason| Err(ApiKeyError::Invalid { field, reason });
        let name = self.name.trim();
        if !(1..=100).contains(&name.chars().count()) {
            return invalid("name", "must have 1 to 100 characters");
        }
        if name.contains(char::is_control) {
            return invalid("name", "must not contain control characters");
        }
        if self.rights.scopes.is_empty() {
            return invalid("scopes", "cannot be empty");
        }
        if self.rights.routes.len() > MAX_NAMED {
            return invalid("routes", "must be at most 100");
        }
        if self.rights.recipients.len() > MAX_NAMED {
            return invalid("recipients", "must be at most 100");
        }
        let has_all = self.rights.scopes.contains(&Scope::Admin) && self.rights.routes.is_empty();
        if has_all && !self.rights.recipients.is_empty() {
            return invalid("recipients", "of a key with the scope admin need routes, too");
        }
        if self
            .rights
            .bytes_budget
            .is_some_and(|bytes| bytes == 0 || bytes > i64::MAX as u64)
        {
            return invalid("bytes_budget", "must be a number of bytes from 1 to 2^63 - 1");
        }
        if self.expires_at.is_some_and(|at| at <= now) {
            return invalid("expires_at", "must be in the future");
        }
        if self.expires_at.is_some_and(|at| at > LATEST_MS) {
            return invalid("expires_at", "must be before the year 10000");
        }
        Ok(())
    }
}

/// A key that was made. This is the only time that the key itself is seen.
#[derive(Clone, PartialEq, Eq)]
pub struct NewApiKey {
    /// What is kept of it.
    pub record: ApiKeyRecord,
    /// The key: `dm_<id>_<secret>`.
    pub key: String,
}

/// Why a key was not recognised or made, or has no room.
#[derive(Debug, thiserror::Error)]
pub enum ApiKeyError {
    /// No valid key.
    #[error("the API key is unknown, revoked or expired")]
    Unknown,
    /// The key's budget has no room for what should pass.
    #[error("the API key has {left} bytes left of its budget")]
    OverBudget {
        /// Bytes that may still pass.
        left: u64,
    },
    /// The request for a new key is not valid.
    #[error("{field} {reason}")]
    Invalid {
        /// What is at fault.
        field: &'static str,
        /// Why.
        reason: &'static str,
    },
    /// The catalog failed.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
}
