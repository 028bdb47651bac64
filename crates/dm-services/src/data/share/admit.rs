//! Whether a share may be made, what there is of it already, and what plugins examine.

use std::sync::Arc;

use dm_core::{
    hash::DataHash,
    mandate::VerifiedMandate,
    ports::ShareCatalog,
    share::{ReadableObject, ShareRecord},
};

use super::{Request, Source};
use crate::{
    ServiceError, ShareAuthorization,
    data::{
        Basis, DataPorts,
        consult::Content,
        erase::{Eraser, ensure_in_future},
        objects::OwnObjects,
        recorder::Recorder,
    },
};

/// What there is already of a share that is asked for.
pub(super) enum Admitted {
    /// Neither the data nor the share.
    New,
    /// The data; it is shared with others.
    Further(ReadableObject),
    /// The share.
    Known(ReadableObject, ShareRecord),
}

impl Source {
    /// Whether the data comes with the request.
    pub(super) fn brings_data(&self) -> bool {
        !matches!(self, Self::Stored(_))
    }

    /// What plugins are to examine, and its plaintext bytes.
    pub(super) fn to_examine(&self, stored: Option<&ReadableObject>) -> (u64, Content<'_>) {
        let stored_size = stored.map_or(0, |object| object.size);
        match self {
            Self::Whole(data) => (data.len() as u64, Content::Whole(data)),
            Self::Sealed(sealed, notes) => {
                let size = sealed.as_ref().map_or(stored_size, |sealed| sealed.size);
                (size, Content::Examined(notes.clone()))
            }
            Self::Stored(notes) => (stored_size, Content::Examined(notes.clone())),
        }
    }
}

/// Decides whether a share may be made.
pub(super) struct Admission {
    shares: Arc<dyn ShareCatalog>,
    authorization: Option<ShareAuthorization>,
    own: Arc<OwnObjects>,
    recorder: Arc<Recorder>,
    eraser: Eraser,
}

impl Admission {
    pub(super) fn new(ports: &DataPorts, basis: &Basis, eraser: &Eraser) -> Self {
        Self {
            shares: ports.catalog.clone(),
            authorization: ports.authorization.clone(),
            own: basis.own.clone(),
            recorder: basis.recorder.clone(),
            eraser: eraser.clone(),
        }
    }

    /// Finds out whether the request may be made, and whether this share, or this
    /// data, is known; `brings_data`: whether the data comes with the request.
    pub(super) async fn admit(&self, request: &Request, brings_data: bool) -> Result<Admitted, ServiceError> {
        let Request { data_hash, terms, .. } = request;
        self.recorder.ensure_log_accepts()?;
        self.ensure_key_fits(request).await?;
        self.ensure_mandate_fits(data_hash, terms.mandate.as_deref())?;
        ensure_in_future(terms.expires_at)?;
        if let Some(description) = &terms.description {
            description.ensure_fits()?;
        }
        let stored = self.stored_object(data_hash, brings_data).await?;
        if let Some(object) = &stored
            && let Some(record) = self.shares.share(data_hash, terms.recipient).await?
        {
            return Ok(Admitted::Known(object.clone(), record));
        }
        self.ensure_mandate_unused(terms.mandate.as_deref()).await?;
        Ok(stored.map_or(Admitted::New, Admitted::Further))
    }

    /// This node's own object of the data. What is left of data that has ended, and of
    /// shares that never came about, is cleared away where there is none.
    async fn stored_object(
        &self,
        data_hash: &DataHash,
        brings_data: bool,
    ) -> Result<Option<ReadableObject>, ServiceError> {
        if let Some(object) = self.own.own_object(data_hash).await? {
            return Ok(Some(object));
        }
        if !brings_data {
            return Err(ServiceError::NotFound);
        }
        if self.eraser.end_what_was_before(data_hash).await? {
            return self.own.own_object(data_hash).await;
        }
        self.eraser.take_back_unrecorded(data_hash).await?;
        Ok(None)
    }

    /// A mandate is for this data; where one is required, there is one.
    fn ensure_mandate_fits(
        &self,
        data_hash: &DataHash,
        mandate: Option<&VerifiedMandate>,
    ) -> Result<(), ServiceError> {
        match &self.authorization {
            Some(authorization) => authorization.ensure_for(data_hash, mandate),
            None => Ok(()),
        }
    }

    /// A mandate is good for one share.
    async fn ensure_mandate_unused(&self, mandate: Option<&VerifiedMandate>) -> Result<(), ServiceError> {
        match (&self.authorization, mandate) {
            (Some(authorization), Some(mandate)) => authorization.ensure_unused(mandate).await,
            _ => Ok(()),
        }
    }

    /// An idempotency key stands for one request.
    async fn ensure_key_fits(&self, request: &Request) -> Result<(), ServiceError> {
        let Some(key) = &request.terms.idempotency_key else {
            return Ok(());
        };
        match self.shares.share_by_key(key).await? {
            Some(share) if !request.is_that_of(&share) => Err(ServiceError::IdempotencyKeyReused),
            _ => Ok(()),
        }
    }
}
