//! Ends data whose time is over. When that is stands in its envelope, which its
//! owner signed; the catalog only remembers when to look.

use dm_core::{
    clock::now_ms,
    envelope::{ObjectId, SignedEnvelope},
    hash::DataHash,
};

use super::DataManager;
use crate::ServiceError;

impl DataManager {
    /// Erases the data if its time is over, as [`DataManager::erase`] does. The
    /// caller holds the turn of the data hash.
    pub(super) async fn end_if_expired(&self, data_hash: &DataHash) -> Result<(), ServiceError> {
        let erasures = &self.inner.ports.erasures;
        let Some(envelope) = self.envelope_of(data_hash).await? else {
            // A share that failed ends without an event.
            self.take_back_unrecorded(data_hash).await?;
            self.forget_lost_key(data_hash).await?;
            // Its object is gone, as it is where a replica's time for it is over.
            if self.inner.ports.readable.readable(data_hash).await?.is_none() {
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
        let ports = &self.inner.ports;
        if envelope.is_tombstone() || envelope.id.owner != self.address() {
            return Ok(false);
        }
        for share in ports.shares.unrecorded_shares_of(data_hash).await? {
            self.put_into_envelope(&envelope.id, &share, None).await?;
        }
        let newest = ports.objects.envelope(&envelope.id).await?;
        Ok(newest.is_some_and(|newest| !newest.is_gone(now_ms())))
    }

    async fn end(&self, data_hash: &DataHash) -> Result<(), ServiceError> {
        self.ensure_log_accepts()?;
        self.inner.ports.erasures.begin_erasure(data_hash).await?;
        self.finish_erasure_later(data_hash).await?;
        tracing::info!(locator = %data_hash.locator(), "expired data was erased");
        Ok(())
    }

    /// The envelope of this node's object of the data, else of the one that it has read.
    async fn envelope_of(&self, data_hash: &DataHash) -> Result<Option<SignedEnvelope>, ServiceError> {
        let ports = &self.inner.ports;
        let own = ports.objects.envelope(&self.own_id(data_hash)).await?;
        if let Some(own) = own.filter(|envelope| !envelope.is_tombstone()) {
            return Ok(Some(own));
        }
        match ports.readable.readable(data_hash).await? {
            Some(readable) => Ok(ports.objects.envelope(&readable.id).await?),
            None => Ok(None),
        }
    }

    /// Data that is shared after its time is new data: what is left of it from before
    /// is erased first. The caller holds the turn of the data hash.
    pub(super) async fn end_what_was_before(&self, data_hash: &DataHash) -> Result<(), ServiceError> {
        let ports = &self.inner.ports;
        let id = self.own_id(data_hash);
        match ports.objects.envelope(&id).await? {
            // An object that belongs to no share is just replaced.
            Some(before)
                if before.is_expired(now_ms()) && ports.shares.is_known(&id, &before.chunk_list).await? =>
            {
                self.end(data_hash).await
            }
            _ => Ok(()),
        }
    }

    /// When an object ends, by the envelope that is stored here.
    pub(super) async fn expiry_of(&self, id: &ObjectId) -> Result<Option<u64>, ServiceError> {
        let envelope = self.inner.ports.objects.envelope(id).await?;
        Ok(envelope.and_then(|envelope| envelope.expires_at))
    }

    /// Puts the end of stored data off to a later time; none is the latest. An
    /// earlier one changes nothing.
    pub(super) async fn prolong(
        &self,
        id: &ObjectId,
        data_hash: &DataHash,
        expires_at: Option<u64>,
    ) -> Result<(), ServiceError> {
        let prolonged = self
            .succeed_envelope(id, |envelope| {
                envelope.expires_at = envelope.later_end(expires_at);
            })
            .await?;
        if let Some(envelope) = prolonged {
            self.remember_end(data_hash, envelope.expires_at).await;
        }
        Ok(())
    }

    /// Notes when to look whether the data has ended. What counts is its envelope: an
    /// earlier note is put right when it is due.
    pub(super) async fn remember_end(&self, data_hash: &DataHash, expires_at: Option<u64>) {
        let erasures = &self.inner.ports.erasures;
        if let Err(error) = erasures.schedule_erasure(data_hash, expires_at).await {
            tracing::warn!(locator = %data_hash.locator(), %error, "the end of data was not noted");
        }
    }
}

/// Refuses a time that is over.
pub(super) fn ensure_in_future(expires_at: Option<u64>) -> Result<(), ServiceError> {
    match expires_at {
        Some(at) if at <= now_ms() => Err(ServiceError::invalid("expires_at", "must be in the future")),
        Some(at) if i64::try_from(at).is_err() => {
            Err(ServiceError::invalid("expires_at", "is too far in the future"))
        }
        _ => Ok(()),
    }
}
