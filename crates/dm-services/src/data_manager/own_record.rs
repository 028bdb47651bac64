//! This node's own address record, which is made anew whenever what it says has changed.

use std::sync::{Arc, PoisonError, RwLock};

use alloy_primitives::Address;
use dm_core::{
    address_record::{AddressRecord, OperatorConsent, SignedAddressRecord},
    clock::now_ms,
    ports::Signer,
    signed::Signed,
};

use super::{DataManager, DataPorts};
use crate::ServiceError;

/// The newest record of this node.
pub(super) struct OwnRecord(RwLock<Arc<SignedAddressRecord>>);

impl OwnRecord {
    /// The first record since the start.
    ///
    /// # Errors
    /// [`ServiceError::Fault`] where an account cannot sign.
    pub(super) fn sign(ports: &DataPorts) -> Result<Self, ServiceError> {
        let record = sign(ports, now_ms())?;
        Ok(Self(RwLock::new(Arc::new(record))))
    }

    fn get(&self) -> Arc<SignedAddressRecord> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Makes the record anew where it does not say any more what is; whether it did so.
    fn renew(&self, ports: &DataPorts) -> Result<bool, ServiceError> {
        let mut held = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if is_current(&held, ports) {
            return Ok(false);
        }
        *held = Arc::new(sign(ports, now_ms().max(held.sequence.saturating_add(1)))?);
        Ok(true)
    }
}

fn sign(ports: &DataPorts, sequence: u64) -> Result<SignedAddressRecord, ServiceError> {
    let address = ports.signer.address();
    let consent = other_operator(ports)
        .map(|operator| OperatorConsent::give(operator.as_ref(), address, sequence))
        .transpose()?;
    let (key, peer) = (ports.grants.public_key(), ports.network.local_peer_id());
    let record = AddressRecord {
        operator: consent,
        vouching: ports.vouching.clone(),
        ..AddressRecord::new(address, key, peer, sequence)
    };
    Ok(Signed::sign(record, ports.signer.as_ref())?)
}

/// Who acts on the chain for this node, where that is not the node's own account.
fn other_operator(ports: &DataPorts) -> Option<Arc<dyn Signer>> {
    let operator = ports.operators.as_ref()?.operator();
    (operator.address() != ports.signer.address()).then_some(operator)
}

fn is_current(record: &AddressRecord, ports: &DataPorts) -> bool {
    let operator = other_operator(ports).map_or(record.address, |operator| operator.address());
    record.hpke_public_key == ports.grants.public_key() && record.operator_account() == operator
}

impl DataManager {
    /// Tells the network which account this node acts for, by which key, and who acts on the
    /// chain for it. What changes later is announced by [`DataManager::run_upkeep`].
    ///
    /// # Errors
    /// [`ServiceError::Unavailable`] where the network is not running.
    pub async fn announce(&self) -> Result<(), ServiceError> {
        let record = self.own_record().as_ref().clone();
        Ok(self.inner.ports.network.announce(record).await?)
    }

    /// The address record that this node announces.
    pub fn own_record(&self) -> Arc<SignedAddressRecord> {
        self.inner.own_record.get()
    }

    /// Has the address record looked at now, after a change of what it says.
    pub fn announce_changes(&self) {
        self.inner.owed.record.notify_one();
    }

    /// The newest address record of an account that the network knows now, also for the
    /// grants that follow; `None` where there is none.
    ///
    /// # Errors
    /// [`ServiceError::Unavailable`] where the network is not running.
    pub async fn address_record(
        &self,
        address: Address,
    ) -> Result<Option<Arc<SignedAddressRecord>>, ServiceError> {
        if address == self.address() {
            return Ok(Some(self.own_record()));
        }
        let inner = &self.inner;
        Ok(inner
            .recipients
            .look_up(address, inner.ports.network.as_ref())
            .await?)
    }

    /// Announces a new record whenever the key for grants or the operator account has
    /// changed.
    pub(super) async fn keep_record_current(&self) -> Result<(), ServiceError> {
        loop {
            if self.inner.own_record.renew(&self.inner.ports)? {
                self.announce().await?;
                tracing::info!("a new address record is announced");
            }
            self.pause_or(&self.inner.owed.record).await;
        }
    }
}
