use std::collections::BTreeSet;

use async_trait::async_trait;

use super::CatalogError;
use crate::api_key::{ApiKeyRecord, Principal, Scope};

/// Recognises API keys and manages them.
#[async_trait]
pub trait ApiKeys: Send + Sync {
    /// Who bears this key.
    ///
    /// # Errors
    /// [`ApiKeyError::Unknown`] where it is no valid key, revoked or expired.
    async fn authenticate(&self, key: &str) -> Result<Principal, ApiKeyError>;

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
    /// What it allows; not empty.
    pub scopes: BTreeSet<Scope>,
    /// When it ends, in milliseconds since the Unix epoch.
    pub expires_at: Option<u64>,
}

/// A key that was made. This is the only time that the key itself is seen.
#[derive(Clone, PartialEq, Eq)]
pub struct NewApiKey {
    /// What is kept of it.
    pub record: ApiKeyRecord,
    /// The key: `dm_<id>_<secret>`.
    pub key: String,
}

/// Why a key was not recognised or made.
#[derive(Debug, thiserror::Error)]
pub enum ApiKeyError {
    /// No valid key.
    #[error("the API key is unknown, revoked or expired")]
    Unknown,
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
