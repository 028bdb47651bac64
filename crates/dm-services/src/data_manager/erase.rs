//! Erases data for good: its key is destroyed first, so that what is left of it
//! anywhere is of no use; then a tombstone takes the place of the object, here
//! and at the peers that hold it.

use alloy_primitives::B256;
use dm_core::{
    clock::now_ms,
    envelope::{Envelope, SignedEnvelope},
    event::{EventKind, NewEvent},
    hash::DataHash,
    ports::{EventFilter, Recorded},
};

use super::DataManager;
use crate::{ServiceError, run_to_completion};

/// Data that was erased.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Erasure {
    /// The data.
    pub data_hash: DataHash,
    /// When, in milliseconds since the Unix epoch.
    pub erased_at: u64,
    /// The anchor's transaction, once there is one.
    pub tx_hash: Option<B256>,
    /// Position of the event in the log: the receipt's id.
    pub leaf_index: u64,
    /// Peers that are known to have the tombstone.
    pub replicas: u32,
}

/// An erasure that stands in the log.
pub(super) struct RecordedErasure {
    event: Recorded,
    replicas: u32,
}

impl DataManager {
    /// Erases data that this node can read. When this returns, no file of this
    /// node holds its key, the chunks are deleted, an event says so, and the peers
    /// that could be reached have the tombstone of an object of this node's own;
    /// others get it when they are met. Erasing again gives the same answer.
    ///
    /// What a reader has read or copied cannot be taken back, and of data that
    /// another node owns only what this node has is erased.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`] where there is nothing to erase.
    #[tracing::instrument(level = "debug", skip_all, fields(locator = %data_hash.locator()))]
    pub async fn erase(&self, data_hash: &DataHash) -> Result<Erasure, ServiceError> {
        let (manager, data_hash) = (self.clone(), *data_hash);
        run_to_completion(async move {
            let turn = manager.turn(&data_hash).await;
            manager.ensure_log_accepts()?;
            let recorded = if manager.has(&data_hash).await? {
                manager.inner.ports.erasures.begin_erasure(&data_hash).await?;
                manager.finish_erasure(&data_hash).await?
            } else {
                let event = manager.erasure_event(&data_hash).await?;
                let event = event.ok_or(ServiceError::NotFound)?;
                // Where an earlier answer was that a file still holds the key: this waits for it.
                manager.inner.ports.erasures.end_erasure(&data_hash).await?;
                RecordedErasure {
                    event,
                    replicas: manager.known_replicas(&manager.own_id(&data_hash)).await?,
                }
            };
            drop(turn);
            manager.conclude_erasure(data_hash, recorded).await
        })
        .await
    }

    /// Whether this node has the data's key, or an object that holds it for this node.
    async fn has(&self, data_hash: &DataHash) -> Result<bool, ServiceError> {
        let ports = &self.inner.ports;
        if ports.readable.readable(data_hash).await?.is_some() {
            return Ok(true);
        }
        Ok(!self.envelopes_to_erase(data_hash).await?.is_empty())
    }

    /// This node's own object, and those that are granted to it.
    async fn envelopes_to_erase(&self, data_hash: &DataHash) -> Result<Vec<SignedEnvelope>, ServiceError> {
        let own = self.address();
        let mut envelopes = self.inner.ports.objects.envelopes(&data_hash.locator()).await?;
        envelopes.retain(|envelope| {
            !envelope.is_tombstone() && (envelope.id.owner == own || envelope.grants_to(own))
        });
        Ok(envelopes)
    }

    /// All that follows the destruction of the key, the peers that can be reached told.
    async fn finish_erasure(&self, data_hash: &DataHash) -> Result<RecordedErasure, ServiceError> {
        let event = self.finish_erasure_here(data_hash).await?;
        let replicas = self.distribute_soon(&self.own_id(data_hash)).await?;
        self.inner.ports.erasures.end_erasure(data_hash).await?;
        Ok(RecordedErasure { event, replicas })
    }

    /// What of an erasure is done at this node; each step can be repeated.
    pub(super) async fn finish_erasure_here(&self, data_hash: &DataHash) -> Result<Recorded, ServiceError> {
        for envelope in self.envelopes_to_erase(data_hash).await? {
            if envelope.id.owner == self.address() {
                self.bury(&envelope).await?;
            } else {
                self.inner.ports.objects.remove(&envelope.id).await?;
            }
        }
        match self.erasure_event(data_hash).await? {
            Some(event) => Ok(event),
            None => Ok(self
                .inner
                .ports
                .log
                .record(NewEvent::data_delete(*data_hash))
                .await?),
        }
    }

    /// Puts a tombstone in the place of an own object.
    pub(super) async fn bury(&self, envelope: &SignedEnvelope) -> Result<(), ServiceError> {
        let now = now_ms();
        let tombstone =
            self.sign_envelope(Envelope::tombstone(envelope.id, envelope.next_sequence(now), now))?;
        let writer = self.inner.ports.objects.create().await?;
        Ok(writer.finish(&tombstone).await?)
    }

    /// The event of the erasure, where nothing was shared since.
    async fn erasure_event(&self, data_hash: &DataHash) -> Result<Option<Recorded>, ServiceError> {
        let filter = EventFilter {
            kinds: [EventKind::DataShare, EventKind::Grant, EventKind::DataDelete].into(),
            data_hash: Some(*data_hash),
            recipient: None,
        };
        let newest = self.inner.ports.log.find(&filter).await?;
        Ok(newest.filter(|recorded| recorded.event.event_type == EventKind::DataDelete))
    }

    async fn conclude_erasure(
        &self,
        data_hash: DataHash,
        recorded: RecordedErasure,
    ) -> Result<Erasure, ServiceError> {
        let tx_hash = self.anchor_of(recorded.event.index).await?;
        Ok(Erasure {
            data_hash,
            erased_at: recorded.event.event.timestamp,
            tx_hash,
            leaf_index: recorded.event.index,
            replicas: recorded.replicas,
        })
    }
}
