//! Receipts of shares: from the own log, else as they travel with objects.

use alloy_primitives::Address;
use bytes::Bytes;
use dm_core::{
    bus::Topic,
    envelope::{Envelope, MAX_SEALED_RECEIPT, SignedEnvelope},
    event::EventKind,
    hash::DataHash,
    ports::{EventFilter, HistoryQuery},
    receipt::{Anchor, Receipt, Verification},
    secret::ContentKey,
    trace::Trace,
};
use serde_json::json;

use super::DataManager;
use crate::ServiceError;

/// Shares of the same data with different recipients among which an anchored
/// one is looked for.
const SHARES_LOOKED_AT: usize = 16;

/// What checking a share against the chain showed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedShare {
    /// Whether the chain holds the share.
    pub verified: bool,
    /// Why not, for people.
    pub reason: Option<String>,
    /// Where it stands on the chain.
    pub anchor: Option<Anchor>,
    /// Whether it stands in this node's own log.
    pub own: bool,
}

impl VerifiedShare {
    fn not(reason: &str) -> Self {
        Self {
            verified: false,
            reason: Some(reason.to_owned()),
            anchor: None,
            own: false,
        }
    }
}

impl DataManager {
    /// Checks a share of this data against the chain, by this node's own log
    /// or by the receipts that travel with its objects.
    ///
    /// # Errors
    /// [`ServiceError::Unavailable`] where the chain does not answer.
    #[tracing::instrument(level = "debug", skip_all, fields(locator = %data_hash.locator()))]
    pub async fn verify(&self, data_hash: &DataHash) -> Result<VerifiedShare, ServiceError> {
        let receipts = match self.own_receipt(data_hash, None).await {
            Ok(Some(receipt)) => vec![receipt],
            Ok(None) => self.travelling_receipts(data_hash, None).await?,
            Err(error @ ServiceError::NotAnchored) => return Ok(VerifiedShare::not(&error.to_string())),
            Err(error) => return Err(error),
        };
        let mut verified = VerifiedShare::not("no share of this data is known");
        for receipt in &receipts {
            match self.inner.ports.log.verify(receipt).await? {
                Verification::Valid => {
                    verified = VerifiedShare {
                        verified: true,
                        reason: None,
                        anchor: Some(receipt.anchor),
                        own: receipt.event.log == self.inner.ports.log.log_address(),
                    };
                    break;
                }
                Verification::Invalid { reason } => verified = VerifiedShare::not(&reason),
            }
        }
        self.inner.ports.bus.publish(
            Topic::DataVerified,
            json!({"data_hash": data_hash, "verified": verified.verified}),
        );
        Ok(verified)
    }

    /// The receipt of the newest anchored share of this data, or of the share
    /// with `recipient`.
    ///
    /// # Errors
    /// [`ServiceError::NotAnchored`] while this node's own share waits for its
    /// anchor, [`ServiceError::NotFound`] where nothing is known of a share.
    pub async fn receipt(
        &self,
        data_hash: &DataHash,
        recipient: Option<Address>,
    ) -> Result<Receipt, ServiceError> {
        match self.own_receipt(data_hash, recipient).await? {
            Some(receipt) => Ok(receipt),
            None => {
                let travelling = self.travelling_receipts(data_hash, recipient).await?;
                travelling.into_iter().next().ok_or(ServiceError::NotFound)
            }
        }
    }

    /// The receipt from this node's own log; `None` where the log has no share
    /// of this data.
    async fn own_receipt(
        &self,
        data_hash: &DataHash,
        recipient: Option<Address>,
    ) -> Result<Option<Receipt>, ServiceError> {
        let query = HistoryQuery {
            filter: EventFilter {
                recipient,
                ..EventFilter::shares_of(*data_hash)
            },
            before: None,
            limit: SHARES_LOOKED_AT,
        };
        let log = &self.inner.ports.log;
        let shares = log.history(&query).await?.entries;
        if shares.is_empty() {
            return Ok(None);
        }
        let anchored = shares.iter().find(|entry| entry.tx_hash.is_some());
        let anchored = anchored.ok_or(ServiceError::NotAnchored)?;
        let receipt = log.receipt(anchored.index).await?;
        receipt.map(Some).ok_or(ServiceError::NotAnchored)
    }

    /// The receipts that came with objects: those of local copies, else those
    /// at peers.
    async fn travelling_receipts(
        &self,
        data_hash: &DataHash,
        recipient: Option<Address>,
    ) -> Result<Vec<Receipt>, ServiceError> {
        let ports = &self.inner.ports;
        let locator = data_hash.locator();
        let local = ports.objects.envelopes(&locator).await?;
        let receipts = self.receipts_in(local.iter(), data_hash, recipient);
        if !receipts.is_empty() {
            return Ok(receipts);
        }
        let found = ports.network.find(&locator, &Trace::default()).await?;
        let envelopes = found.iter().map(|found| &found.envelope);
        Ok(self.receipts_in(envelopes, data_hash, recipient))
    }

    fn receipts_in<'a>(
        &self,
        envelopes: impl Iterator<Item = &'a SignedEnvelope>,
        data_hash: &DataHash,
        recipient: Option<Address>,
    ) -> Vec<Receipt> {
        envelopes
            .filter_map(|envelope| self.receipt_in(envelope, data_hash, recipient))
            .collect()
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
            let fits = matches!(event.event_type, EventKind::DataShare | EventKind::Grant)
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
        let token = sealed.bytes();
        (token.len() <= MAX_SEALED_RECEIPT).then(|| token.clone())
    }
}
