//! Shares data that arrives in pieces.

use bytes::Bytes;
use dm_core::{
    hash::DataHash,
    share::{ShareOutcome, ShareTerms},
};

use super::{
    ShareOutcomes,
    seal::Intake,
    share::{Request, Sharing, Source},
};
use crate::ServiceError;

/// Data on its way in. Nothing of it is visible before [`Upload::finish`], and
/// dropping it leaves nothing behind.
pub struct Upload {
    sharing: Sharing,
    intake: Intake,
}

impl Upload {
    pub(super) fn new(sharing: Sharing, intake: Intake) -> Self {
        Self { sharing, intake }
    }

    /// Takes the next piece; waits while enough is in memory.
    ///
    /// # Errors
    /// [`ServiceError::StorageFull`], [`ServiceError::Refused`] by a plugin, and
    /// faults of the store; the upload is lost then.
    pub async fn write(&mut self, piece: Bytes) -> Result<(), ServiceError> {
        self.intake.write(piece).await
    }

    /// Shares what has arrived. The same data to the same recipient again is
    /// the same share.
    ///
    /// # Errors
    /// As [`DataManager::share_bytes`](crate::DataManager::share_bytes).
    #[tracing::instrument(level = "debug", skip_all, fields(recipient = %terms.recipient, size = self.intake.size()))]
    pub async fn finish(self, terms: ShareTerms) -> Result<ShareOutcome, ServiceError> {
        let sharing = self.sharing.clone();
        let (data_hash, source) = self.seal().await?;
        sharing.share(Request::of_data(data_hash, terms), source).await
    }

    /// Shares what has arrived with several recipients, each on terms of its own.
    ///
    /// # Errors
    /// As [`DataManager::share_bytes_with_each`](crate::DataManager::share_bytes_with_each).
    #[tracing::instrument(level = "debug", skip_all, fields(recipients = terms.len(), size = self.intake.size()))]
    pub async fn finish_with_each(self, terms: Vec<ShareTerms>) -> Result<ShareOutcomes, ServiceError> {
        let sharing = self.sharing.clone();
        let (data_hash, source) = self.seal().await?;
        let requests = terms.into_iter().map(|terms| Request::of_data(data_hash, terms));
        sharing.share_each(requests.collect(), source).await
    }

    async fn seal(self) -> Result<(DataHash, Source), ServiceError> {
        if self.intake.size() == 0 {
            return Err(ServiceError::invalid("data", "cannot be empty"));
        }
        let (sealed, notes) = self.intake.seal().await?;
        Ok((sealed.data_hash, Source::Sealed(Some(Box::new(sealed)), notes)))
    }
}
