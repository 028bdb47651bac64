//! This node's own objects, and whether they are whole.

use alloy_primitives::Address;
use dm_core::{
    clock::now_ms,
    envelope::{Envelope, ObjectId},
    hash::DataHash,
    ports::{EventFilter, Recorded},
    share::ReadableObject,
};

use super::DataManager;
use crate::ServiceError;

impl DataManager {
    /// The object of this data that this node owns and still stores.
    pub(super) async fn own_object(
        &self,
        data_hash: &DataHash,
    ) -> Result<Option<ReadableObject>, ServiceError> {
        let ports = &self.inner.ports;
        let id = self.own_id(data_hash);
        // The store is asked first: for new data it knows without reading.
        let Some(envelope) = ports.objects.envelope(&id).await? else {
            return Ok(None);
        };
        if envelope.is_expired(now_ms()) {
            return Ok(None);
        }
        match ports.readable.readable(data_hash).await? {
            Some(object) => self.with_key_for(&envelope, object).await,
            None => Ok(None),
        }
    }

    /// The entry of the data with the key for the chunks of this envelope, if there is one: an
    /// interrupted share may have left the one without the other, and an
    /// interrupted revocation may have stored the chunks whose key it prepared.
    pub(super) async fn with_key_for(
        &self,
        envelope: &Envelope,
        object: ReadableObject,
    ) -> Result<Option<ReadableObject>, ServiceError> {
        let fits =
            |object: &ReadableObject| object.id == envelope.id && object.chunk_list == envelope.chunk_list;
        if fits(&object) {
            return Ok(Some(object));
        }
        let revocations = &self.inner.ports.revocations;
        Ok(revocations.prepared_key(&object.data_hash).await?.filter(fits))
    }

    /// This node's object with this data.
    pub(super) fn own_id(&self, data_hash: &DataHash) -> ObjectId {
        ObjectId {
            locator: data_hash.locator(),
            owner: self.address(),
        }
    }

    pub(super) async fn has_grant(&self, id: &ObjectId, recipient: Address) -> Result<bool, ServiceError> {
        let envelope = self.inner.ports.objects.envelope(id).await?;
        Ok(envelope.is_some_and(|envelope| envelope.grants_to(recipient)))
    }

    /// Takes back shares of data whose object is not stored here, and of which nobody
    /// was told: versions that kept the share beside its object could leave one
    /// without the other. Nothing speaks of such a share, no event and no answer. The
    /// caller holds the turn of the data hash.
    pub(super) async fn take_back_unrecorded(&self, data_hash: &DataHash) -> Result<(), ServiceError> {
        let shares = &self.inner.ports.shares;
        for share in shares.unrecorded_shares_of(data_hash).await? {
            if shares.forget_share(data_hash, share.recipient).await? {
                self.drop_notes(data_hash, share.recipient).await;
                tracing::info!(locator = %data_hash.locator(), recipient = %share.recipient, "took back a share without its object");
            }
        }
        Ok(())
    }

    /// Notes that the recipient's grant is owed.
    pub(super) async fn owe_grant(
        &self,
        data_hash: &DataHash,
        recipient: Address,
    ) -> Result<(), ServiceError> {
        let shares = &self.inner.ports.shares;
        shares.set_grant_owed(data_hash, recipient, true).await?;
        self.inner.owed.grants.notify_one();
        Ok(())
    }

    /// The event of a share, where the data was not erased since, nor the
    /// recipient's access withdrawn.
    pub(super) async fn share_event(
        &self,
        data_hash: &DataHash,
        recipient: Address,
    ) -> Result<Option<Recorded>, ServiceError> {
        let log = &self.inner.ports.log;
        let Some(shared) = log.find(&EventFilter::share(*data_hash, recipient)).await? else {
            return Ok(None);
        };
        let erased = log.find(&EventFilter::erasure(*data_hash)).await?;
        let revoked = log.find(&EventFilter::revocation(*data_hash, recipient)).await?;
        let is_over = |ended: &Recorded| ended.index > shared.index;
        let holds = !erased.iter().chain(&revoked).any(is_over);
        Ok(holds.then_some(shared))
    }
}
