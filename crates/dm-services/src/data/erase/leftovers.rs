//! Takes back what is left of shares that never came about.

use dm_core::hash::DataHash;

use super::Eraser;
use crate::ServiceError;

impl Eraser {
    /// Takes back shares of data whose object is not stored here, and of which nobody
    /// was told: versions that kept the share beside its object could leave one
    /// without the other. Nothing speaks of such a share, no event and no answer. The
    /// caller holds the lock of the data.
    pub(in crate::data) async fn take_back_unrecorded(
        &self,
        data_hash: &DataHash,
    ) -> Result<(), ServiceError> {
        let shares = &self.shares;
        for share in shares.unrecorded_shares_of(data_hash).await? {
            if shares.forget_share(data_hash, share.recipient).await? {
                self.recorder.drop_notes(data_hash, share.recipient).await;
                tracing::info!(locator = %data_hash.locator(), recipient = %share.recipient, "took back a share without its object");
            }
        }
        Ok(())
    }

    /// Forgets the key of an own object that is not stored and that was shared with
    /// nobody; whether the key stays. With it, what was shared can be fetched back from
    /// peers, also by its owner alone. The caller holds the lock of the data.
    pub(in crate::data) async fn forget_lost_key(&self, data_hash: &DataHash) -> Result<bool, ServiceError> {
        let id = self.own.own_id(data_hash);
        let entry = self.readable.readable(data_hash).await?;
        if entry.is_none_or(|entry| entry.id != id) || self.objects.envelope(&id).await?.is_some() {
            return Ok(false);
        }
        if self.shares.is_shared(data_hash).await? || self.recorder.was_shared(data_hash).await? {
            return Ok(true);
        }
        self.erasures.schedule_erasure(data_hash, None).await?;
        self.readable.remove_readable(data_hash).await?;
        tracing::info!(locator = %id.locator, "forgot the key of an object that is not stored");
        Ok(false)
    }
}
