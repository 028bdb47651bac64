use alloy_primitives::Address;
use async_trait::async_trait;

use super::CatalogError;
use crate::{
    hash::{DataHash, Locator},
    sent::{SentQuery, SentShare, ShareListing},
};

/// Keeps where each share of this node stands, from its commit on.
///
/// | change | what it does to a share |
/// | --- | --- |
/// | [`commit_share`](super::ShareCatalog::commit_share) of a new share | begins |
/// | [`set_grant_owed`](super::ShareCatalog::set_grant_owed) | its grant is pending, or made |
/// | [`append`](super::EventLog::append) of its event | is recorded |
/// | [`append`](super::EventLog::append) of its delivery | [`Acknowledged`](crate::sent::SentState::Acknowledged) |
/// | [`begin_revocation`](super::Revocations::begin_revocation), [`begin_erasure`](super::Erasures::begin_erasure) | ends |
/// | [`forget_share`](super::ShareCatalog::forget_share) | was never there |
#[async_trait]
pub trait SentCatalog: Send + Sync {
    /// A page of shares and their numbers, the newest first.
    async fn sent_shares(&self, query: &SentQuery) -> Result<Vec<(u64, SentShare)>, CatalogError>;

    /// The shares of this data, the newest first, at most so many.
    async fn sent_shares_of(
        &self,
        data_hash: &DataHash,
        limit: usize,
    ) -> Result<Vec<SentShare>, CatalogError>;

    /// The newest share of this data with this recipient.
    async fn sent_share(
        &self,
        data_hash: &DataHash,
        recipient: Address,
    ) -> Result<Option<SentShare>, CatalogError>;

    /// Keeps what is said of the data now, for all its shares that are not over.
    async fn relist_shares(&self, data_hash: &DataHash, listing: &ShareListing) -> Result<(), CatalogError>;

    /// Keeps that these recipients were told of their shares at `now` (milliseconds since the
    /// Unix epoch), each for the first time.
    async fn note_notified(&self, told: &[(Locator, Address)], now: u64) -> Result<(), CatalogError>;
}
