//! Asks the plugins before something happens.

use bytes::Bytes;
use dm_core::{
    envelope::SignedEnvelope,
    hash::DataHash,
    plugin::{Hook, Notes, ReceivedView, RetrievalView, ShareView},
    share::ShareTerms,
};

use crate::{PluginManager, ServiceError, plugin_manager::Examiner};

/// The data of a share, for plugins that examine it.
pub(super) enum Content<'a> {
    /// All of it, still to be examined.
    Whole(&'a Bytes),
    /// It was examined while it arrived, with these notes.
    Examined(Notes),
}

/// The plugins that have a say; where there are none, nobody has.
pub(super) struct Consultation {
    plugins: Option<PluginManager>,
}

impl Consultation {
    pub(super) fn new(plugins: Option<PluginManager>) -> Self {
        Self { plugins }
    }

    /// Whether any plugin has, or may have, a say in this.
    pub(super) fn have_say_in(&self, hook: Hook) -> bool {
        self.plugins
            .as_ref()
            .is_some_and(|plugins| plugins.concerns(hook))
    }

    /// Examines data that arrives in pieces.
    pub(super) fn examiner(&self) -> Examiner {
        Examiner::new(self.plugins.as_ref())
    }

    /// Examines data of somebody else while it is read here first, if the operator wants that.
    pub(super) fn examiner_of_received(&self) -> Examiner {
        let plugins = self.plugins.as_ref();
        Examiner::new(plugins.filter(|plugins| plugins.examines_received()))
    }

    /// Asks the plugins whether a share may happen, and returns their notes.
    pub(super) async fn consult_plugins(
        &self,
        data_hash: &DataHash,
        size: u64,
        content: Content<'_>,
        terms: &ShareTerms,
    ) -> Result<Notes, ServiceError> {
        let Some(plugins) = &self.plugins else {
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

    /// Asks the plugins whether data of somebody else may be fetched, and returns their notes.
    pub(super) async fn consult_on_receipt(&self, received: &ReceivedView) -> Result<Notes, ServiceError> {
        match &self.plugins {
            Some(plugins) => plugins.before_receive(received).await,
            None => Ok(Notes::new()),
        }
    }

    /// Asks the plugins whether a retrieval may happen, and returns their notes.
    pub(super) async fn consult_on_retrieval(
        &self,
        data_hash: &DataHash,
        envelope: &SignedEnvelope,
    ) -> Result<Notes, ServiceError> {
        match &self.plugins {
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
}
