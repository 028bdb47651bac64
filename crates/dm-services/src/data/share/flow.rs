//! A share, from the request to the answer:
//!
//! 1. admit, 2. consult, 3. collect, 4. store, 5. commit, 6. grant, 7. distribute, 8. record
//!
//! With several recipients, each has a share of its own, which fails alone: steps 1 to 5 are
//! taken for one after the other, and each of the others for all of them.
//!
//! A share comes into being in one point, the commit: one transaction of the catalog.
//! What fails before it is undone, and the client is told. After it the share exists:
//! the answer is a success, and what cannot be done at once is done by the upkeep.

use dm_core::{
    share::ShareOutcome,
    span::{self, Span, SpanKind, in_child},
};
use futures::future::join_all;

use super::{
    Request, Sharing, Source,
    admit::Admitted,
    complete::{Completed, Existing},
};
use crate::{ServiceError, run_to_completion};

/// What became of each of several shares.
pub(in crate::data) type Each<T> = Vec<Result<T, ServiceError>>;

impl Sharing {
    /// Makes a share, also where nobody waits for it any more. The same share again
    /// is the same.
    pub(in crate::data) async fn share(
        &self,
        request: Request,
        source: Source,
    ) -> Result<ShareOutcome, ServiceError> {
        let outcomes = self.share_each(vec![request], source).await?;
        let only = outcomes.into_iter().next();
        only.unwrap_or_else(|| Err(ServiceError::Fault("a share has no outcome".into())))
    }

    /// Makes shares of the same data, also where nobody waits for them any more; what
    /// becomes of each, in their order.
    pub(in crate::data) async fn share_each(
        &self,
        requests: Vec<Request>,
        source: Source,
    ) -> Result<Each<ShareOutcome>, ServiceError> {
        let sharing = self.clone();
        run_to_completion(async move {
            let Some(first) = requests.first() else {
                return Ok(Vec::new());
            };
            let span = span_of(first);
            let work = async {
                let turn = sharing.locks.lock(first.data_hash.locator()).await?;
                let making = async {
                    let begun = sharing.begin_each(&requests, source).await;
                    sharing.complete_each(begun).await
                };
                let completed = turn.work(making).await;
                drop(turn);
                Ok(sharing.conclude_each(completed).await)
            };
            span::within(span.as_ref(), work).await
        })
        .await
    }

    /// Steps 1 to 5 of each share, one after the other: the first that gets so far stores
    /// the data, which the others find stored.
    async fn begin_each(&self, requests: &[Request], mut source: Source) -> Each<Existing> {
        let mut begun = Vec::with_capacity(requests.len());
        for request in requests {
            begun.push(self.begin(request, &mut source).await);
        }
        begun
    }

    /// Steps 1 to 5, of which all are done or none. Whoever failed to get a share keeps
    /// the mandate and the idempotency key, and gets the payment back.
    async fn begin(&self, request: &Request, source: &mut Source) -> Result<Existing, ServiceError> {
        let (data_hash, terms) = (&request.data_hash, &request.terms);
        let stored = match self.admission.admit(request, source.brings_data()).await? {
            Admitted::Known(object, record) => return self.go_on(request, &object, record).await,
            Admitted::Further(object) => Some(object),
            Admitted::New => None,
        };
        let (size, content) = source.to_examine(stored.as_ref());
        let notes = self
            .plugins
            .consult_plugins(data_hash, size, content, terms)
            .await?;
        let payment = self.payments.take_payment(data_hash, terms).await?;
        let made = async {
            self.recorder
                .keep_notes(data_hash, terms.recipient, notes)
                .await?;
            let storing = self.store(request, source, stored);
            let mut draft = in_child("share.store", SpanKind::Internal, storing).await?;
            draft.share.trace = span::recorded();
            let committing = self.commit(draft, payment.clone());
            in_child("share.commit", SpanKind::Internal, committing).await
        };
        let made = made.await;
        if made.is_err() {
            self.recorder.drop_notes(data_hash, terms.recipient).await;
        }
        self.payments.after_payment(payment.as_ref(), made)
    }

    /// Steps 6 to 8 of the shares that exist. The copies are brought to peers once, with
    /// the grants of all. A share that is in the log already keeps its copies and its place
    /// there.
    async fn complete_each(&self, begun: Each<Existing>) -> Each<Completed> {
        let mut granted = Vec::with_capacity(begun.len());
        for share in begun {
            granted.push(match share {
                Ok(share) => Ok(self.grant(share).await),
                Err(error) => Err(error),
            });
        }
        let replicas = self.distribute(granted.iter().flatten()).await;
        let recorded = granted.into_iter().map(|share| self.record(share, replicas));
        join_all(recorded).await
    }

    async fn conclude_each(&self, completed: Each<Completed>) -> Each<ShareOutcome> {
        let concluded = completed
            .into_iter()
            .map(async |share| Ok(self.conclude(share?).await));
        join_all(concluded).await
    }

    /// Waits for the anchor and says how far the share has come.
    async fn conclude(&self, share: Completed) -> ShareOutcome {
        let tx_hash = self.anchor(&share).await;
        if tx_hash.is_some() && share.replicas > 0 {
            self.owed.receipts.ring();
        }
        share.tell(tx_hash.as_ref());
        share.outcome(tx_hash)
    }
}

/// The span of shares that are made together.
fn span_of(first: &Request) -> Option<Span> {
    let mut span = Span::child("share", SpanKind::Internal)?;
    span.set_data("dm.locator", || first.data_hash.locator().to_string());
    span.set_data("dm.recipient", || first.terms.recipient.to_string());
    Some(span)
}
