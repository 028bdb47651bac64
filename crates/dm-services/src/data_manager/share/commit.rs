//! The point at which a share comes into being.

use dm_core::{
    ports::{CatalogError, ShareInsert},
    share::{NewShare, ShareRecord},
};

use crate::{ServiceError, data_manager::DataManager};

/// A share that the catalog keeps.
pub(super) struct Committed {
    pub(super) record: ShareRecord,
    /// Whether it was there before.
    pub(super) existed: bool,
}

impl DataManager {
    /// Commits a share. Where the catalog does not know what became of the commit, it
    /// is asked before the client is told.
    pub(super) async fn commit(&self, share: NewShare) -> Result<Committed, ServiceError> {
        match self.inner.ports.shares.commit_share(&share).await {
            Ok(ShareInsert::Inserted) => Ok(Committed {
                record: share.record,
                existed: false,
            }),
            Ok(ShareInsert::Exists(record)) => Ok(Committed {
                record,
                existed: true,
            }),
            Ok(ShareInsert::KeyReused(_)) => Err(ServiceError::IdempotencyKeyReused),
            Err(error) => match self.is_committed(&share).await {
                Ok(true) => Ok(Committed {
                    record: share.record,
                    existed: false,
                }),
                Ok(false) if !matches!(error, CatalogError::Unsettled(_)) => Err(error.into()),
                // Taking it back makes the catalog settle first what it does not know.
                Ok(false) | Err(_) => {
                    self.withdraw(&share).await;
                    Err(error.into())
                }
            },
        }
    }

    async fn is_committed(&self, share: &NewShare) -> Result<bool, CatalogError> {
        let ports = &self.inner.ports;
        let record = &share.record;
        let kept = ports.shares.share(&record.data_hash, record.recipient).await?;
        Ok(kept.as_ref() == Some(record))
    }

    /// Takes back what may have been committed.
    async fn withdraw(&self, share: &NewShare) {
        let record = &share.record;
        let withdrawn = self
            .inner
            .ports
            .shares
            .forget_share(&record.data_hash, record.recipient);
        if let Err(error) = withdrawn.await {
            tracing::error!(
                locator = %record.data_hash.locator(), recipient = %record.recipient, %error,
                "the catalog does not say whether a share was kept that was answered with an error"
            );
        }
    }
}
