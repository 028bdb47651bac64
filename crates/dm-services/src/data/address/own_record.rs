//! This node's own address record, which is made anew whenever what it says has changed.
//!
//! Where the node has several instances, each of them announces a record of them all, in
//! which it comes first.

use std::sync::{Arc, PoisonError, RwLock};

use dm_core::{
    address_record::{AddressRecord, Announcement, MAX_PEERS, OperatorConsent, SignedAddressRecord},
    clock::now_ms,
    node_attestation::NodeAttestation,
    ports::{Grants, Instances, OperatorKeys, Signer},
    signed::Signed,
};

use crate::{ServiceError, data::DataPorts};

/// How long an instance may be silent before the record names it no more, in milliseconds.
const ABSENT_MS: u64 = 60_000;

/// The newest record of this node.
pub(super) struct OwnRecord {
    facts: Facts,
    instances: Option<Arc<dyn Instances>>,
    newest: RwLock<Arc<Announcement>>,
}

/// What a record of this node says.
struct Facts {
    signer: Arc<dyn Signer>,
    operators: Option<Arc<dyn OperatorKeys>>,
    grants: Arc<dyn Grants>,
    peer_id: String,
    attestation: Option<NodeAttestation>,
}

impl OwnRecord {
    /// The first record since the start.
    ///
    /// # Errors
    /// [`ServiceError::Fault`] where an account cannot sign.
    pub(super) fn sign(ports: &DataPorts) -> Result<Self, ServiceError> {
        let facts = Facts {
            signer: ports.signer.clone(),
            operators: ports.operators.clone(),
            grants: ports.grants.clone(),
            peer_id: ports.network.local_peer_id(),
            attestation: ports.attestation.clone(),
        };
        let newest = RwLock::new(Arc::new(facts.signed(now_ms(), Vec::new())?));
        Ok(Self {
            facts,
            instances: ports.instances.as_ref().map(|instances| instances.all.clone()),
            newest,
        })
    }

    pub(super) fn get(&self) -> Arc<Announcement> {
        self.newest.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Makes the record anew where it does not say any more what is; whether it did so.
    pub(super) async fn renew(&self) -> Result<bool, ServiceError> {
        let others = self.other_peers().await;
        let mut newest = self.newest.write().unwrap_or_else(PoisonError::into_inner);
        let others = others.unwrap_or_else(|| newest.newest().further_peers.clone());
        if self.facts.are_in(newest.newest(), &others) {
            return Ok(false);
        }
        let sequence = newest.newest().sequence.saturating_add(1);
        *newest = Arc::new(self.facts.signed(now_ms().max(sequence), others)?);
        Ok(true)
    }

    /// The peers of the other instances; `None` where nobody can say it now.
    async fn other_peers(&self) -> Option<Vec<String>> {
        let Some(instances) = &self.instances else {
            return Some(Vec::new());
        };
        let all = instances.instances().await;
        let all = all.inspect_err(|error| tracing::debug!(%error, "the instances cannot be listed"));
        let mut peers: Vec<String> = all
            .ok()?
            .into_iter()
            .filter(|seen| seen.silent_ms < ABSENT_MS)
            .filter_map(|seen| seen.instance.peer_id)
            .filter(|peer| *peer != self.facts.peer_id)
            .collect();
        peers.sort_unstable();
        peers.dedup();
        peers.truncate(MAX_PEERS - 1);
        Some(peers)
    }
}

impl Facts {
    /// The records with this sequence number, and the one after it.
    fn signed(&self, sequence: u64, others: Vec<String>) -> Result<Announcement, ServiceError> {
        let alone = self.signed_record(sequence, Vec::new())?;
        let together = match others.is_empty() {
            true => None,
            false => Some(self.signed_record(sequence.saturating_add(1), others)?),
        };
        Ok(Announcement { alone, together })
    }

    fn signed_record(
        &self,
        sequence: u64,
        further_peers: Vec<String>,
    ) -> Result<SignedAddressRecord, ServiceError> {
        let address = self.signer.address();
        let consent = self
            .other_operator()
            .map(|operator| OperatorConsent::give(operator.as_ref(), address, sequence))
            .transpose()?;
        let record = AddressRecord {
            operator: consent,
            attestation: self.attestation.clone(),
            further_peers,
            ..AddressRecord::new(address, self.grants.public_key(), self.peer_id.clone(), sequence)
        };
        Ok(Signed::sign(record, self.signer.as_ref())?)
    }

    /// Who acts on the chain for this node, where that is not the node account.
    fn other_operator(&self) -> Option<Arc<dyn Signer>> {
        let operator = self.operators.as_ref()?.operator();
        (operator.address() != self.signer.address()).then_some(operator)
    }

    /// Whether a record says the same, with these as the other peers.
    fn are_in(&self, record: &AddressRecord, others: &[String]) -> bool {
        let operator = self.other_operator();
        let operator = operator.map_or(record.address, |operator| operator.address());
        record.hpke_public_key == self.grants.public_key()
            && record.operator_account() == operator
            && record.further_peers == others
    }
}
