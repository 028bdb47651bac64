use std::collections::BTreeMap;

use async_trait::async_trait;

use super::CatalogError;

/// What became of a version of the node's key that was to be retired.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retirement {
    /// It wraps no content key, and none that it wraps is taken any more.
    Retired,
    /// It still wraps so many content keys.
    Wraps(u64),
}

/// Knows which versions of the node's key are needed.
#[async_trait]
pub trait KeyUses: Send + Sync {
    /// How many content keys each version wraps; versions that wrap none are left out.
    async fn uses(&self) -> Result<BTreeMap<u32, u64>, CatalogError>;

    /// Retires a version where it wraps nothing: from then on a content key that it wraps is
    /// refused as a [`CatalogError::Conflict`], so that one that was being shared
    /// meanwhile cannot come after the count. Retiring again changes nothing.
    async fn retire(&self, version: u32) -> Result<Retirement, CatalogError>;
}
