//! Receipts of shares: from the own log, else as they travel with objects.

use std::sync::Arc;

use alloy_primitives::Address;
use dm_core::{
    bus::EventBus,
    envelope::SignedEnvelope,
    event::EventKind,
    hash::DataHash,
    news::News,
    ports::{ComplianceLog, EventFilter, HistoryQuery, ObjectExchange, ObjectStore},
    receipt::{Anchor, Receipt, Verification},
    trace::Trace,
};

use super::{Basis, DataPorts, seal::Sealing};
use crate::ServiceError;

/// Events of the same data with different recipients among which an anchored
/// one is looked for.
const EVENTS_LOOKED_AT: usize = 16;

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

/// Checks shares against the chain.
pub(super) struct Verifier {
    log: Arc<dyn ComplianceLog>,
    objects: Arc<dyn ObjectStore>,
    network: Arc<dyn ObjectExchange>,
    bus: EventBus,
    sealing: Arc<Sealing>,
}

impl Verifier {
    pub(super) fn new(ports: &DataPorts, basis: &Basis) -> Self {
        Self {
            log: ports.log.clone(),
            objects: ports.objects.clone(),
            network: ports.network.clone(),
            bus: ports.bus.clone(),
            sealing: basis.sealing.clone(),
        }
    }

    /// See [`DataManager::verify`](super::DataManager::verify).
    #[tracing::instrument(level = "debug", skip_all, fields(locator = %data_hash.locator()))]
    pub(super) async fn verify(&self, data_hash: &DataHash) -> Result<VerifiedShare, ServiceError> {
        let receipts = match self.own_receipt(EventFilter::shares_of(*data_hash)).await {
            Ok(Some(receipt)) => vec![receipt],
            Ok(None) => self.travelling_receipts(data_hash, None).await?,
            Err(error @ ServiceError::NotAnchored) => return Ok(VerifiedShare::not(&error.to_string())),
            Err(error) => return Err(error),
        };
        let mut verified = VerifiedShare::not("no share of this data is known");
        for receipt in &receipts {
            match self.log.verify(receipt).await? {
                Verification::Valid => {
                    verified = VerifiedShare {
                        verified: true,
                        reason: None,
                        anchor: Some(receipt.anchor),
                        own: receipt.event.log == self.log.log_address(),
                    };
                    break;
                }
                Verification::Invalid { reason } => verified = VerifiedShare::not(&reason),
            }
        }
        self.bus.publish(News::DataVerified {
            data_hash: *data_hash,
            verified: verified.verified,
        });
        Ok(verified)
    }

    /// See [`DataManager::receipt`](super::DataManager::receipt).
    pub(super) async fn receipt(
        &self,
        data_hash: &DataHash,
        recipient: Option<Address>,
    ) -> Result<Receipt, ServiceError> {
        let shares = EventFilter {
            recipient,
            ..EventFilter::shares_of(*data_hash)
        };
        match self.own_receipt(shares).await? {
            Some(receipt) => Ok(receipt),
            None => {
                let travelling = self.travelling_receipts(data_hash, recipient).await?;
                travelling.into_iter().next().ok_or(ServiceError::NotFound)
            }
        }
    }

    /// See [`DataManager::evidence`](super::DataManager::evidence).
    pub(super) async fn evidence(
        &self,
        kind: EventKind,
        data_hash: &DataHash,
        recipient: Option<Address>,
    ) -> Result<Receipt, ServiceError> {
        let evidence = EventFilter {
            recipient,
            ..EventFilter::evidence(kind, *data_hash)
        };
        self.own_receipt(evidence).await?.ok_or(ServiceError::NotFound)
    }

    /// The receipt of the newest anchored event from this node's own log; `None` where the log
    /// has no such event.
    async fn own_receipt(&self, filter: EventFilter) -> Result<Option<Receipt>, ServiceError> {
        let query = HistoryQuery {
            filter,
            before: None,
            limit: EVENTS_LOOKED_AT,
        };
        let log = &self.log;
        let events = log.history(&query).await?.entries;
        if events.is_empty() {
            return Ok(None);
        }
        let anchored = events.iter().find(|entry| entry.tx_hash.is_some());
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
        let locator = data_hash.locator();
        let local = self.objects.envelopes(&locator).await?;
        let receipts = self.receipts_in(local.iter(), data_hash, recipient);
        if !receipts.is_empty() {
            return Ok(receipts);
        }
        let owners: Vec<Address> = local.iter().map(|envelope| envelope.id.owner).collect();
        let found = self.network.find(&locator, &owners, &Trace::default()).await?;
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
            .filter_map(|envelope| self.sealing.receipt_in(envelope, data_hash, recipient))
            .collect()
    }
}
