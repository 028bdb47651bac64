//! Takes the acknowledgements of recipients.

use dm_core::{
    acknowledgement::{Delivery, SignedAcknowledgement},
    clock::now_ms,
    hash::DataHash,
    ports::EventFilter,
    sent::SentState,
};

use super::{Deliveries, Inner};
use crate::ServiceError;

/// What this node thinks of an acknowledgement.
enum Verdict {
    /// It is true, about this data.
    Holds(DataHash),
    /// It is of no use, and never will be.
    Useless,
    /// It is about an envelope that is not here yet.
    Early,
}

impl Deliveries {
    /// Keeps an acknowledgement whose signature has been checked, if it is true; whether it
    /// need not be sent again. Whoever sends a false one does not learn that it is.
    ///
    /// # Errors
    /// Those of the stores and the log.
    pub async fn arrived(&self, statement: SignedAcknowledgement) -> Result<bool, ServiceError> {
        let inner = &self.inner;
        let data_hash = match inner.judge(&statement).await? {
            Verdict::Holds(data_hash) => data_hash,
            Verdict::Useless => return Ok(true),
            Verdict::Early => return Ok(false),
        };
        let new = Delivery {
            data_hash,
            statement,
            leaf_index: None,
        };
        inner.ports.catalog.keep_delivery(&new).await?;
        self.record_soon();
        Ok(true)
    }
}

impl Inner {
    async fn judge(&self, statement: &SignedAcknowledgement) -> Result<Verdict, ServiceError> {
        let (catalog, object) = (&self.ports.catalog, &statement.object);
        if object.owner != self.own || !statement.is_current(now_ms()) {
            return Ok(Verdict::Useless);
        }
        // Of data that was erased nothing is left to check it with.
        let Some(data) = catalog.readable_at(&object.locator).await? else {
            return Ok(Verdict::Useless);
        };
        let data_hash = data.data_hash;
        if data.id != *object
            || !statement.is_of(&data_hash)
            || !self.is_new(&data_hash, statement).await?
            || !self.was_shared(&data_hash, statement).await?
        {
            return Ok(Verdict::Useless);
        }
        let newest = self.ports.objects.envelope(object).await?;
        Ok(match newest {
            Some(envelope) if envelope.sequence >= statement.sequence => Verdict::Holds(data_hash),
            Some(_) => Verdict::Early,
            None => Verdict::Useless,
        })
    }

    /// Whether it says what is not known yet: the recipient has acknowledged nothing before, or
    /// the data was shared with it again since, and this is about a later envelope.
    async fn is_new(
        &self,
        data_hash: &DataHash,
        statement: &SignedAcknowledgement,
    ) -> Result<bool, ServiceError> {
        let (catalog, recipient) = (&self.ports.catalog, statement.recipient);
        let Some(kept) = catalog.delivery(&statement.object, recipient).await? else {
            return Ok(true);
        };
        if !kept.makes_way_for(statement.sequence) {
            return Ok(false);
        }
        let newest = catalog.sent_share(data_hash, recipient).await?;
        Ok(newest.is_some_and(|share| share.state.leads_to(SentState::Acknowledged)))
    }

    /// Whether the data is or was shared with the recipient: it may have read the data before
    /// its access was withdrawn.
    async fn was_shared(
        &self,
        data_hash: &DataHash,
        statement: &SignedAcknowledgement,
    ) -> Result<bool, ServiceError> {
        let recipient = statement.recipient;
        if self.ports.catalog.share(data_hash, recipient).await?.is_some() {
            return Ok(true);
        }
        let filter = EventFilter::share(*data_hash, recipient);
        Ok(self.ports.log.find(&filter).await?.is_some())
    }
}
