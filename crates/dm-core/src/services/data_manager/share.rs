//! The steps of a share between its validation and its anchor. Callers hold
//! the turn of the data hash.

use alloy_primitives::{Address, B256};

use super::{DataManager, expire::ensure_in_future, plugins::Content, seal::Sealed};
use crate::{
    clock::now_ms,
    envelope::{Envelope, ObjectId},
    event::EventKind,
    hash::DataHash,
    mandate::{Mandate, VerifiedMandate},
    payment::PaymentReceipt,
    plugin::Notes,
    ports::{EventFilter, Recorded, ShareInsert},
    services::ServiceError,
    share::{ReadableObject, ShareOutcome, ShareRecord, ShareStatus, ShareTerms},
};

/// What is to be done for a share that was asked for.
pub(super) enum Begin {
    /// The data is not stored yet, and was paid for as far as that was asked.
    Store(Option<PaymentReceipt>),
    /// The data is stored; go on from here.
    Continue(Progress),
}

/// A share whose data is stored.
pub(super) struct Progress {
    data_hash: DataHash,
    recipient: Address,
    id: ObjectId,
    grant_pending: bool,
    /// Whether the share was accepted earlier, so that it may be logged and
    /// distributed already.
    repeated: bool,
    /// What its event says.
    pub(super) kind: EventKind,
    payment: Option<PaymentReceipt>,
    mandate: Option<Box<Mandate>>,
    expires_at: Option<u64>,
}

/// A share that stands in the log.
pub(super) struct RecordedShare {
    data_hash: DataHash,
    recipient: Address,
    grant_pending: bool,
    payment: Option<PaymentReceipt>,
    expires_at: Option<u64>,
    pub(super) replicas: u32,
    pub(super) leaf_index: u64,
}

impl RecordedShare {
    pub(super) fn outcome(self, tx_hash: Option<B256>) -> ShareOutcome {
        ShareOutcome {
            data_hash: self.data_hash,
            recipient: self.recipient,
            status: ShareStatus::of(tx_hash.as_ref()),
            tx_hash,
            leaf_index: self.leaf_index,
            replicas: self.replicas,
            grant_pending: self.grant_pending,
            payment: self.payment,
            expires_at: self.expires_at,
        }
    }
}

impl DataManager {
    /// Finds out whether this share, or this data, is known. For a share that
    /// is not, asks the plugins and takes the payment.
    pub(super) async fn begin_share(
        &self,
        data_hash: &DataHash,
        size: u64,
        content: Content<'_>,
        terms: &ShareTerms,
    ) -> Result<Begin, ServiceError> {
        self.ensure_key_fits(data_hash, terms).await?;
        self.ensure_mandate_fits(data_hash, terms.mandate.as_deref())?;
        ensure_in_future(terms.expires_at)?;
        let object = self.own_object(data_hash).await?;
        if object.is_none() {
            self.end_what_was_before(data_hash).await?;
        }
        let known = match &object {
            Some(_) => self.inner.ports.shares.share(data_hash, terms.recipient).await?,
            None => None,
        };
        if let (Some(object), Some(share)) = (&object, &known) {
            self.prolong(&object.id, data_hash, terms.expires_at).await?;
            return self.continue_share(object, share).await.map(Begin::Continue);
        }
        self.ensure_mandate_unused(terms.mandate.as_deref()).await?;
        let notes = self.consult_plugins(data_hash, size, content, terms).await?;
        match object {
            Some(object) => {
                let payment = self.take_payment_and_keep(data_hash, terms, notes).await?;
                let shared = self.prolong_and_share(&object, terms, payment.clone()).await;
                self.after_payment(payment.as_ref(), shared).map(Begin::Continue)
            }
            None => {
                let payment = self.take_payment_and_keep(data_hash, terms, notes).await?;
                Ok(Begin::Store(payment))
            }
        }
    }

    async fn prolong_and_share(
        &self,
        object: &ReadableObject,
        terms: &ShareTerms,
        payment: Option<PaymentReceipt>,
    ) -> Result<Progress, ServiceError> {
        self.prolong(&object.id, &object.data_hash, terms.expires_at)
            .await?;
        self.share_again(object, terms, payment).await
    }

    /// Takes the payment, and keeps the notes of plugins until the share is logged.
    async fn take_payment_and_keep(
        &self,
        data_hash: &DataHash,
        terms: &ShareTerms,
        notes: Notes,
    ) -> Result<Option<PaymentReceipt>, ServiceError> {
        let payment = self.take_payment(data_hash, terms).await?;
        let kept = self.keep_notes(data_hash, terms.recipient, notes).await;
        self.after_payment(payment.as_ref(), kept)?;
        Ok(payment)
    }

    /// Goes on with a share that was accepted earlier.
    pub(super) async fn continue_share(
        &self,
        object: &ReadableObject,
        share: &ShareRecord,
    ) -> Result<Progress, ServiceError> {
        let grant_pending = !self.has_grant(&object.id, share.recipient).await?;
        if grant_pending {
            self.owe_grant(&share.data_hash, share.recipient).await?;
        }
        Ok(Progress {
            data_hash: share.data_hash,
            recipient: share.recipient,
            id: object.id,
            grant_pending,
            repeated: true,
            kind: EventKind::DataShare,
            payment: self.payment_of(&share.data_hash, share.recipient).await?,
            mandate: share.event_mandate(),
            expires_at: self.expiry_of(&object.id).await?,
        })
    }

    /// A mandate is for this data; where one is required, there is one.
    pub(super) fn ensure_mandate_fits(
        &self,
        data_hash: &DataHash,
        mandate: Option<&VerifiedMandate>,
    ) -> Result<(), ServiceError> {
        match &self.inner.ports.authorization {
            Some(authorization) => authorization.ensure_for(data_hash, mandate),
            None => Ok(()),
        }
    }

    /// A mandate is good for one share.
    pub(super) async fn ensure_mandate_unused(
        &self,
        mandate: Option<&VerifiedMandate>,
    ) -> Result<(), ServiceError> {
        match (&self.inner.ports.authorization, mandate) {
            (Some(authorization), Some(mandate)) => authorization.ensure_unused(mandate).await,
            _ => Ok(()),
        }
    }

    /// An idempotency key stands for one share.
    async fn ensure_key_fits(&self, data_hash: &DataHash, terms: &ShareTerms) -> Result<(), ServiceError> {
        let Some(key) = &terms.idempotency_key else {
            return Ok(());
        };
        match self.inner.ports.shares.share_by_key(key).await? {
            Some(share) if (share.data_hash, share.recipient) != (*data_hash, terms.recipient) => {
                Err(ServiceError::IdempotencyKeyReused)
            }
            _ => Ok(()),
        }
    }

    /// The object of this data that this node owns and still stores.
    pub(super) async fn own_object(
        &self,
        data_hash: &DataHash,
    ) -> Result<Option<ReadableObject>, ServiceError> {
        let ports = &self.inner.ports;
        let id = self.own_id(data_hash);
        // The store is asked first: for new data it knows without reading.
        let Some(envelope) = ports.objects.envelope(&id).await? else {
            return Ok(None);
        };
        if envelope.is_expired(now_ms()) {
            return Ok(None);
        }
        match ports.readable.readable(data_hash).await? {
            Some(object) => self.with_key_for(&envelope, object).await,
            None => Ok(None),
        }
    }

    /// The entry of the data with the key for the chunks of this envelope, if there is one: an
    /// interrupted share may have left the one without the other, and an
    /// interrupted revocation may have stored the chunks whose key it prepared.
    pub(super) async fn with_key_for(
        &self,
        envelope: &Envelope,
        object: ReadableObject,
    ) -> Result<Option<ReadableObject>, ServiceError> {
        let fits =
            |object: &ReadableObject| object.id == envelope.id && object.chunk_list == envelope.chunk_list;
        if fits(&object) {
            return Ok(Some(object));
        }
        let revocations = &self.inner.ports.revocations;
        Ok(revocations.prepared_key(&object.data_hash).await?.filter(fits))
    }

    /// This node's object with this data.
    pub(super) fn own_id(&self, data_hash: &DataHash) -> ObjectId {
        ObjectId {
            locator: data_hash.locator(),
            owner: self.address(),
        }
    }

    pub(super) async fn has_grant(&self, id: &ObjectId, recipient: Address) -> Result<bool, ServiceError> {
        let envelope = self.inner.ports.objects.envelope(id).await?;
        Ok(envelope.is_some_and(|envelope| envelope.grants_to(recipient)))
    }

    /// Stores new data, makes it readable for its owner and its recipient, and
    /// keeps the share: all of it durable when this returns.
    pub(super) async fn store_and_share(
        &self,
        sealed: Sealed,
        terms: &ShareTerms,
        payment: Option<PaymentReceipt>,
    ) -> Result<Progress, ServiceError> {
        let inner = &self.inner;
        let id = self.own_id(&sealed.data_hash);
        let grant = self.make_grant(&sealed.key, id, terms.recipient).await?;
        let grant_pending = grant.is_none();
        let now = now_ms();
        // A tombstone or an object without a key may be in its place.
        let replaced = inner.ports.objects.envelope(&id).await?;
        let envelope = self.sign_envelope(Envelope {
            id,
            size: sealed.size,
            chunk_list: sealed.chunk_list,
            sequence: replaced.map_or(now, |replaced| replaced.next_sequence(now)),
            created_at: now,
            grants: grant.into_iter().collect(),
            receipts: Vec::new(),
            expires_at: terms.expires_at,
        })?;
        let readable = ReadableObject {
            data_hash: sealed.data_hash,
            id,
            size: sealed.size,
            chunk_list: sealed.chunk_list,
            key: inner.ports.key_ring.wrap(&sealed.key),
        };
        let share = share_record(&sealed.data_hash, terms);
        if terms.expires_at.is_some() {
            // Before the object: one that is stored must not be forgotten.
            let erasures = &inner.ports.erasures;
            erasures
                .schedule_erasure(&sealed.data_hash, terms.expires_at)
                .await?;
        }
        let (stored, kept, inserted) = tokio::join!(
            sealed.writer.finish(&envelope),
            inner.ports.readable.put_readable(&readable),
            inner.ports.shares.insert_share(&share),
        );
        stored?;
        kept?;
        ensure_inserted(&inserted?)?;
        if grant_pending {
            self.owe_grant(&sealed.data_hash, terms.recipient).await?;
        }
        Ok(Progress {
            data_hash: sealed.data_hash,
            recipient: terms.recipient,
            id,
            grant_pending,
            repeated: false,
            kind: EventKind::DataShare,
            payment,
            mandate: share.event_mandate(),
            expires_at: terms.expires_at,
        })
    }

    /// Shares stored data with a further recipient: no new ciphertext is needed.
    pub(super) async fn share_again(
        &self,
        object: &ReadableObject,
        terms: &ShareTerms,
        payment: Option<PaymentReceipt>,
    ) -> Result<Progress, ServiceError> {
        let inner = &self.inner;
        let key = inner.ports.key_ring.unwrap(&object.key)?;
        let grant = self.make_grant(&key, object.id, terms.recipient).await?;
        let grant_pending = grant.is_none();
        if let Some(grant) = grant {
            self.add_grant(&object.id, grant).await?;
        }
        let share = share_record(&object.data_hash, terms);
        ensure_inserted(&inner.ports.shares.insert_share(&share).await?)?;
        if grant_pending {
            self.owe_grant(&object.data_hash, terms.recipient).await?;
        }
        Ok(Progress {
            data_hash: object.data_hash,
            recipient: terms.recipient,
            id: object.id,
            grant_pending,
            repeated: false,
            kind: EventKind::DataShare,
            payment,
            mandate: share.event_mandate(),
            expires_at: self.expiry_of(&object.id).await?,
        })
    }

    pub(super) async fn owe_grant(
        &self,
        data_hash: &DataHash,
        recipient: Address,
    ) -> Result<(), ServiceError> {
        self.inner
            .ports
            .shares
            .set_grant_owed(data_hash, recipient, true)
            .await?;
        self.inner.owed.grants.notify_one();
        Ok(())
    }

    /// Brings copies to peers and writes the share into the log, once.
    pub(super) async fn distribute_and_record(&self, share: Progress) -> Result<RecordedShare, ServiceError> {
        let known = match share.repeated {
            true => self.share_event(&share.data_hash, share.recipient).await?,
            false => None,
        };
        let (replicas, recorded) = match known {
            Some(recorded) => (self.known_replicas(&share.id).await?, recorded),
            None => {
                let replicas = self.distribute_soon(&share.id).await?;
                let recorded = self.record_share(share.kind, share.data_hash, share.recipient, share.mandate);
                (replicas, recorded.await?)
            }
        };
        Ok(RecordedShare {
            data_hash: share.data_hash,
            recipient: share.recipient,
            grant_pending: share.grant_pending,
            payment: share.payment,
            expires_at: share.expires_at,
            replicas,
            leaf_index: recorded.index,
        })
    }

    /// The event of a share, where the data was not erased since, nor the
    /// recipient's access withdrawn.
    pub(super) async fn share_event(
        &self,
        data_hash: &DataHash,
        recipient: Address,
    ) -> Result<Option<Recorded>, ServiceError> {
        let log = &self.inner.ports.log;
        let Some(shared) = log.find(&EventFilter::share(*data_hash, recipient)).await? else {
            return Ok(None);
        };
        let erased = log.find(&EventFilter::erasure(*data_hash)).await?;
        let revoked = log.find(&EventFilter::revocation(*data_hash, recipient)).await?;
        let is_over = |ended: &Recorded| ended.index > shared.index;
        let holds = !erased.iter().chain(&revoked).any(is_over);
        Ok(holds.then_some(shared))
    }
}

fn share_record(data_hash: &DataHash, terms: &ShareTerms) -> ShareRecord {
    ShareRecord {
        data_hash: *data_hash,
        recipient: terms.recipient,
        idempotency_key: terms.idempotency_key.clone(),
        created_at: now_ms(),
        mandate: terms.mandate.as_deref().map(|mandate| Box::new(mandate.into())),
    }
}

fn ensure_inserted(insert: &ShareInsert) -> Result<(), ServiceError> {
    match insert {
        ShareInsert::Inserted | ShareInsert::Exists(_) => Ok(()),
        ShareInsert::KeyReused(_) => Err(ServiceError::IdempotencyKeyReused),
    }
}
