//! What is left to do for a share that exists. None of it makes the share fail: what
//! cannot be done now is owed, and done by the upkeep.

use alloy_primitives::{Address, B256};
use dm_core::{
    envelope::{Grant, ObjectId},
    event::EventKind,
    hash::DataHash,
    payment::PaymentReceipt,
    share::{ReadableObject, ShareOutcome, ShareRecord, ShareStatus},
    span::{SpanKind, in_child},
};

use super::{Request, Sharing};
use crate::ServiceError;

/// A share that exists.
pub(super) struct Existing {
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

/// A share whose recipient's grant was seen to.
pub(super) struct Granted {
    share: Existing,
    grant_pending: bool,
    place: Place,
}

/// Where a share stands in the log.
enum Place {
    At(u64),
    /// Nowhere yet.
    Open,
    /// The log does not say.
    Unknown,
}

/// A share, and how far it has come.
pub(super) struct Completed {
    pub(super) share: Existing,
    pub(super) grant_pending: bool,
    pub(super) replicas: u32,
    pub(super) leaf_index: Option<u64>,
}

impl Place {
    fn index(&self) -> Option<u64> {
        match self {
            Self::At(index) => Some(*index),
            Self::Open | Self::Unknown => None,
        }
    }
}

impl Existing {
    pub(super) fn warn(&self, error: &ServiceError, what: &'static str) {
        tracing::warn!(locator = %self.id.locator, recipient = %self.record.recipient, %error, "{what}");
    }
}

impl Completed {
    /// The line of this share in the log of messages.
    pub(super) fn tell(&self, tx_hash: Option<&B256>) {
        let Existing {
            id, record, repeated, ..
        } = &self.share;
        tracing::info!(
            locator = %id.locator,
            recipient = %record.recipient,
            replicas = self.replicas,
            anchored = tx_hash.is_some(),
            repeated,
            "shared"
        );
    }

    pub(super) fn outcome(self, tx_hash: Option<B256>) -> ShareOutcome {
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

impl Sharing {
    /// Goes on with a share that was accepted earlier; its data is described anew and its
    /// end is put off where this is asked.
    pub(super) async fn go_on(
        &self,
        request: &Request,
        object: &ReadableObject,
        record: ShareRecord,
    ) -> Result<Existing, ServiceError> {
        let id = object.id;
        if let Some(upload) = request.upload {
            let (data_hash, recipients) = (&record.data_hash, [record.recipient]);
            self.uploads
                .note_upload_shares(upload, data_hash, &recipients)
                .await?;
        }
        if request.kind == EventKind::DataShare {
            if self.descriptions.for_known_share(request, object).await? {
                self.copies.tell_later(&id);
            }
            let prolonged = self
                .own
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
        self.existing(id, record).await
    }

    /// A share that was accepted earlier, as it is now.
    async fn existing(&self, id: ObjectId, record: ShareRecord) -> Result<Existing, ServiceError> {
        let grant = match self.own.has_grant(&id, record.recipient).await? {
            true => GrantStep::InPlace,
            false => GrantStep::Owed(None),
        };
        let payment = self
            .payments
            .payment_of(&record.data_hash, record.recipient)
            .await?;
        Ok(Existing {
            id,
            grant,
            repeated: true,
            payment,
            expires_at: self.own.expiry_of(&id).await?,
            record,
        })
    }

    /// How far a share has come that was accepted earlier, without asking anything of it;
    /// `None` where there is none.
    pub(in crate::data) async fn outcome_of(
        &self,
        data_hash: &DataHash,
        recipient: Address,
    ) -> Result<Option<ShareOutcome>, ServiceError> {
        let Some(object) = self.own.own_object(data_hash).await? else {
            return Ok(None);
        };
        let Some(record) = self.shares.share(data_hash, recipient).await? else {
            return Ok(None);
        };
        let share = self.existing(object.id, record).await?;
        let share = Completed {
            grant_pending: !matches!(share.grant, GrantStep::InPlace),
            replicas: self.known_replicas(&share).await,
            leaf_index: self.place_in_log(&share).await.index(),
            share,
        };
        let tx_hash = self.anchor(&share).await;
        Ok(Some(share.outcome(tx_hash)))
    }

    /// Sees to the recipient's grant.
    pub(super) async fn grant(&self, share: Existing) -> Granted {
        Granted {
            grant_pending: !self.is_granted(&share).await,
            place: self.place_in_log(&share).await,
            share,
        }
    }

    /// Sees to the recipient's grant; whether it is in the envelope now.
    async fn is_granted(&self, share: &Existing) -> bool {
        let GrantStep::Owed(grant) = &share.grant else {
            return true;
        };
        if share.repeated
            && let Err(error) = self
                .own
                .owe_grant(&share.record.data_hash, share.record.recipient)
                .await
        {
            share.warn(&error, "a grant that is owed was not noted");
        }
        let settled = self
            .own
            .put_into_envelope(&share.id, &share.record, grant.clone())
            .await;
        let is_made = match settled {
            Ok(()) => grant.is_some(),
            Err(error) => {
                share.warn(&error, "a grant is owed");
                false
            }
        };
        if !is_made {
            self.owed.grants.ring();
        }
        is_made
    }

    /// Brings copies to peers, if one of the shares is new; how many hold one.
    pub(super) async fn distribute(&self, shares: impl Iterator<Item = &Granted> + Clone) -> u32 {
        let new = shares.clone().find(|share| matches!(share.place, Place::Open));
        let Some(Granted { share, .. }) = new else {
            return match shares.into_iter().next() {
                Some(known) => self.known_replicas(&known.share).await,
                None => 0,
            };
        };
        let distributing = self.copies.distribute_soon(&share.id);
        match in_child("share.distribute", SpanKind::Internal, distributing).await {
            Ok(replicas) => replicas,
            Err(error) => {
                share.warn(&error, "the copies of a share are owed");
                self.owed.note_copies();
                0
            }
        }
    }

    /// Writes a share into the log that is not there.
    pub(super) async fn record(
        &self,
        share: Result<Granted, ServiceError>,
        replicas: u32,
    ) -> Result<Completed, ServiceError> {
        let Granted {
            share,
            grant_pending,
            place,
        } = share?;
        let leaf_index = match place {
            Place::Open => self.write_into_log(&share).await,
            Place::At(_) | Place::Unknown => place.index(),
        };
        Ok(Completed {
            share,
            grant_pending,
            replicas,
            leaf_index,
        })
    }

    async fn write_into_log(&self, share: &Existing) -> Option<u64> {
        let recording = self.recorder.record_share(&share.record);
        match in_child("share.record", SpanKind::Internal, recording).await {
            Ok(recorded) => Some(recorded.index),
            Err(error) => {
                share.warn(&error, "a share is recorded later");
                None
            }
        }
    }

    /// The anchor's transaction, waited for only so long.
    pub(super) async fn anchor(&self, share: &Completed) -> Option<B256> {
        let leaf_index = share.leaf_index?;
        let anchor = self.recorder.anchor_of(leaf_index).await;
        anchor.unwrap_or_else(|error| {
            tracing::warn!(leaf_index, %error, "whether a share is anchored is not known");
            None
        })
    }

    async fn known_replicas(&self, share: &Existing) -> u32 {
        self.copies.known_replicas(&share.id).await.unwrap_or(0)
    }

    /// Where a share stands in the log: one that is new, nowhere.
    async fn place_in_log(&self, share: &Existing) -> Place {
        if !share.repeated {
            return Place::Open;
        }
        let event = self
            .recorder
            .share_event(&share.record.data_hash, share.record.recipient)
            .await;
        match event {
            Ok(Some(event)) => Place::At(event.index),
            Ok(None) => Place::Open,
            Err(error) => {
                share.warn(&error, "whether a share is recorded is not known");
                Place::Unknown
            }
        }
    }
}
