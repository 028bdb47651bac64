//! A share, from the request to the answer:
//!
//! admit → consult → collect → store → commit → grant → spread → record
//!
//! It comes into being in one point, the commit: one transaction of the catalog.
//! What fails before it is undone, and the client is told. After it the share exists:
//! the answer is a success, and what cannot be done at once is done by the upkeep.

use bytes::Bytes;
use dm_core::{
    event::EventKind,
    hash::DataHash,
    mandate::VerifiedMandate,
    payment::PaymentReceipt,
    plugin::Notes,
    share::{ReadableObject, ShareOutcome, ShareRecord},
};

use super::{DataManager, expire::ensure_in_future, plugins::Content, seal::Sealed};
use crate::{ServiceError, run_to_completion};

mod commit;
mod complete;
mod request;
mod store;

pub(super) use complete::Completed;
use complete::Existing;
pub(super) use request::Request;

/// Where the data of a share is.
pub(super) enum Source {
    /// In memory.
    Whole(Bytes),
    /// In the store, under no name yet, and examined by plugins with these notes.
    Sealed(Box<Sealed>, Notes),
    /// In an object of this node's own.
    Stored,
}

/// What there is already of a share that is asked for.
enum Admitted {
    /// Neither the data nor the share.
    New,
    /// The data; it is shared with others.
    Further(ReadableObject),
    /// The share.
    Known(ReadableObject, ShareRecord),
}

impl DataManager {
    /// Makes a share, also where nobody waits for it any more. The same share again
    /// is the same.
    pub(super) async fn share(&self, request: Request, source: Source) -> Result<ShareOutcome, ServiceError> {
        let manager = self.clone();
        run_to_completion(async move {
            let turn = manager.turn(&request.data_hash).await;
            manager.ensure_log_accepts()?;
            let share = match manager.admit(&request).await? {
                Admitted::Known(object, record) => manager.go_on(&request, &object, record).await?,
                Admitted::Further(object) => manager.make(&request, source, Some(object)).await?,
                Admitted::New => manager.make(&request, source, None).await?,
            };
            let share = manager.complete(share).await;
            drop(turn);
            Ok(manager.conclude(share).await)
        })
        .await
    }

    /// Finds out whether the request may be made, and whether this share, or this
    /// data, is known.
    async fn admit(&self, request: &Request) -> Result<Admitted, ServiceError> {
        let Request { data_hash, terms, .. } = request;
        self.ensure_key_fits(request).await?;
        self.ensure_mandate_fits(data_hash, terms.mandate.as_deref())?;
        ensure_in_future(terms.expires_at)?;
        let shares = &self.inner.ports.shares;
        let Some(object) = self.own_object(data_hash).await? else {
            if request.kind == EventKind::Grant {
                return Err(ServiceError::NotFound);
            }
            self.end_what_was_before(data_hash).await?;
            self.take_back_unrecorded(data_hash).await?;
            return Ok(Admitted::New);
        };
        Ok(match shares.share(data_hash, terms.recipient).await? {
            Some(record) => Admitted::Known(object, record),
            None => Admitted::Further(object),
        })
    }

    /// Makes a share that does not exist yet: all of it, or nothing. Whoever failed
    /// to get it keeps the mandate and the idempotency key, and gets the payment back.
    async fn make(
        &self,
        request: &Request,
        source: Source,
        stored: Option<ReadableObject>,
    ) -> Result<Existing, ServiceError> {
        let terms = &request.terms;
        self.ensure_mandate_unused(terms.mandate.as_deref()).await?;
        let (notes, source) = self.consult(request, source, stored.as_ref()).await?;
        let payment = self.take_payment(&request.data_hash, terms).await?;
        let made = self
            .make_paid(request, source, stored, notes, payment.clone())
            .await;
        if made.is_err() {
            self.drop_notes(&request.data_hash, terms.recipient).await;
        }
        self.after_payment(payment.as_ref(), made)
    }

    /// What is left once the plugins agree and the payment has come.
    async fn make_paid(
        &self,
        request: &Request,
        source: Source,
        stored: Option<ReadableObject>,
        notes: Notes,
        payment: Option<PaymentReceipt>,
    ) -> Result<Existing, ServiceError> {
        let (data_hash, recipient) = (&request.data_hash, request.terms.recipient);
        self.keep_notes(data_hash, recipient, notes).await?;
        let made = match (stored, source) {
            (Some(object), _) => self.share_stored(request, &object).await?,
            (None, Source::Whole(data)) => {
                let sealed = self.seal_bytes(*data_hash, data).await?;
                self.store_and_share(request, sealed).await?
            }
            (None, Source::Sealed(sealed, _)) => self.store_and_share(request, *sealed).await?,
            (None, Source::Stored) => return Err(ServiceError::NotFound),
        };
        Ok(Existing { payment, ..made })
    }

    /// Asks the plugins; what they note comes back with the source.
    async fn consult(
        &self,
        request: &Request,
        source: Source,
        stored: Option<&ReadableObject>,
    ) -> Result<(Notes, Source), ServiceError> {
        let (data_hash, terms) = (&request.data_hash, &request.terms);
        let (size, content, source) = match source {
            Source::Whole(data) => {
                let size = data.len() as u64;
                let notes = self.consult_plugins(data_hash, size, Content::Whole(&data), terms);
                return Ok((notes.await?, Source::Whole(data)));
            }
            Source::Sealed(sealed, notes) => (
                sealed.size,
                Content::Examined(notes),
                Source::Sealed(sealed, Notes::new()),
            ),
            Source::Stored => (
                stored.map_or(0, |object| object.size),
                Content::Examined(Notes::new()),
                Source::Stored,
            ),
        };
        let notes = self.consult_plugins(data_hash, size, content, terms).await?;
        Ok((notes, source))
    }

    /// A mandate is for this data; where one is required, there is one.
    fn ensure_mandate_fits(
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
    async fn ensure_mandate_unused(&self, mandate: Option<&VerifiedMandate>) -> Result<(), ServiceError> {
        match (&self.inner.ports.authorization, mandate) {
            (Some(authorization), Some(mandate)) => authorization.ensure_unused(mandate).await,
            _ => Ok(()),
        }
    }

    /// An idempotency key stands for one request.
    async fn ensure_key_fits(&self, request: &Request) -> Result<(), ServiceError> {
        let Some(key) = &request.terms.idempotency_key else {
            return Ok(());
        };
        match self.inner.ports.shares.share_by_key(key).await? {
            Some(share) if !request.is_that_of(&share) => Err(ServiceError::IdempotencyKeyReused),
            _ => Ok(()),
        }
    }
}
