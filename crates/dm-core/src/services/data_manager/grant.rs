//! Gives further readers access to data that is stored already.

use alloy_primitives::Address;

use super::{DataManager, plugins::Content, share::Progress};
use crate::{
    clock::now_ms,
    event::EventKind,
    hash::DataHash,
    plugin::Notes,
    services::{ServiceError, uninterrupted},
    share::{ReadableObject, ShareOutcome, ShareTerms},
};

impl DataManager {
    /// Lets a further address read data that this node has shared: its key is
    /// wrapped for the address in a new envelope, and the chunks stay as they are. The
    /// same grant again is the same; to a reader that has a share already nothing is added.
    /// A grant costs nothing: the terms name no payment.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`] where this node has no such object of its own, and
    /// what else can go wrong with a share.
    #[tracing::instrument(level = "debug", skip_all, fields(locator = %data_hash.locator(), recipient = %terms.recipient))]
    pub async fn grant(&self, data_hash: &DataHash, terms: ShareTerms) -> Result<ShareOutcome, ServiceError> {
        let (manager, data_hash, recipient) = (self.clone(), *data_hash, terms.recipient);
        uninterrupted(async move {
            let turn = manager.inner.turns.take(data_hash).await;
            manager.ensure_log_accepts()?;
            manager.ensure_mandate_fits(&data_hash, terms.mandate.as_deref())?;
            let Some(object) = manager.own_object(&data_hash).await? else {
                return Err(ServiceError::NotFound);
            };
            let known = manager.inner.ports.shares.share(&data_hash, recipient).await?;
            let mut progress = match known {
                Some(share) => manager.continue_share(&object, &share).await?,
                None => manager.share_with_plugins(&object, &terms).await?,
            };
            progress.kind = EventKind::Grant;
            let recorded = manager.distribute_and_record(progress).await?;
            drop(turn);
            manager.conclude(recorded).await
        })
        .await
    }

    /// Asks the plugins, who have no data to examine, and grants.
    async fn share_with_plugins(
        &self,
        object: &ReadableObject,
        terms: &ShareTerms,
    ) -> Result<Progress, ServiceError> {
        self.ensure_mandate_unused(terms.mandate.as_deref()).await?;
        let content = Content::Examined(Notes::new());
        let notes = self
            .consult_plugins(&object.data_hash, object.size, content, terms)
            .await?;
        self.keep_notes(&object.data_hash, terms.recipient, notes).await?;
        self.share_again(object, terms, None).await
    }

    /// The addresses that can read data, by the envelope that is stored here: all of
    /// them where the object is this node's own, else this node's own address alone.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`] where no such object is stored here,
    /// [`ServiceError::NotGranted`] where it is not for this node.
    pub async fn readers(&self, data_hash: &DataHash) -> Result<Vec<Address>, ServiceError> {
        let own = self.address();
        let envelopes = self.inner.ports.objects.envelopes(&data_hash.locator()).await?;
        let now = now_ms();
        let mut present = envelopes
            .iter()
            .filter(|envelope| !envelope.is_gone(now))
            .peekable();
        if present.peek().is_none() {
            return Err(ServiceError::NotFound);
        }
        if let Some(envelope) = present.clone().find(|envelope| envelope.id.owner == own) {
            return Ok(envelope.grants.iter().map(|grant| grant.recipient).collect());
        }
        match present.any(|envelope| envelope.grants_to(own)) {
            true => Ok(vec![own]),
            false => Err(ServiceError::NotGranted),
        }
    }
}
