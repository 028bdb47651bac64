use alloy_primitives::Address;
use async_trait::async_trait;

use super::CatalogError;
use crate::{hash::DataHash, share::ReadableObject};

/// Keeps whose access is being withdrawn until all of it is done, through
/// restarts, and meanwhile two keys: that of the chunks that are stored, and that
/// of the chunks that are about to take their place.
#[async_trait]
pub trait Revocations: Send + Sync {
    /// Forgets the share of the data with this recipient. What else belongs to the
    /// revocation is to be finished.
    async fn begin_revocation(&self, data_hash: &DataHash, recipient: Address) -> Result<(), CatalogError>;

    /// Revocations that were begun and not ended, in an order of their own, after `after`.
    async fn unfinished_revocations(
        &self,
        after: Option<(DataHash, Address)>,
        limit: usize,
    ) -> Result<Vec<(DataHash, Address)>, CatalogError>;

    /// Everything that belongs to the revocation is done.
    async fn end_revocation(&self, data_hash: &DataHash, recipient: Address) -> Result<(), CatalogError>;

    /// Keeps the key of chunks that are about to be stored, beside the present entry
    /// of the data; it takes the place of one that was prepared before.
    async fn prepare_key(&self, next: &ReadableObject) -> Result<(), CatalogError>;

    /// The entry that was prepared for this data and not adopted yet.
    async fn prepared_key(&self, data_hash: &DataHash) -> Result<Option<ReadableObject>, CatalogError>;

    /// Puts the entry that was prepared in the place of the present one, whose key
    /// is overwritten, where it is the one for these chunks; whether it was.
    async fn adopt_prepared_key(
        &self,
        data_hash: &DataHash,
        chunk_list: &[u8; 32],
    ) -> Result<bool, CatalogError>;
}
