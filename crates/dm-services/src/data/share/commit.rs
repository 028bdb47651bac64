//! The point at which a share comes into being.

use dm_core::{
    payment::PaymentReceipt,
    ports::{CatalogError, ShareInsert},
    share::{NewShare, ShareRecord},
};

use super::{
    Sharing,
    complete::Existing,
    store::{Draft, Prepared},
};
use crate::ServiceError;

/// A share that the catalog keeps.
struct Committed {
    record: ShareRecord,
    /// Whether it was there before.
    existed: bool,
}

impl Sharing {
    /// Lets a share come into being; where that fails, the store is put
    /// back to how it was.
    pub(super) async fn commit(
        &self,
        draft: Draft,
        payment: Option<PaymentReceipt>,
    ) -> Result<Existing, ServiceError> {
        let committed = match self.commit_settled(draft.share).await {
            Ok(committed) => committed,
            Err(error) => {
                // What is stored may be the other instance's by now.
                if !error.is_of_a_lost_turn() {
                    self.undo(&draft.prepared).await;
                }
                return Err(error);
            }
        };
        if let Prepared::Described(described) = &draft.prepared {
            let data_hash = &committed.record.data_hash;
            self.list.relist(data_hash, &described.descriptor).await;
        }
        Ok(Existing {
            id: draft.id,
            grant: draft.grant,
            repeated: committed.existed,
            payment,
            expires_at: draft.expires_at,
            record: committed.record,
        })
    }

    /// Where the catalog does not know what became of the commit, it is asked before the
    /// client is told.
    async fn commit_settled(&self, mut share: NewShare) -> Result<Committed, ServiceError> {
        let mut commit = self.shares.commit_share(&share).await;
        if let Ok(ShareInsert::KeyReused(holder)) = &commit
            && holder.request == share.record.request
        {
            // Of the shares of one request, the first holds its key.
            share.record.idempotency_key = None;
            commit = self.shares.commit_share(&share).await;
        }
        match commit {
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
        let record = &share.record;
        let kept = self.shares.share(&record.data_hash, record.recipient).await?;
        Ok(kept.as_ref() == Some(record))
    }

    /// Takes back what may have been committed.
    async fn withdraw(&self, share: &NewShare) {
        let record = &share.record;
        let withdrawn = self.shares.forget_share(&record.data_hash, record.recipient);
        if let Err(error) = withdrawn.await {
            tracing::error!(
                locator = %record.data_hash.locator(), recipient = %record.recipient, %error,
                "the catalog does not say whether a share was kept that was answered with an error"
            );
        }
    }
}
