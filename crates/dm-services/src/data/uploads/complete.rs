//! The end of an upload: its data is shared, or it is removed.

use std::sync::Arc;

use dm_core::{
    share::ShareOutcome,
    upload::{UploadId, UploadRecord, UploadStage},
};

use super::{Room, UploadError, desk::Held, is_lasting};
use crate::{
    ServiceError,
    data::{
        seal::PartIntake,
        share::{Request, Source},
    },
};

impl Room {
    /// What has come of an upload, from memory where it is there. One of which something is
    /// lost, as after a restore from a backup, ends.
    pub(super) async fn take_up(
        &self,
        held: &mut Held,
        upload: &UploadRecord,
    ) -> Result<PartIntake, UploadError> {
        let UploadStage::Open { key, received, .. } = &upload.stage else {
            return Err(UploadError::Busy);
        };
        if let Some(intake) = held.intake.take()
            && intake.size() == received.offset
        {
            return Ok(intake);
        }
        let key = self.key_ring.unwrap(key).map_err(ServiceError::from)?;
        let (sealing, examiner) = (self.sealing.clone(), self.plugins.examiner());
        let intake = PartIntake::take_up(sealing, &self.objects, examiner, upload.id, key, received);
        match intake.await {
            Err(error @ ServiceError::Damaged(_)) => {
                tracing::warn!(upload = %upload.id, %error, "what has come of an upload is lost, and it ends");
                self.forget(upload.id).await?;
                Err(UploadError::Unknown)
            }
            intake => Ok(intake?),
        }
    }

    /// Shares an upload of which all has come, also where nobody waits for that any more.
    pub(super) async fn complete(self: Arc<Self>, id: UploadId) -> Result<ShareOutcome, UploadError> {
        let mut held = self.desk.take(id).await?;
        let work = async move {
            let upload = self.catalog.upload(id).await?.ok_or(UploadError::Unknown)?;
            if let UploadStage::Shared(data_hash) = &upload.stage {
                return Ok(self.shared(&upload.terms, data_hash).await?);
            }
            let intake = self.take_up(&mut held, &upload).await?;
            self.share(&upload, intake).await
        };
        to_the_end(work).await
    }

    /// Shares what has come. That this happened before changes nothing.
    pub(super) async fn share(
        &self,
        upload: &UploadRecord,
        intake: PartIntake,
    ) -> Result<ShareOutcome, UploadError> {
        let shared = self.try_share(upload, intake).await;
        match &shared {
            Ok(outcome) => {
                self.catalog.close_upload(upload.id, &outcome.data_hash).await?;
                self.objects.forget_unfinished(upload.id).await?;
            }
            Err(ServiceError::Refused { .. }) => self.forget(upload.id).await?,
            Err(error) if is_lasting(error) => {
                self.catalog.refuse_upload(upload.id).await?;
            }
            Err(_) => {}
        }
        Ok(shared?)
    }

    async fn try_share(
        &self,
        upload: &UploadRecord,
        intake: PartIntake,
    ) -> Result<ShareOutcome, ServiceError> {
        let terms = self.terms.open(&upload.terms)?;
        let (sealed, notes) = intake.whole().seal().await?;
        let request = Request::of_data(sealed.data_hash, terms);
        self.sharing
            .share(request, Source::Sealed(Some(Box::new(sealed)), notes))
            .await
    }

    /// Removes an upload, whoever is at it.
    pub(super) async fn remove(self: Arc<Self>, id: UploadId) -> Result<(), UploadError> {
        let mut held = self.desk.take_away(id).await?;
        let work = async move {
            drop(held.intake.take());
            self.forget(id).await
        };
        to_the_end(work).await
    }

    /// Forgets an upload, which the caller is at. What is left of it if this is interrupted is
    /// collected later.
    pub(super) async fn forget(&self, id: UploadId) -> Result<(), UploadError> {
        self.catalog.remove_upload(id).await?;
        self.objects.forget_unfinished(id).await?;
        self.desk.forget(id);
        Ok(())
    }
}

/// Runs work to its end also where nobody waits for it any more.
async fn to_the_end<T: Send + 'static>(
    work: impl Future<Output = Result<T, UploadError>> + Send + 'static,
) -> Result<T, UploadError> {
    let done = tokio::spawn(work).await;
    done.unwrap_or_else(|error| {
        Err(ServiceError::Unavailable(format!("work was cut off: {error}").into()).into())
    })
}
