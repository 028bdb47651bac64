//! This node's own objects: which it has, whole, and how their envelopes change.

use std::sync::Arc;

use alloy_primitives::Address;
use dm_core::{
    clock::now_ms,
    envelope::{Envelope, ObjectId},
    hash::DataHash,
    ports::{Erasures, ObjectStore, ReadableObjects, Revocations, ShareCatalog, Signer},
    share::ReadableObject,
};

use super::{DataPorts, owed::Owed};
use crate::ServiceError;

mod envelopes;

/// The objects that this node owns.
pub(super) struct OwnObjects {
    objects: Arc<dyn ObjectStore>,
    shares: Arc<dyn ShareCatalog>,
    readable: Arc<dyn ReadableObjects>,
    erasures: Arc<dyn Erasures>,
    revocations: Arc<dyn Revocations>,
    signer: Arc<dyn Signer>,
    owed: Arc<Owed>,
}

impl OwnObjects {
    pub(super) fn new(ports: &DataPorts, owed: &Arc<Owed>) -> Self {
        Self {
            objects: ports.objects.clone(),
            shares: ports.catalog.clone(),
            readable: ports.catalog.clone(),
            erasures: ports.catalog.clone(),
            revocations: ports.catalog.clone(),
            signer: ports.signer.clone(),
            owed: owed.clone(),
        }
    }

    /// The account that owns them.
    pub(super) fn address(&self) -> Address {
        self.signer.address()
    }

    /// The object of this data that this node owns and still stores.
    pub(super) async fn own_object(
        &self,
        data_hash: &DataHash,
    ) -> Result<Option<ReadableObject>, ServiceError> {
        let id = self.own_id(data_hash);
        // The store is asked first: for new data it knows without reading.
        let Some(envelope) = self.objects.envelope(&id).await? else {
            return Ok(None);
        };
        if envelope.is_expired(now_ms()) {
            return Ok(None);
        }
        match self.readable.readable(data_hash).await? {
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
        let revocations = &self.revocations;
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
        let envelope = self.objects.envelope(id).await?;
        Ok(envelope.is_some_and(|envelope| envelope.grants_to(recipient)))
    }

    /// Notes that the recipient's grant is owed.
    pub(super) async fn owe_grant(
        &self,
        data_hash: &DataHash,
        recipient: Address,
    ) -> Result<(), ServiceError> {
        let shares = &self.shares;
        shares.set_grant_owed(data_hash, recipient, true).await?;
        self.owed.grants.ring();
        Ok(())
    }
}
