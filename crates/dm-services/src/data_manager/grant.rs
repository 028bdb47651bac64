//! Gives further readers access to data that is stored already.

use alloy_primitives::Address;
use dm_core::{
    clock::now_ms,
    event::EventKind,
    hash::DataHash,
    ports::ObjectStore,
    share::{ShareOutcome, ShareTerms},
};

use super::{
    DataManager,
    share::{Request, Source},
};
use crate::ServiceError;

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
        let request = Request {
            data_hash: *data_hash,
            kind: EventKind::Grant,
            terms,
        };
        self.share(request, Source::Stored).await
    }

    /// The addresses that can read data, by the envelope that is stored here: all of
    /// them where the object is this node's own, else this node's own address alone.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`] where no such object is stored here,
    /// [`ServiceError::NotGranted`] where it is not for this node.
    pub async fn readers(&self, data_hash: &DataHash) -> Result<Vec<Address>, ServiceError> {
        let own = self.address();
        let envelopes = self.inner.known.envelopes(&data_hash.locator()).await?;
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
