//! A share, from the request to the answer:
//!
//! 1. admit, 2. consult, 3. collect, 4. store, 5. commit, 6. grant, 7. distribute, 8. record
//!
//! It comes into being in one point, the commit: one transaction of the catalog.
//! What fails before it is undone, and the client is told. After it the share exists:
//! the answer is a success, and what cannot be done at once is done by the upkeep.

use dm_core::{news::News, share::ShareOutcome};

use super::{
    Request, Sharing, Source,
    admit::Admitted,
    complete::{Completed, Existing},
};
use crate::{ServiceError, run_to_completion};

impl Sharing {
    /// Makes a share, also where nobody waits for it any more. The same share again
    /// is the same.
    pub(in crate::data) async fn share(
        &self,
        request: Request,
        source: Source,
    ) -> Result<ShareOutcome, ServiceError> {
        let sharing = self.clone();
        run_to_completion(async move {
            let lock = sharing.locks.lock(request.data_hash.locator()).await;
            let share = sharing.begin(&request, source).await?;
            let share = sharing.complete(share).await;
            drop(lock);
            Ok(sharing.conclude(share).await)
        })
        .await
    }

    /// Steps 1 to 5, of which all are done or none. Whoever failed to get a share keeps
    /// the mandate and the idempotency key, and gets the payment back.
    async fn begin(&self, request: &Request, source: Source) -> Result<Existing, ServiceError> {
        let (data_hash, terms) = (&request.data_hash, &request.terms);
        let stored = match self.admit(request).await? {
            Admitted::Known(object, record) => return self.go_on(request, &object, record).await,
            Admitted::Further(object) => Some(object),
            Admitted::New => None,
        };
        let (notes, source) = self.consult(request, source, stored.as_ref()).await?;
        let payment = self.payments.take_payment(data_hash, terms).await?;
        let made = async {
            self.recorder
                .keep_notes(data_hash, terms.recipient, notes)
                .await?;
            let draft = self.store(request, source, stored).await?;
            self.commit(draft, payment.clone()).await
        };
        let made = made.await;
        if made.is_err() {
            self.recorder.drop_notes(data_hash, terms.recipient).await;
        }
        self.payments.after_payment(payment.as_ref(), made)
    }

    /// Steps 6 to 8 of a share that exists. One that is in the log already keeps its
    /// copies and its place there.
    async fn complete(&self, share: Existing) -> Completed {
        let grant_pending = !self.grant(&share).await;
        let (replicas, leaf_index) = match self.recorded_position(&share).await {
            Ok(Some(index)) => (self.known_replicas(&share).await, Some(index)),
            Ok(None) => (self.distribute(&share).await, self.record(&share).await),
            Err(error) => {
                share.warn(&error, "whether a share is recorded is not known");
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

    /// Waits for the anchor and says how far the share has come.
    async fn conclude(&self, share: Completed) -> ShareOutcome {
        let tx_hash = self.anchor(&share).await;
        if tx_hash.is_some() && share.replicas > 0 {
            self.owed.receipts.notify_one();
        }
        let outcome = share.outcome(tx_hash);
        self.bus.publish(News::DataShared {
            data_hash: outcome.data_hash,
            recipient: outcome.recipient,
            status: outcome.status,
            tx_hash: outcome.tx_hash,
        });
        outcome
    }
}
