//! Uploads that resume: data that comes in parts, through broken connections and the end
//! of the process, and is shared once all of it is there.
//!
//! Each part is sealed and stored as it comes ([`PartIntake`]). What is acknowledged is
//! durable, in the store and in the catalog. The share is made as any other; that
//! the same data to the same recipient is the same share makes it happen once, however
//! often it is begun.

use std::sync::Arc;

use alloy_primitives::Address;
use dm_core::{
    clock::now_ms,
    config::UploadsConfig,
    envelope::MAX_OBJECT_SIZE,
    ports::{KeyRing, UnfinishedObjects, UploadCatalog},
    secret::ContentKey,
    share::{ShareOutcome, ShareTerms},
    upload::{OpenUploads, Received, UploadId, UploadPlace, UploadRecord, UploadStage},
};
use tokio::sync::Mutex;

use super::{
    Basis, DataPorts, ShareOutcomes, consult::Consultation, erase::ensure_in_future, recorder::Recorder,
    seal::Sealing, share::Sharing,
};
use crate::{ServiceError, ShareAuthorization};

mod complete;
mod desk;
mod error;
mod terms;
mod writer;

pub use error::UploadError;
pub use writer::{Counts, UploadWriter};

use desk::Desk;
use terms::TermsSeal;

/// How far an upload is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UploadProgress {
    /// Its name.
    pub id: UploadId,
    /// Bytes that have come, and are durable.
    pub offset: u64,
    /// Bytes that it shall have.
    pub length: u64,
    /// When it is forgotten, in milliseconds since the Unix epoch.
    pub expires_at: u64,
}

/// What has come of an upload.
#[derive(Debug)]
pub enum UploadOutcome {
    /// Bytes are missing, or the share is being made.
    UnderWay(UploadProgress),
    /// The share, where the upload was begun for one recipient.
    Shared(Box<ShareOutcome>),
    /// A share for each recipient, where it was begun for several.
    SharedWithEach {
        /// All recipients that were named, also those for whom no share was asked.
        among: Arc<[Address]>,
        /// What became of each share that was asked for, in their order.
        outcomes: ShareOutcomes,
    },
}

/// Takes data that comes in parts, and shares it; cheap to clone.
#[derive(Clone)]
pub struct Uploads {
    room: Arc<Room>,
}

/// What the parts of this work with.
struct Room {
    catalog: Arc<dyn UploadCatalog>,
    objects: Arc<dyn UnfinishedObjects>,
    key_ring: Arc<dyn KeyRing>,
    authorization: Option<ShareAuthorization>,
    sealing: Arc<Sealing>,
    plugins: Arc<Consultation>,
    recorder: Arc<Recorder>,
    sharing: Sharing,
    terms: TermsSeal,
    desk: Desk,
    /// Where this instance keeps parts, where there are others.
    place: Option<UploadPlace>,
    config: UploadsConfig,
    /// Held while it is decided whether there is room for one more.
    counting: Mutex<()>,
}

impl Uploads {
    pub(super) fn new(
        ports: &DataPorts,
        basis: &Basis,
        sharing: &Sharing,
        config: UploadsConfig,
    ) -> Result<Self, ServiceError> {
        Ok(Self {
            room: Arc::new(Room {
                catalog: ports.catalog.clone(),
                objects: ports.unfinished.clone(),
                key_ring: ports.key_ring.clone(),
                authorization: ports.authorization.clone(),
                sealing: basis.sealing.clone(),
                plugins: basis.plugins.clone(),
                recorder: basis.recorder.clone(),
                sharing: sharing.clone(),
                terms: TermsSeal::new(ports.signer.as_ref(), ports.sealer.clone())?,
                desk: Desk::default(),
                place: ports.instances.as_ref().map(|instances| instances.place),
                config,
                counting: Mutex::default(),
            }),
        })
    }

    /// Most bytes that one upload may have.
    pub fn max_size(&self) -> u64 {
        let config = &self.room.config;
        config
            .max_unfinished_bytes
            .min(config.max_unfinished_bytes_per_key)
            .min(MAX_OBJECT_SIZE)
    }

    /// Begins an upload of `length` bytes by an API key, to be shared on these terms: those of
    /// one share, or of each share of one request ([`ShareTerms::for_each`]). Durable when it
    /// returns.
    ///
    /// # Errors
    /// [`UploadError::TooLarge`], [`UploadError::TooMany`], [`UploadError::NoRoom`], and
    /// [`ServiceError::Invalid`] for an upload of nothing, or for nobody.
    pub async fn begin(
        &self,
        key_id: &str,
        length: u64,
        terms: &[ShareTerms],
    ) -> Result<UploadProgress, UploadError> {
        let room = &self.room;
        room.recorder.ensure_log_accepts()?;
        let (Some(first), Some(sealed)) = (terms.first(), room.terms.seal(terms)) else {
            return Err(ServiceError::invalid("recipients", "must name at least one").into());
        };
        ensure_in_future(first.expires_at)?;
        if length == 0 {
            return Err(
                ServiceError::invalid("Upload-Length", "must be at least 1: data cannot be empty").into(),
            );
        }
        if length > self.max_size() {
            return Err(UploadError::TooLarge { max: self.max_size() });
        }
        let now = now_ms();
        // Nothing is kept longer than what orders it, or than the data itself.
        let statement_end = first
            .mandate
            .as_ref()
            .map(|mandate| mandate.statement().expires_at);
        let expires_at = (now + room.config.expire_after_secs * 1000)
            .min(first.expires_at.unwrap_or(u64::MAX))
            .min(statement_end.unwrap_or(u64::MAX));
        let upload = UploadRecord {
            id: room.place.map_or_else(UploadId::random, UploadId::at),
            key_id: key_id.to_owned(),
            length,
            created_at: now,
            expires_at,
            terms: sealed,
            stage: UploadStage::Open {
                key: room.key_ring.wrap(&ContentKey::random()),
                received: Received::default(),
                refused: false,
            },
        };
        let _turn = room.counting.lock().await;
        self.ensure_room(key_id, length).await?;
        room.catalog.insert_upload(&upload).await?;
        Ok(progress(&upload))
    }

    async fn ensure_room(&self, key_id: &str, length: u64) -> Result<(), UploadError> {
        let config = &self.room.config;
        let has_room = |open: OpenUploads, most: u32, most_bytes: u64| {
            open.count < most.into() && open.bytes.saturating_add(length) <= most_bytes
        };
        let of_key = self.room.catalog.open_uploads(Some(key_id)).await?;
        if !has_room(
            of_key,
            config.max_unfinished_per_key,
            config.max_unfinished_bytes_per_key,
        ) {
            return Err(UploadError::TooMany);
        }
        let in_all = self.room.catalog.open_uploads(None).await?;
        match has_room(in_all, config.max_unfinished, config.max_unfinished_bytes) {
            true => Ok(()),
            false => Err(UploadError::NoRoom),
        }
    }

    /// How far an upload of this API key is.
    ///
    /// # Errors
    /// [`UploadError::Unknown`], also for an upload of another key, and
    /// [`UploadError::Expired`].
    pub async fn progress(&self, key_id: &str, id: UploadId) -> Result<UploadProgress, UploadError> {
        Ok(progress(&self.room.find(key_id, id).await?))
    }

    /// Begins to take bytes that come behind the first `offset` ones. One whose client
    /// sends nothing any more has to make way.
    ///
    /// # Errors
    /// As [`Uploads::progress`], [`UploadError::WrongOffset`], [`UploadError::Busy`], and
    /// [`UploadError::Elsewhere`].
    pub async fn write(
        &self,
        key_id: &str,
        id: UploadId,
        offset: u64,
        counts: Counts,
    ) -> Result<UploadWriter, UploadError> {
        let room = &self.room;
        room.find(key_id, id).await?;
        if room.is_elsewhere(id) {
            return Err(UploadError::Elsewhere);
        }
        let held = room.desk.take(id).await?;
        let upload = room.find(key_id, id).await?;
        if upload.offset() != offset {
            return Err(UploadError::WrongOffset {
                expected: upload.offset(),
            });
        }
        Ok(UploadWriter::start(room.clone(), held, upload, counts))
    }

    /// What has come of an upload. Where all bytes are there, shares that were not made yet are
    /// made now, also where nobody waits for them any more.
    ///
    /// # Errors
    /// As [`Uploads::progress`], and what can go wrong with the share, or with all of several.
    pub async fn outcome(&self, key_id: &str, id: UploadId) -> Result<UploadOutcome, UploadError> {
        let room = &self.room;
        let upload = room.find(key_id, id).await?;
        match upload.stage {
            UploadStage::Shared(data_hash) => room.clone().shared(upload, data_hash).await,
            UploadStage::Open { .. } if upload.offset() < upload.length || room.is_elsewhere(id) => {
                Ok(UploadOutcome::UnderWay(progress(&upload)))
            }
            UploadStage::Open { .. } => match room.clone().complete(id).await {
                Err(UploadError::Busy) => Ok(UploadOutcome::UnderWay(progress(&upload))),
                outcome => outcome,
            },
        }
    }

    /// Ends an upload, whoever is at it, and deletes what has come of it. Data that is
    /// shared stays shared.
    ///
    /// # Errors
    /// As [`Uploads::progress`], and [`UploadError::Busy`] while the share is being made.
    pub async fn remove(&self, key_id: &str, id: UploadId) -> Result<(), UploadError> {
        self.room.find(key_id, id).await?;
        self.room.clone().remove(id).await
    }

    /// Uploads of which something is to be done.
    pub(super) async fn due(
        &self,
        after: Option<UploadId>,
        limit: usize,
    ) -> Result<Vec<UploadId>, ServiceError> {
        Ok(self.room.catalog.due_uploads(now_ms(), after, limit).await?)
    }

    /// Does what is due of an upload: one that has expired is removed, one that is
    /// complete is shared by the instance that has it.
    pub(super) async fn settle(&self, id: UploadId) -> Result<(), ServiceError> {
        let Some(upload) = self.room.catalog.upload(id).await? else {
            return Ok(());
        };
        let settled = if upload.expires_at <= now_ms() {
            self.room.clone().remove(id).await
        } else if self.room.is_elsewhere(id) {
            Ok(())
        } else {
            self.room.clone().complete(id).await.and_then(ended)
        };
        match settled {
            Err(UploadError::Service(error)) if is_lasting(&error) => {
                tracing::info!(upload = %id, %error, "a complete upload is not shared");
                Ok(())
            }
            Err(UploadError::Service(error)) => Err(error),
            // Somebody else is at it, or was.
            Err(_) | Ok(()) => Ok(()),
        }
    }

    /// Deletes what the store has of uploads that are no more.
    pub(super) async fn collect(&self) -> Result<(), ServiceError> {
        for id in self.room.objects.list_unfinished().await? {
            if self.room.catalog.upload(id).await?.is_none() {
                self.room.objects.forget_unfinished(id).await?;
            }
        }
        Ok(())
    }
}

impl Room {
    /// Whether another instance has the parts of an upload.
    fn is_elsewhere(&self, id: UploadId) -> bool {
        self.place.is_some_and(|place| !id.is_at(place))
    }

    /// An upload of this API key that has not expired.
    async fn find(&self, key_id: &str, id: UploadId) -> Result<UploadRecord, UploadError> {
        let upload = self.catalog.upload(id).await?;
        let upload = upload.filter(|upload| upload.key_id == key_id);
        let upload = upload.ok_or(UploadError::Unknown)?;
        match upload.expires_at <= now_ms() {
            true => Err(UploadError::Expired),
            false => Ok(upload),
        }
    }
}

fn progress(upload: &UploadRecord) -> UploadProgress {
    UploadProgress {
        id: upload.id,
        offset: upload.offset(),
        length: upload.length,
        expires_at: upload.expires_at,
    }
}

/// Whether nothing is left to be tried again.
fn ended(outcome: UploadOutcome) -> Result<(), UploadError> {
    let UploadOutcome::SharedWithEach { outcomes, .. } = outcome else {
        return Ok(());
    };
    let mut failures = outcomes.into_iter().filter_map(Result::err);
    match failures.find(|error| !is_lasting(error)) {
        Some(error) => Err(error.into()),
        None => Ok(()),
    }
}

/// Whether a share fails for the same reason however often it is tried, or only its
/// client can change that.
fn is_lasting(error: &ServiceError) -> bool {
    !matches!(
        error,
        ServiceError::StorageFull
            | ServiceError::Overloaded
            | ServiceError::Unavailable(_)
            | ServiceError::Fault(_)
            | ServiceError::WrongChain { .. }
            | ServiceError::PaymentPending { .. }
            | ServiceError::PaidInVain { .. }
    )
}
