//! Acknowledges what this node has read.

use dm_core::{
    acknowledgement::{Acknowledgement, Delivery},
    clock::now_ms,
    config::Acknowledge,
    envelope::{ObjectId, SignedEnvelope},
    hash::DataHash,
    inbox::{InboxItem, ItemState},
    ports::CatalogError,
    signed::Signed,
};

use super::{Deliveries, Inner};
use crate::ServiceError;

/// What was read.
struct Fetched {
    object: ObjectId,
    data_hash: DataHash,
    /// Of the envelope.
    sequence: u64,
    /// When, in milliseconds since the Unix epoch.
    at: u64,
}

impl Deliveries {
    /// This node has read an object and checked its data, and is about to say so of the data.
    /// What is kept here is recorded once it does ([`Deliveries::record_soon`]), or after a
    /// restart. That something cannot be acknowledged keeps nobody from reading.
    pub(crate) async fn has_read(&self, envelope: &SignedEnvelope, data_hash: &DataHash) {
        let is_wanted = self.inner.settings.acknowledge == Acknowledge::OnFetch;
        if !is_wanted || envelope.id.owner == self.inner.own {
            return;
        }
        let fetched = Fetched {
            object: envelope.id,
            data_hash: *data_hash,
            sequence: envelope.sequence,
            at: now_ms(),
        };
        let kept = async {
            let is_another = self.inner.is_another_version(envelope, data_hash).await?;
            self.inner.keep_own(&fetched, is_another).await
        };
        if let Err(error) = kept.await {
            tracing::warn!(locator = %envelope.id.locator, %error, "what was read is not acknowledged");
        }
    }

    /// Acknowledges an item of the inbox; the same again is the same, unless the owner has shared
    /// the data again. Returns once its event is durable.
    ///
    /// # Errors
    /// [`ServiceError::NotFetched`] before it was read and checked here,
    /// [`ServiceError::ItemOver`] where it can be read no more, and
    /// [`ServiceError::AcknowledgesNothing`] where the operator wants it so; what was
    /// acknowledged before stays so in each case.
    pub(crate) async fn acknowledge(&self, item: &InboxItem) -> Result<Delivery, ServiceError> {
        let object = item.id();
        let kept = self.own(&object).await?;
        let is_said_before = kept.is_some();
        let is_said = |kept: &Delivery| is_settled(item.state) || !kept.makes_way_for(item.sequence);
        if let Some(kept) = kept.filter(is_said) {
            return self.record(kept).await;
        }
        if self.inner.settings.acknowledge == Acknowledge::Never {
            return Err(ServiceError::AcknowledgesNothing);
        }
        if item.state.is_over() {
            return Err(ServiceError::ItemOver(item.state));
        }
        if !self.inner.has_fetched(item, is_said_before).await? {
            return Err(ServiceError::NotFetched);
        }
        let fetched = Fetched {
            object,
            data_hash: item.data_hash,
            sequence: item.sequence,
            at: item.fetched_at.unwrap_or_else(now_ms),
        };
        let kept = self.inner.keep_own(&fetched, true).await?;
        self.record(kept).await
    }
}

/// Whether nothing more is to be said of an item.
fn is_settled(state: ItemState) -> bool {
    !state.leads_to(ItemState::Acknowledged)
}

impl Inner {
    /// Whether what was read is not what was read of this object before. The owner encrypts data
    /// anew when it withdraws somebody's access, and when it shares the data after an erasure:
    /// so this may be another share.
    async fn is_another_version(
        &self,
        envelope: &SignedEnvelope,
        data_hash: &DataHash,
    ) -> Result<bool, CatalogError> {
        let catalog = &self.ports.catalog;
        match catalog.readable(data_hash).await? {
            Some(read) if read.id == envelope.id => Ok(read.chunk_list != envelope.chunk_list),
            _ => {
                let item = catalog.inbox_item(&envelope.id).await?;
                Ok(item.is_some_and(|item| item.state != ItemState::Acknowledged))
            }
        }
    }

    /// Whether this node has read and checked the data of an item; `anew`: as it is encrypted now.
    async fn has_fetched(&self, item: &InboxItem, anew: bool) -> Result<bool, ServiceError> {
        let (ports, object) = (&self.ports, item.id());
        let read = ports.catalog.readable(&item.data_hash).await?;
        let Some(read) = read.filter(|read| read.id == object) else {
            return Ok(false);
        };
        let stored = ports.objects.envelope(&object).await?;
        Ok(!anew || stored.is_none_or(|stored| stored.chunk_list == read.chunk_list))
    }

    /// Keeps what this node says of data, or returns what it has said before. What it has said
    /// of an earlier envelope makes way where it says so of another version.
    async fn keep_own(&self, fetched: &Fetched, is_another: bool) -> Result<Delivery, ServiceError> {
        let (catalog, object) = (&self.ports.catalog, &fetched.object);
        let kept = match catalog.delivery(object, self.own).await? {
            Some(kept) if !is_another => kept,
            _ => catalog.keep_delivery(&self.signed(fetched)?).await?,
        };
        if kept.leaf_index.is_some() {
            let next = ItemState::Acknowledged;
            catalog.advance_item(object, next, fetched.at).await?;
        }
        Ok(kept)
    }

    fn signed(&self, fetched: &Fetched) -> Result<Delivery, ServiceError> {
        let own = self.own;
        let statement = Acknowledgement {
            recipient: own,
            object: fetched.object,
            commitment: Acknowledgement::commitment_to(&fetched.data_hash, own),
            sequence: fetched.sequence,
            fetched_at: fetched.at,
            // The clock may have gone back.
            made_at: now_ms().max(fetched.at),
        };
        Ok(Delivery {
            data_hash: fetched.data_hash,
            statement: Signed::sign(statement, self.ports.signer.as_ref())?,
            leaf_index: None,
        })
    }
}
