//! Asks the plugins before something happens, and keeps what they note.

use alloy_primitives::Address;
use bytes::Bytes;
use dm_core::{
    envelope::SignedEnvelope,
    event::NewEvent,
    hash::DataHash,
    plugin::{Hook, Notes, RetrievalView, ShareView},
    ports::Recorded,
    share::{ShareRecord, ShareTerms},
};

use super::{DataManager, Examiner};
use crate::ServiceError;

/// The data of a share, for plugins that examine it.
pub(super) enum Content<'a> {
    /// All of it, still to be examined.
    Whole(&'a Bytes),
    /// It was examined while it arrived, with these notes.
    Examined(Notes),
}

impl DataManager {
    /// Asks the plugins whether a share may happen, and returns their notes.
    pub(super) async fn consult_plugins(
        &self,
        data_hash: &DataHash,
        size: u64,
        content: Content<'_>,
        terms: &ShareTerms,
    ) -> Result<Notes, ServiceError> {
        let Some(plugins) = &self.inner.ports.plugins else {
            return Ok(Notes::new());
        };
        let mut notes = match content {
            Content::Whole(data) => Examiner::new(Some(plugins)).examine_all(data).await?,
            Content::Examined(notes) => notes,
        };
        let share = ShareView {
            data_hash: *data_hash,
            recipient: terms.recipient,
            size,
            price: terms.payment.as_ref().map(|price| (price.token, price.amount)),
        };
        notes.extend(plugins.before_share(&share).await?);
        Ok(notes)
    }

    /// Keeps the notes on a share until it is logged.
    pub(super) async fn keep_notes(
        &self,
        data_hash: &DataHash,
        recipient: Address,
        notes: Notes,
    ) -> Result<(), ServiceError> {
        match &self.inner.ports.plugins {
            Some(plugins) => plugins.keep_notes(data_hash, recipient, notes).await,
            None => Ok(()),
        }
    }

    /// Asks the plugins whether a retrieval may happen, and returns their notes.
    pub(super) async fn consult_on_retrieval(
        &self,
        data_hash: &DataHash,
        envelope: &SignedEnvelope,
    ) -> Result<Notes, ServiceError> {
        match &self.inner.ports.plugins {
            Some(plugins) if plugins.concerns(Hook::Retrieval) => {
                let retrieval = RetrievalView {
                    data_hash: *data_hash,
                    owner: envelope.id.owner,
                    size: envelope.size,
                };
                plugins.before_retrieval(&retrieval).await
            }
            _ => Ok(Notes::new()),
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
        let log = &self.inner.ports.log;
        let Some(plugins) = &self.inner.ports.plugins else {
            return Ok(log.record(event).await?);
        };
        for (plugin, note) in plugins.notes_of(&data_hash, recipient) {
            event.details.insert(format!("plugin.{plugin}"), note);
        }
        let recorded = log.record(event).await?;
        self.drop_notes(&data_hash, recipient).await;
        Ok(recorded)
    }

    /// Forgets the notes on a share that is in the log, or never will be.
    pub(super) async fn drop_notes(&self, data_hash: &DataHash, recipient: Address) {
        let Some(plugins) = &self.inner.ports.plugins else {
            return;
        };
        if let Err(error) = plugins.forget_notes(data_hash, recipient).await {
            tracing::warn!(locator = %data_hash.locator(), %error, "the notes of plugins on a share are left");
        }
    }
}
