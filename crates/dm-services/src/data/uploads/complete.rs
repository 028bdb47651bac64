//! The end of an upload: its data is shared, or it is removed.

use std::{collections::BTreeSet, sync::Arc};

use alloy_primitives::Address;
use dm_core::{
    hash::DataHash,
    lease::in_same_epoch,
    plugin::Notes,
    share::{ShareOutcome, ShareTerms},
    span::in_same_trace,
    upload::{UploadId, UploadRecord, UploadStage},
};

use super::{Room, UploadError, UploadOutcome, desk::Held, is_lasting};
use crate::{
    ServiceError,
    data::{
        ShareOutcomes,
        seal::PartIntake,
        share::{Request, Source},
    },
};

/// The shares of an upload of which all has come.
struct Shares {
    data_hash: DataHash,
    /// The terms of each; at least one.
    asked: Vec<ShareTerms>,
    /// With whom the data was shared before, whatever has become of it since.
    before: BTreeSet<Address>,
}

impl Shares {
    /// What a client is told of them: where none was made, why the first was not.
    fn outcome(self, outcomes: ShareOutcomes) -> Result<UploadOutcome, UploadError> {
        let among = self.asked.into_iter().find_map(|terms| terms.among);
        if let Some(among) = among {
            return Ok(UploadOutcome::SharedWithEach { among, outcomes });
        }
        let only = outcomes.into_iter().next();
        let only = only.unwrap_or_else(|| Err(ServiceError::Fault("a share has no outcome".into())));
        Ok(UploadOutcome::Shared(Box::new(only?)))
    }
}

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

    /// Makes the shares of an upload of which all has come that are not made yet, also where
    /// nobody waits for that any more.
    pub(super) async fn complete(self: Arc<Self>, id: UploadId) -> Result<UploadOutcome, UploadError> {
        let mut held = self.desk.take(id).await?;
        let work = async move {
            let upload = self.catalog.upload(id).await?.ok_or(UploadError::Unknown)?;
            if let UploadStage::Shared(data_hash) = upload.stage {
                return self.shared(upload, data_hash).await;
            }
            let intake = self.take_up(&mut held, &upload).await?;
            self.share(&upload, intake).await
        };
        to_the_end(work).await
    }

    /// What became of an upload that is closed. What was refused to some of several recipients
    /// is tried again: their data is stored, unless it was erased since.
    pub(super) async fn shared(
        self: Arc<Self>,
        upload: UploadRecord,
        data_hash: DataHash,
    ) -> Result<UploadOutcome, UploadError> {
        let asked = self.terms.open(&upload.terms)?;
        if let [only] = &asked[..]
            && only.among.is_none()
        {
            let outcome = self.made_before(&data_hash, only.recipient).await?;
            return Ok(UploadOutcome::Shared(Box::new(outcome)));
        }
        let shares = Shares {
            before: self.catalog.upload_shares(upload.id).await?,
            asked,
            data_hash,
        };
        let source = Source::Stored(Notes::new());
        let outcomes = self.make(upload.id, &shares, source).await?;
        shares.outcome(outcomes)
    }

    /// Shares what has come. That this happened before changes nothing.
    pub(super) async fn share(
        &self,
        upload: &UploadRecord,
        intake: PartIntake,
    ) -> Result<UploadOutcome, UploadError> {
        let (shares, outcomes) = match self.try_share(upload, intake).await {
            Ok(made) => made,
            Err(error) => {
                self.settle_failure(upload.id, &[&error]).await?;
                return Err(error.into());
            }
        };
        let failures: Vec<&ServiceError> = outcomes.iter().filter_map(|made| made.as_ref().err()).collect();
        let is_shared = failures.len() < outcomes.len() || !shares.before.is_empty();
        let waits_for_nothing = failures.is_empty() || failures.iter().any(|error| is_lasting(error));
        if is_shared && waits_for_nothing {
            self.catalog.close_upload(upload.id, &shares.data_hash).await?;
            self.objects.forget_unfinished(upload.id).await?;
        } else if !is_shared {
            self.settle_failure(upload.id, &failures).await?;
        }
        shares.outcome(outcomes)
    }

    async fn try_share(
        &self,
        upload: &UploadRecord,
        intake: PartIntake,
    ) -> Result<(Shares, ShareOutcomes), ServiceError> {
        let asked = self.terms.open(&upload.terms)?;
        let before = self.catalog.upload_shares(upload.id).await?;
        let (sealed, notes) = intake.whole().seal().await?;
        let shares = Shares {
            data_hash: sealed.data_hash,
            asked,
            before,
        };
        // What was shared once and is gone was erased: it is not stored again.
        let source = match shares.before.is_empty() {
            true => Source::Sealed(Some(Box::new(sealed)), notes),
            false => Source::Stored(notes),
        };
        let outcomes = self.make(upload.id, &shares, source).await?;
        Ok((shares, outcomes))
    }

    /// Makes the shares that were not made before; what became of each.
    async fn make(
        &self,
        id: UploadId,
        shares: &Shares,
        source: Source,
    ) -> Result<ShareOutcomes, ServiceError> {
        let Shares {
            data_hash,
            asked,
            before,
        } = shares;
        let missing = asked.iter().filter(|terms| !before.contains(&terms.recipient));
        let requests = missing.map(|terms| Request {
            upload: Some(id),
            ..Request::of_data(*data_hash, terms.clone())
        });
        let mut made = self
            .sharing
            .share_each(requests.collect(), source)
            .await?
            .into_iter();
        let mut outcomes = Vec::with_capacity(asked.len());
        for terms in asked {
            if before.contains(&terms.recipient) {
                outcomes.push(self.made_before(data_hash, terms.recipient).await);
            } else {
                outcomes.extend(made.next());
            }
        }
        Ok(outcomes)
    }

    /// A share that was made before, as it is now.
    async fn made_before(
        &self,
        data_hash: &DataHash,
        recipient: Address,
    ) -> Result<ShareOutcome, ServiceError> {
        let outcome = self.sharing.outcome_of(data_hash, recipient).await?;
        outcome.ok_or(ServiceError::NotFound)
    }

    /// Notes that no share was made, where that is so for good.
    async fn settle_failure(&self, id: UploadId, failures: &[&ServiceError]) -> Result<(), UploadError> {
        let is_refused = |error: &&ServiceError| matches!(error, ServiceError::Refused { .. });
        if failures.iter().all(is_refused) {
            self.forget(id).await?;
        } else if failures.iter().any(|error| is_lasting(error)) {
            self.catalog.refuse_upload(id).await?;
        }
        Ok(())
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
    let done = tokio::spawn(in_same_trace(in_same_epoch(work))).await;
    done.unwrap_or_else(|error| {
        Err(ServiceError::Unavailable(format!("work was cut off: {error}").into()).into())
    })
}
