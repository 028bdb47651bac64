//! Erases data for good: its key is destroyed first, so that what is left of it
//! anywhere is of no use; then a tombstone takes the place of the object, here
//! and at the peers that hold it.

use std::sync::Arc;

use alloy_primitives::B256;
use dm_core::{
    clock::now_ms,
    envelope::SignedEnvelope,
    event::NewEvent,
    hash::DataHash,
    ports::{ErasureCause, Erasures, ObjectStore, ReadableObjects, Recorded, ShareCatalog},
};

use super::{Basis, DataLocks, DataPorts, copies::Copies, objects::OwnObjects, recorder::Recorder};
use crate::{KnownObjects, ServiceError, run_to_completion};

mod expire;
mod leftovers;

pub(super) use expire::ensure_in_future;

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

/// Erases data, by order or because its time is over; cheap to clone.
#[derive(Clone)]
pub(super) struct Eraser {
    objects: Arc<dyn ObjectStore>,
    known: KnownObjects,
    shares: Arc<dyn ShareCatalog>,
    readable: Arc<dyn ReadableObjects>,
    erasures: Arc<dyn Erasures>,
    locks: DataLocks,
    own: Arc<OwnObjects>,
    copies: Copies,
    recorder: Arc<Recorder>,
}

impl Eraser {
    pub(super) fn new(ports: &DataPorts, basis: &Basis) -> Self {
        Self {
            objects: ports.objects.clone(),
            known: basis.known.clone(),
            shares: ports.catalog.clone(),
            readable: ports.catalog.clone(),
            erasures: ports.catalog.clone(),
            locks: basis.locks.clone(),
            own: basis.own.clone(),
            copies: basis.copies.clone(),
            recorder: basis.recorder.clone(),
        }
    }

    /// See [`DataManager::erase`](super::DataManager::erase).
    #[tracing::instrument(level = "debug", skip_all, fields(locator = %data_hash.locator()))]
    pub(super) async fn erase(&self, data_hash: &DataHash) -> Result<Erasure, ServiceError> {
        let (eraser, data_hash) = (self.clone(), *data_hash);
        run_to_completion(async move {
            let turn = eraser.locks.lock(data_hash.locator()).await?;
            eraser.recorder.ensure_log_accepts()?;
            let recorded = turn.work(eraser.erase_or_find(&data_hash)).await?;
            drop(turn);
            eraser.conclude_erasure(data_hash, recorded).await
        })
        .await
    }

    /// Erases the data, or finds that it was erased.
    async fn erase_or_find(&self, data_hash: &DataHash) -> Result<RecordedErasure, ServiceError> {
        if self.has(data_hash).await? {
            if self.own.own_object(data_hash).await?.is_some() {
                self.recorder.record_waiting(&*self.shares, data_hash).await?;
            }
            self.erasures
                .begin_erasure(data_hash, ErasureCause::Ordered)
                .await?;
            return self.finish_erasure(data_hash).await;
        }
        let event = self.recorder.erasure_event(data_hash).await?;
        let event = event.ok_or(ServiceError::NotFound)?;
        // Where an earlier answer was that a file still holds the key: this waits for it.
        self.erasures.end_erasure(data_hash).await?;
        let replicas = self.copies.known_replicas(&self.own.own_id(data_hash)).await?;
        Ok(RecordedErasure { event, replicas })
    }

    /// Whether this node has the data's key, or an object that holds it for this node.
    /// The object of a share that failed is none.
    async fn has(&self, data_hash: &DataHash) -> Result<bool, ServiceError> {
        if self.readable.readable(data_hash).await?.is_some() {
            return Ok(true);
        }
        Ok(!self.to_erase(&self.known, data_hash).await?.is_empty())
    }

    /// This node's own object in a store, and those that are granted to it.
    async fn to_erase(
        &self,
        store: &dyn ObjectStore,
        data_hash: &DataHash,
    ) -> Result<Vec<SignedEnvelope>, ServiceError> {
        let own = self.own.address();
        let mut envelopes = store.envelopes(&data_hash.locator()).await?;
        envelopes.retain(|envelope| {
            !envelope.is_tombstone() && (envelope.id.owner == own || envelope.grants_to(own))
        });
        Ok(envelopes)
    }

    /// All that follows the destruction of the key, the peers that can be reached told.
    async fn finish_erasure(&self, data_hash: &DataHash) -> Result<RecordedErasure, ServiceError> {
        let event = self.finish_erasure_here(data_hash).await?;
        let replicas = self.copies.distribute_soon(&self.own.own_id(data_hash)).await?;
        self.erasures.end_erasure(data_hash).await?;
        Ok(RecordedErasure { event, replicas })
    }

    /// What of an erasure is done at this node; each step can be repeated.
    pub(super) async fn finish_erasure_here(&self, data_hash: &DataHash) -> Result<Recorded, ServiceError> {
        let now = now_ms();
        for envelope in self.to_erase(self.objects.as_ref(), data_hash).await? {
            // What has expired is over for whoever has it: no tombstone has to say so.
            if envelope.id.owner == self.own.address() && !envelope.is_expired(now) {
                self.own.bury(&envelope).await?;
            } else {
                self.objects.remove(&envelope.id).await?;
            }
        }
        match self.recorder.erasure_event(data_hash).await? {
            Some(event) => Ok(event),
            None => self.recorder.record(NewEvent::data_delete(*data_hash)).await,
        }
    }

    /// Finishes an erasure; peers are told without anybody waiting for it.
    pub(super) async fn finish_erasure_later(&self, data_hash: &DataHash) -> Result<(), ServiceError> {
        self.finish_erasure_here(data_hash).await?;
        self.copies.tell_later(&self.own.own_id(data_hash));
        Ok(self.erasures.end_erasure(data_hash).await?)
    }

    async fn conclude_erasure(
        &self,
        data_hash: DataHash,
        recorded: RecordedErasure,
    ) -> Result<Erasure, ServiceError> {
        let tx_hash = self.recorder.anchor_of(recorded.event.index).await?;
        Ok(Erasure {
            data_hash,
            erased_at: recorded.event.event.timestamp,
            tx_hash,
            leaf_index: recorded.event.index,
            replicas: recorded.replicas,
        })
    }
}
