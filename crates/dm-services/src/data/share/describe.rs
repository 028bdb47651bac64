//! What a share says of data that is stored already. The newest description counts, for all
//! readers; a share that says nothing leaves what was said.

use std::sync::Arc;

use bytes::Bytes;
use dm_core::{
    descriptor::Descriptor,
    envelope::{ObjectId, SignedEnvelope},
    ports::{KeyRing, ObjectStore},
    secret::ContentKey,
    share::ReadableObject,
};

use super::{Request, list::ShareList};
use crate::{
    ServiceError,
    data::{Basis, DataPorts, objects::OwnObjects, seal::Sealing},
};

/// An object that was described anew.
pub(super) struct Described {
    id: ObjectId,
    /// What travelled with it before.
    attachments: Vec<Bytes>,
    /// What it says now.
    pub(super) descriptor: Descriptor,
}

/// Describes data that is stored.
pub(super) struct Descriptions {
    objects: Arc<dyn ObjectStore>,
    key_ring: Arc<dyn KeyRing>,
    own: Arc<OwnObjects>,
    sealing: Arc<Sealing>,
    list: Arc<ShareList>,
}

impl Descriptions {
    pub(super) fn new(ports: &DataPorts, basis: &Basis, list: &Arc<ShareList>) -> Self {
        Self {
            objects: ports.objects.clone(),
            key_ring: ports.key_ring.clone(),
            own: basis.own.clone(),
            sealing: basis.sealing.clone(),
            list: list.clone(),
        }
    }

    /// Describes the data of a further share. Data of an earlier version, of which nothing
    /// is said, gets a descriptor with its hash. What is said of it then, and what has changed
    /// for that.
    pub(super) async fn for_further_share(
        &self,
        request: &Request,
        envelope: &SignedEnvelope,
        key: &ContentKey,
    ) -> Result<(Descriptor, Option<Described>), ServiceError> {
        let present = self.sealing.open_descriptor(envelope, key);
        let wanted = request.descriptor(request.data_hash);
        match present {
            Some(present) if request.terms.description.is_none() => Ok((present, None)),
            present => {
                let described = self.replace_descriptor(envelope, key, present, &wanted).await?;
                Ok((wanted, described))
            }
        }
    }

    /// Describes the data of a share that exists, where the request says something else of
    /// it; whether it does.
    pub(super) async fn for_known_share(
        &self,
        request: &Request,
        object: &ReadableObject,
    ) -> Result<bool, ServiceError> {
        if request.terms.description.is_none() {
            return Ok(false);
        }
        let Some(envelope) = self.objects.envelope(&object.id).await? else {
            return Err(ServiceError::NotFound);
        };
        let key = self.key_ring.unwrap(&object.key)?;
        let present = self.sealing.open_descriptor(&envelope, &key);
        let wanted = request.descriptor(object.data_hash);
        let described = self.replace_descriptor(&envelope, &key, present, &wanted).await?;
        if described.is_some() {
            self.list.relist(&object.data_hash, &wanted).await;
        }
        Ok(described.is_some())
    }

    async fn replace_descriptor(
        &self,
        envelope: &SignedEnvelope,
        key: &ContentKey,
        present: Option<Descriptor>,
        wanted: &Descriptor,
    ) -> Result<Option<Described>, ServiceError> {
        if present.as_ref() == Some(wanted) {
            return Ok(None);
        }
        let attachments = self.sealing.attachments_with(envelope, key, wanted);
        self.own.set_attachments(&envelope.id, attachments).await?;
        Ok(Some(Described {
            id: envelope.id,
            attachments: envelope.attachments.clone(),
            descriptor: wanted.clone(),
        }))
    }

    /// Lets the object say what it said before a share that failed.
    pub(super) async fn take_back(&self, described: &Described) {
        let Described { id, attachments, .. } = described;
        if let Err(error) = self.own.set_attachments(id, attachments.clone()).await {
            tracing::warn!(locator = %id.locator, %error, "the descriptor of a share that failed stays");
        }
    }
}
