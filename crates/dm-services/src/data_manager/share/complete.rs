//! What is left to do for a share that exists. None of it makes the share fail: what
//! cannot be done now is owed, and done by the upkeep.

use alloy_primitives::B256;
use dm_core::{
    envelope::{Grant, ObjectId},
    event::EventKind,
    payment::PaymentReceipt,
    share::{ReadableObject, ShareOutcome, ShareRecord, ShareStatus},
};

use super::Request;
use crate::{ServiceError, data_manager::DataManager};

/// A share that exists.
pub(in crate::data_manager) struct Existing {
    pub(super) record: ShareRecord,
    pub(super) id: ObjectId,
    pub(super) grant: GrantStep,
    /// Whether it was accepted earlier, so that it may be logged and distributed
    /// already.
    pub(super) repeated: bool,
    pub(super) payment: Option<PaymentReceipt>,
    pub(super) expires_at: Option<u64>,
}

/// Where the recipient's grant is.
pub(super) enum GrantStep {
    /// In the envelope.
    InPlace,
    /// To be put there, or to be made once the recipient's key is known.
    Owed(Option<Grant>),
}

/// A share, and how far it has come.
pub(in crate::data_manager) struct Completed {
    share: Existing,
    grant_pending: bool,
    pub(in crate::data_manager) replicas: u32,
    pub(in crate::data_manager) leaf_index: Option<u64>,
}

impl Completed {
    pub(in crate::data_manager) fn outcome(self, tx_hash: Option<B256>) -> ShareOutcome {
        ShareOutcome {
            data_hash: self.share.record.data_hash,
            recipient: self.share.record.recipient,
            status: ShareStatus::of(tx_hash.as_ref()),
            tx_hash,
            leaf_index: self.leaf_index,
            replicas: self.replicas,
            grant_pending: self.grant_pending,
            payment: self.share.payment,
            expires_at: self.share.expires_at,
        }
    }
}

impl DataManager {
    /// Goes on with a share that was accepted earlier; the end of its data is put off
    /// where this is asked.
    pub(super) async fn go_on(
        &self,
        request: &Request,
        object: &ReadableObject,
        record: ShareRecord,
    ) -> Result<Existing, ServiceError> {
        let id = object.id;
        let grant = match self.has_grant(&id, record.recipient).await? {
            true => GrantStep::InPlace,
            false => GrantStep::Owed(None),
        };
        let payment = self.payment_of(&record.data_hash, record.recipient).await?;
        if request.kind == EventKind::DataShare {
            let prolonged = self
                .prolong(&id, &record.data_hash, request.terms.expires_at)
                .await;
            match prolonged {
                // The share exists with this end, which upkeep puts into the envelope.
                Err(error) if record.request == Some(request.digest()) => {
                    tracing::warn!(locator = %id.locator, %error, "a later end is owed");
                }
                done => done?,
            }
        }
        Ok(Existing {
            id,
            grant,
            repeated: true,
            payment,
            expires_at: self.expiry_of(&id).await?,
            record,
        })
    }

    /// Puts the grant into the envelope, brings copies to peers, and writes the share
    /// into the log, once.
    pub(super) async fn complete(&self, share: Existing) -> Completed {
        let grant_pending = !self.settle_grant(&share).await;
        let recorded = match share.repeated {
            true => self.recorded_position(&share).await,
            false => Ok(None),
        };
        let (replicas, leaf_index) = match recorded {
            Ok(Some(index)) => (self.known_replicas(&share.id).await.unwrap_or(0), Some(index)),
            Ok(None) => {
                let replicas = self.spread(&share).await;
                (replicas, self.record(&share).await)
            }
            Err(error) => {
                note(&share, &error, "whether a share is recorded is not known");
                (0, None)
            }
        };
        Completed {
            share,
            grant_pending,
            replicas,
            leaf_index,
        }
    }

    /// Sees to the recipient's grant; whether it is in the envelope now.
    async fn settle_grant(&self, share: &Existing) -> bool {
        let GrantStep::Owed(grant) = &share.grant else {
            return true;
        };
        if share.repeated
            && let Err(error) = self
                .owe_grant(&share.record.data_hash, share.record.recipient)
                .await
        {
            note(share, &error, "a grant that is owed was not noted");
        }
        let settled = self
            .put_into_envelope(&share.id, &share.record, grant.clone())
            .await;
        let is_made = match settled {
            Ok(()) => grant.is_some(),
            Err(error) => {
                note(share, &error, "a grant is owed");
                false
            }
        };
        if !is_made {
            self.inner.owed.grants.notify_one();
        }
        is_made
    }

    /// Brings copies to peers; how many hold one.
    async fn spread(&self, share: &Existing) -> u32 {
        match self.distribute_soon(&share.id).await {
            Ok(replicas) => replicas,
            Err(error) => {
                note(share, &error, "the copies of a share are owed");
                self.inner.owed.note_copies();
                0
            }
        }
    }

    /// Writes the share into the log; where it stands.
    async fn record(&self, share: &Existing) -> Option<u64> {
        match self.record_share(&share.record).await {
            Ok(recorded) => Some(recorded.index),
            Err(error) => {
                note(share, &error, "a share is recorded later");
                None
            }
        }
    }

    async fn recorded_position(&self, share: &Existing) -> Result<Option<u64>, ServiceError> {
        let event = self
            .share_event(&share.record.data_hash, share.record.recipient)
            .await?;
        Ok(event.map(|event| event.index))
    }
}

fn note(share: &Existing, error: &ServiceError, what: &'static str) {
    tracing::warn!(locator = %share.id.locator, recipient = %share.record.recipient, %error, "{what}");
}
