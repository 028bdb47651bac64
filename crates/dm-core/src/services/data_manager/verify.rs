//! Receipts of shares: from the own log, else as they travel with objects.

use alloy_primitives::Address;
use bytes::Bytes;
use serde_json::json;

use super::DataManager;
use crate::{
    bus::Topic,
    envelope::{Envelope, MAX_SEALED_RECEIPT},
    event::EventKind,
    hash::DataHash,
    ports::EventFilter,
    receipt::{Anchor, Receipt, Verification},
    secret::ContentKey,
    services::ServiceError,
};

/// What checking a share against the chain showed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedShare {
    /// Whether the chain holds the share.
    pub verified: bool,
    /// Why not, for people.
    pub reason: Option<String>,
    /// Where it stands on the chain.
    pub anchor: Option<Anchor>,
}

impl VerifiedShare {
    fn not(reason: &str) -> Self {
        Self {
            verified: false,
            reason: Some(reason.to_owned()),
            anchor: None,
        }
    }
}

impl DataManager {
    /// Checks a share of this data against the chain, by this node's own log
    /// or by a receipt that travels with the object.
    ///
    /// # Errors
    /// [`ServiceError::Unavailable`] where the chain does not answer.
    #[tracing::instrument(level = "debug", skip_all, fields(locator = %data_hash.locator()))]
    pub async fn verify(&self, data_hash: &DataHash) -> Result<VerifiedShare, ServiceError> {
        let receipt = match self.receipt(data_hash, None).await {
            Err(ServiceError::NotFound) => return Ok(VerifiedShare::not("no share of this data is known")),
            Err(error @ ServiceError::NotAnchored) => return Ok(VerifiedShare::not(&error.to_string())),
            other => other?,
        };
        let verified = match self.inner.ports.log.verify(&receipt).await? {
            Verification::Valid => VerifiedShare {
                verified: true,
                reason: None,
                anchor: Some(receipt.anchor),
            },
            Verification::Invalid { reason } => VerifiedShare::not(&reason),
        };
        self.inner.ports.bus.publish(
            Topic::DataVerified,
            json!({"data_hash": data_hash, "verified": verified.verified}),
        );
        Ok(verified)
    }

    /// The receipt of the newest share of this data, or of the share with
    /// `recipient`.
    ///
    /// # Errors
    /// [`ServiceError::NotAnchored`] while this node's own share waits for its
    /// anchor, [`ServiceError::NotFound`] where nothing is known of a share.
    pub async fn receipt(
        &self,
        data_hash: &DataHash,
        recipient: Option<Address>,
    ) -> Result<Receipt, ServiceError> {
        let filter = EventFilter {
            recipient,
            ..EventFilter::shares_of(*data_hash)
        };
        let log = &self.inner.ports.log;
        match log.find(&filter).await? {
            Some(recorded) => log
                .receipt(recorded.index)
                .await?
                .ok_or(ServiceError::NotAnchored),
            None => self.travelling_receipt(data_hash, recipient).await,
        }
    }

    /// A receipt that came with an object: a local copy, else one at peers.
    async fn travelling_receipt(
        &self,
        data_hash: &DataHash,
        recipient: Option<Address>,
    ) -> Result<Receipt, ServiceError> {
        let ports = &self.inner.ports;
        let locator = data_hash.locator();
        for envelope in ports.objects.envelopes(&locator).await? {
            if let Some(receipt) = self.receipt_in(&envelope, data_hash, recipient) {
                return Ok(receipt);
            }
        }
        for found in ports.network.find(&locator).await? {
            if let Some(receipt) = self.receipt_in(&found.envelope, data_hash, recipient) {
                return Ok(receipt);
            }
        }
        Err(ServiceError::NotFound)
    }

    /// The newest fitting receipt in an envelope. It speaks for a share by the
    /// envelope's owner, or it is none.
    fn receipt_in(
        &self,
        envelope: &Envelope,
        data_hash: &DataHash,
        recipient: Option<Address>,
    ) -> Option<Receipt> {
        let key = ContentKey::for_receipts(data_hash);
        envelope.receipts.iter().rev().find_map(|sealed| {
            let json = self.inner.ports.sealer.open(&key, sealed).ok()?;
            let receipt: Receipt = serde_json::from_slice(&json).ok()?;
            let event = &receipt.event;
            let fits = event.event_type == EventKind::DataShare
                && event.data_hash == Some(*data_hash)
                && event.log == envelope.id.owner
                && recipient.is_none_or(|recipient| event.recipient == Some(recipient));
            fits.then_some(receipt)
        })
    }

    /// Seals a receipt so that it can travel with its object; `None` for one
    /// that is too large to travel.
    pub(super) fn seal_receipt(&self, data_hash: &DataHash, receipt: &Receipt) -> Option<Bytes> {
        let key = ContentKey::for_receipts(data_hash);
        let json = serde_json::to_vec(receipt).ok()?;
        let sealed = self.inner.ports.sealer.seal(&key, &json);
        (sealed.len() <= MAX_SEALED_RECEIPT).then_some(sealed)
    }
}
