//! Shares data that arrives in pieces.

use bytes::Bytes;
use dm_core::{
    event::EventKind,
    share::{ShareOutcome, ShareTerms},
};

use super::{
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
        if self.intake.size() == 0 {
            return Err(ServiceError::invalid("data", "cannot be empty"));
        }
        let (sealed, notes) = self.intake.seal().await?;
        let request = Request {
            data_hash: sealed.data_hash,
            kind: EventKind::DataShare,
            terms,
        };
        self.sharing
            .share(request, Source::Sealed(Box::new(sealed), notes))
            .await
    }
}
