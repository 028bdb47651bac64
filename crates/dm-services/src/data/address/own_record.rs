//! This node's own address record, which is made anew whenever what it says has changed.

use std::sync::{Arc, PoisonError, RwLock};

use dm_core::{
    address_record::{AddressRecord, OperatorConsent, SignedAddressRecord},
    clock::now_ms,
    node_attestation::NodeAttestation,
    ports::{Grants, OperatorKeys, Signer},
    signed::Signed,
};

use crate::{ServiceError, data::DataPorts};

/// The newest record of this node.
pub(super) struct OwnRecord {
    facts: Facts,
    newest: RwLock<Arc<SignedAddressRecord>>,
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
        let newest = RwLock::new(Arc::new(facts.signed(now_ms())?));
        Ok(Self { facts, newest })
    }

    pub(super) fn get(&self) -> Arc<SignedAddressRecord> {
        self.newest.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Makes the record anew where it does not say any more what is; whether it did so.
    pub(super) fn renew(&self) -> Result<bool, ServiceError> {
        let mut newest = self.newest.write().unwrap_or_else(PoisonError::into_inner);
        if self.facts.are_in(&newest) {
            return Ok(false);
        }
        *newest = Arc::new(
            self.facts
                .signed(now_ms().max(newest.sequence.saturating_add(1)))?,
        );
        Ok(true)
    }
}

impl Facts {
    fn signed(&self, sequence: u64) -> Result<SignedAddressRecord, ServiceError> {
        let address = self.signer.address();
        let consent = self
            .other_operator()
            .map(|operator| OperatorConsent::give(operator.as_ref(), address, sequence))
            .transpose()?;
        let record = AddressRecord {
            operator: consent,
            attestation: self.attestation.clone(),
            ..AddressRecord::new(address, self.grants.public_key(), self.peer_id.clone(), sequence)
        };
        Ok(Signed::sign(record, self.signer.as_ref())?)
    }

    /// Who acts on the chain for this node, where that is not the node account.
    fn other_operator(&self) -> Option<Arc<dyn Signer>> {
        let operator = self.operators.as_ref()?.operator();
        (operator.address() != self.signer.address()).then_some(operator)
    }

    /// Whether a record says the same.
    fn are_in(&self, record: &AddressRecord) -> bool {
        let operator = self.other_operator();
        let operator = operator.map_or(record.address, |operator| operator.address());
        record.hpke_public_key == self.grants.public_key() && record.operator_account() == operator
    }
}
