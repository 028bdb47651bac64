//! The compliance log as shares see it: what it says of data, and what is written
//! into it.

use std::{sync::Arc, time::Duration};

use alloy_primitives::{Address, B256};
use dm_core::{
    envelope::SignedEnvelope,
    event::{EventKind, NewEvent},
    hash::DataHash,
    plugin::Notes,
    ports::{ComplianceLog, EventFilter, Recorded, ShareCatalog},
    share::ShareRecord,
};
use tokio_util::sync::CancellationToken;

use super::{DataConfig, DataPorts};
use crate::{PluginManager, ServiceError};

/// Reads and writes the log.
pub(super) struct Recorder {
    log: Arc<dyn ComplianceLog>,
    plugins: Option<PluginManager>,
    anchor_patience: Duration,
    /// Ends the waiting for anchors when the node stops.
    stopping: CancellationToken,
}

impl Recorder {
    pub(super) fn new(ports: &DataPorts, config: &DataConfig) -> Self {
        Self {
            log: ports.log.clone(),
            plugins: ports.plugins.clone(),
            anchor_patience: config.anchor_patience,
            stopping: CancellationToken::new(),
        }
    }

    /// A log that has forked takes no further events, so nothing is begun.
    pub(super) fn ensure_log_accepts(&self) -> Result<(), ServiceError> {
        match self.log.fault() {
            None => Ok(()),
            Some(fault) => Err(ServiceError::Fault(fault.into())),
        }
    }

    /// Records an event.
    pub(super) async fn record(&self, event: NewEvent) -> Result<Recorded, ServiceError> {
        Ok(self.log.record(event).await?)
    }

    /// The transaction that anchors an event, waited for only so long.
    pub(super) async fn anchor_of(&self, leaf_index: u64) -> Result<Option<B256>, ServiceError> {
        let anchored = self.log.wait_for_anchor(leaf_index, self.anchor_patience);
        let anchor = match self.stopping.run_until_cancelled(anchored).await {
            Some(anchor) => anchor?,
            None => None,
        };
        Ok(anchor.map(|anchor| anchor.tx_hash))
    }

    /// Ends the waiting for anchors.
    pub(super) fn stop_waiting(&self) {
        self.stopping.cancel();
    }

    /// The event of a share, where the data was not erased since, nor the
    /// recipient's access withdrawn.
    pub(super) async fn share_event(
        &self,
        data_hash: &DataHash,
        recipient: Address,
    ) -> Result<Option<Recorded>, ServiceError> {
        let log = &self.log;
        let newest = self.newest_event(data_hash).await?;
        let is_of_share = |newest: &Recorded| {
            let event = &newest.event;
            let is_share = matches!(event.event_type, EventKind::DataShare | EventKind::Grant);
            is_share && event.recipient == Some(recipient)
        };
        // Mostly there is one recipient, and nothing has ended.
        if newest.as_ref().is_none_or(is_of_share) {
            return Ok(newest);
        }
        let Some(shared) = log.find(&EventFilter::share(*data_hash, recipient)).await? else {
            return Ok(None);
        };
        let erased = log.find(&EventFilter::erasure(*data_hash)).await?;
        let revoked = log.find(&EventFilter::revocation(*data_hash, recipient)).await?;
        let is_over = |ended: &Recorded| ended.index > shared.index;
        let holds = !erased.iter().chain(&revoked).any(is_over);
        Ok(holds.then_some(shared))
    }

    /// The newest of the events by which the data was shared with anybody, or ended for one or all.
    async fn newest_event(&self, data_hash: &DataHash) -> Result<Option<Recorded>, ServiceError> {
        let kinds = [
            EventKind::DataShare,
            EventKind::Grant,
            EventKind::DataDelete,
            EventKind::Revoke,
        ];
        let filter = EventFilter {
            kinds: kinds.into(),
            data_hash: Some(*data_hash),
            recipient: None,
        };
        Ok(self.log.find(&filter).await?)
    }

    /// The event of the erasure, where nothing was shared since.
    pub(super) async fn erasure_event(&self, data_hash: &DataHash) -> Result<Option<Recorded>, ServiceError> {
        let filter = EventFilter {
            kinds: [EventKind::DataShare, EventKind::Grant, EventKind::DataDelete].into(),
            data_hash: Some(*data_hash),
            recipient: None,
        };
        let newest = self.log.find(&filter).await?;
        Ok(newest.filter(|recorded| recorded.event.event_type == EventKind::DataDelete))
    }

    /// The event of the revocation, where access was not given again since.
    pub(super) async fn revocation_event(
        &self,
        data_hash: &DataHash,
        recipient: Address,
    ) -> Result<Option<Recorded>, ServiceError> {
        let filter = EventFilter {
            kinds: [EventKind::DataShare, EventKind::Grant, EventKind::Revoke].into(),
            data_hash: Some(*data_hash),
            recipient: Some(recipient),
        };
        let newest = self.log.find(&filter).await?;
        Ok(newest.filter(|recorded| recorded.event.event_type == EventKind::Revoke))
    }

    /// Whether the data was ever shared, and not erased since.
    pub(super) async fn was_shared(&self, data_hash: &DataHash) -> Result<bool, ServiceError> {
        let kinds = [EventKind::DataShare, EventKind::Grant, EventKind::DataDelete];
        let filter = EventFilter {
            kinds: kinds.into(),
            data_hash: Some(*data_hash),
            recipient: None,
        };
        let newest = self.log.find(&filter).await?;
        Ok(newest.is_some_and(|newest| newest.event.event_type != EventKind::DataDelete))
    }

    /// Whether this node's log has an event that is younger than the object. A catalog
    /// that was restored from a backup does not know what was shared after it, and a
    /// log that the chain contradicts takes no event: the recipients keep their
    /// copies, and the object stays out of sight.
    pub(super) async fn has_gone_on_since(&self, envelope: &SignedEnvelope) -> Result<bool, ServiceError> {
        let log = &self.log;
        let anything = EventFilter {
            kinds: Default::default(),
            data_hash: None,
            recipient: None,
        };
        let newest = log.find(&anything).await?;
        let is_younger = newest.is_some_and(|newest| newest.event.timestamp > envelope.created_at);
        Ok(is_younger && log.fault().is_none())
    }

    /// Keeps the notes on a share until it is logged.
    pub(super) async fn keep_notes(
        &self,
        data_hash: &DataHash,
        recipient: Address,
        notes: Notes,
    ) -> Result<(), ServiceError> {
        match &self.plugins {
            Some(plugins) => plugins.keep_notes(data_hash, recipient, notes).await,
            None => Ok(()),
        }
    }

    /// Writes a share into the log, with the mandate for it and the notes of plugins.
    pub(super) async fn record_share(&self, share: &ShareRecord) -> Result<Recorded, ServiceError> {
        let (data_hash, recipient) = (share.data_hash, share.recipient);
        let mut event = NewEvent {
            kind: share.kind,
            mandate: share.event_mandate(),
            ..NewEvent::data_share(data_hash, recipient)
        };
        let log = &self.log;
        let Some(plugins) = &self.plugins else {
            return Ok(log.record(event).await?);
        };
        for (plugin, note) in plugins.notes_of(&data_hash, recipient).await? {
            event.details.insert(format!("plugin.{plugin}"), note);
        }
        let recorded = log.record(event).await?;
        self.drop_notes(&data_hash, recipient).await;
        Ok(recorded)
    }

    /// Records the shares of the data that the log did not take when they were made, before
    /// what ends them is recorded.
    pub(super) async fn record_waiting(
        &self,
        shares: &dyn ShareCatalog,
        data_hash: &DataHash,
    ) -> Result<(), ServiceError> {
        for share in shares.unrecorded_shares_of(data_hash).await? {
            if self.share_event(data_hash, share.recipient).await?.is_none() {
                self.record_share(&share).await?;
            }
        }
        Ok(())
    }

    /// Forgets the notes on a share that is in the log, or never will be.
    pub(super) async fn drop_notes(&self, data_hash: &DataHash, recipient: Address) {
        let Some(plugins) = &self.plugins else {
            return;
        };
        if let Err(error) = plugins.forget_notes(data_hash, recipient).await {
            tracing::warn!(locator = %data_hash.locator(), %error, "the notes of plugins on a share are left");
        }
    }
}
