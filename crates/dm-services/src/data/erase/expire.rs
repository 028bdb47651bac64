//! Ends data whose time is over. When that is stands in its envelope, which its
//! owner signed; the catalog only remembers when to look.

use dm_core::{clock::now_ms, envelope::SignedEnvelope, hash::DataHash, ports::ErasureCause};

use super::Eraser;
use crate::ServiceError;

impl Eraser {
    /// Erases the data if its time is over, as [`Eraser::erase`] does. The
    /// caller holds the lock of the data.
    pub(in crate::data) async fn end_if_expired(&self, data_hash: &DataHash) -> Result<(), ServiceError> {
        let erasures = &self.erasures;
        let Some(envelope) = self.envelope_of(data_hash).await? else {
            // A share that failed ends without an event.
            self.take_back_unrecorded(data_hash).await?;
            self.forget_lost_key(data_hash).await?;
            // Its object is gone, as it is where a replica's time for it is over.
            if self.readable.readable(data_hash).await?.is_none() {
                return Ok(erasures.schedule_erasure(data_hash, None).await?);
            }
            return self.end(data_hash).await;
        };
        // The owner's tombstone may have come first: the key is still here.
        if envelope.is_gone(now_ms()) && !self.put_off_by_shares(data_hash, &envelope).await? {
            self.take_back_unrecorded(data_hash).await?;
            return self.end(data_hash).await;
        }
        // It was put off, by this node or by the owner.
        Ok(erasures.schedule_erasure(data_hash, envelope.expires_at).await?)
    }

    /// Puts the end off for shares that asked for a later one and were interrupted
    /// before the envelope said so; whether the data goes on.
    async fn put_off_by_shares(
        &self,
        data_hash: &DataHash,
        envelope: &SignedEnvelope,
    ) -> Result<bool, ServiceError> {
        if envelope.is_tombstone() || envelope.id.owner != self.own.address() {
            return Ok(false);
        }
        for share in self.shares.unrecorded_shares_of(data_hash).await? {
            self.own.put_into_envelope(&envelope.id, &share, None).await?;
        }
        let newest = self.objects.envelope(&envelope.id).await?;
        Ok(newest.is_some_and(|newest| !newest.is_gone(now_ms())))
    }

    async fn end(&self, data_hash: &DataHash) -> Result<(), ServiceError> {
        self.recorder.ensure_log_accepts()?;
        self.erasures
            .begin_erasure(data_hash, ErasureCause::Expired)
            .await?;
        self.finish_erasure_later(data_hash).await?;
        tracing::info!(locator = %data_hash.locator(), "expired data was erased");
        Ok(())
    }

    /// The envelope of this node's object of the data, else of the one that it has read.
    async fn envelope_of(&self, data_hash: &DataHash) -> Result<Option<SignedEnvelope>, ServiceError> {
        let own = self.objects.envelope(&self.own.own_id(data_hash)).await?;
        if let Some(own) = own.filter(|envelope| !envelope.is_tombstone()) {
            return Ok(Some(own));
        }
        match self.readable.readable(data_hash).await? {
            Some(readable) => Ok(self.objects.envelope(&readable.id).await?),
            None => Ok(None),
        }
    }

    /// Data that is shared after its time is new data: what is left of it from before
    /// is erased first, unless an interrupted share has asked for a later end; whether
    /// the data goes on. The caller holds the lock of the data.
    pub(in crate::data) async fn end_what_was_before(
        &self,
        data_hash: &DataHash,
    ) -> Result<bool, ServiceError> {
        let id = self.own.own_id(data_hash);
        match self.objects.envelope(&id).await? {
            // An object that belongs to no share is just replaced.
            Some(before)
                if before.is_expired(now_ms()) && self.shares.is_known(&id, &before.chunk_list).await? =>
            {
                if self.put_off_by_shares(data_hash, &before).await? {
                    return Ok(true);
                }
                self.end(data_hash).await?;
                Ok(false)
            }
            _ => Ok(false),
        }
    }
}

/// Refuses a time that is over.
pub(in crate::data) fn ensure_in_future(expires_at: Option<u64>) -> Result<(), ServiceError> {
    match expires_at {
        Some(at) if at <= now_ms() => Err(ServiceError::invalid("expires_at", "must be in the future")),
        Some(at) if i64::try_from(at).is_err() => {
            Err(ServiceError::invalid("expires_at", "is too far in the future"))
        }
        _ => Ok(()),
    }
}
