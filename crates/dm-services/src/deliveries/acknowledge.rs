//! Acknowledges what this node has read.

use dm_core::{
    acknowledgement::{Acknowledgement, Delivery},
    clock::now_ms,
    config::Acknowledge,
    envelope::{ObjectId, SignedEnvelope},
    hash::DataHash,
    inbox::{InboxItem, ItemState},
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
        if let Err(error) = self.inner.keep_own(&fetched).await {
            tracing::warn!(locator = %envelope.id.locator, %error, "what was read is not acknowledged");
        }
    }

    /// Acknowledges an item of the inbox; the same again is the same. Returns once its event
    /// is durable.
    ///
    /// # Errors
    /// [`ServiceError::NotFetched`] before it was read and checked here,
    /// [`ServiceError::ItemOver`] where it can be read no more, and
    /// [`ServiceError::AcknowledgesNothing`] where the operator wants it so; what was
    /// acknowledged before stays so in each case.
    pub(crate) async fn acknowledge(&self, item: &InboxItem) -> Result<Delivery, ServiceError> {
        let object = item.id();
        if let Some(kept) = self.own(&object).await? {
            return self.record(kept).await;
        }
        if self.inner.settings.acknowledge == Acknowledge::Never {
            return Err(ServiceError::AcknowledgesNothing);
        }
        if item.state.is_over() {
            return Err(ServiceError::ItemOver(item.state));
        }
        let readable = self.inner.ports.catalog.readable(&item.data_hash).await?;
        if readable.is_none_or(|readable| readable.id != object) {
            return Err(ServiceError::NotFetched);
        }
        let fetched = Fetched {
            object,
            data_hash: item.data_hash,
            sequence: item.sequence,
            at: item.fetched_at.unwrap_or_else(now_ms),
        };
        let kept = self.inner.keep_own(&fetched).await?;
        self.record(kept).await
    }
}

impl Inner {
    /// Keeps what this node says of data, or returns what it has said before.
    async fn keep_own(&self, fetched: &Fetched) -> Result<Delivery, ServiceError> {
        let (catalog, own) = (&self.ports.catalog, self.own);
        if let Some(kept) = catalog.delivery(&fetched.object, own).await? {
            if kept.leaf_index.is_some() {
                // It was withdrawn and shared again.
                let (object, next) = (&fetched.object, ItemState::Acknowledged);
                catalog.advance_item(object, next, fetched.at).await?;
            }
            return Ok(kept);
        }
        let statement = Acknowledgement {
            recipient: own,
            object: fetched.object,
            commitment: Acknowledgement::commitment_to(&fetched.data_hash, own),
            sequence: fetched.sequence,
            fetched_at: fetched.at,
            // The clock may have gone back.
            made_at: now_ms().max(fetched.at),
        };
        let new = Delivery {
            data_hash: fetched.data_hash,
            statement: Signed::sign(statement, self.ports.signer.as_ref())?,
            leaf_index: None,
        };
        Ok(catalog.keep_delivery(&new).await?)
    }
}
