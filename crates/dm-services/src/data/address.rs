//! Who is who: this node's own address record, those of recipients, and the grants
//! that are made with their keys.

use std::{sync::Arc, time::Duration};

use alloy_primitives::Address;
use dm_core::{
    address_record::{AddressRecord, SignedAddressRecord},
    envelope::{Grant, ObjectId},
    ports::{AddressDirectory, Grants},
    secret::ContentKey,
};

use super::{DataConfig, DataPorts};
use crate::{Bell, ServiceError};

mod own_record;
mod recipients;

use own_record::OwnRecord;
use recipients::Recipients;

/// The address records that this node announces and knows.
pub(super) struct AddressBook {
    network: Arc<dyn AddressDirectory>,
    grants: Arc<dyn Grants>,
    own_record: OwnRecord,
    /// Rings when what the own record says has changed.
    changed: Bell,
    recipients: Recipients,
    retry_interval: Duration,
}

impl AddressBook {
    /// # Errors
    /// [`ServiceError::Fault`] where an account cannot sign.
    pub(super) fn new(ports: &DataPorts, config: &DataConfig) -> Result<Self, ServiceError> {
        Ok(Self {
            network: ports.network.clone(),
            grants: ports.grants.clone(),
            own_record: OwnRecord::sign(ports)?,
            changed: Bell::default(),
            recipients: Recipients::default(),
            retry_interval: config.retry_interval,
        })
    }

    /// The address record that this node announces.
    pub(super) fn own_record(&self) -> SignedAddressRecord {
        self.own_record.get().newest().clone()
    }

    pub(super) async fn announce(&self) -> Result<(), ServiceError> {
        self.own_record.renew().await?;
        let own = self.own_record.get().as_ref().clone();
        Ok(self.network.announce(own).await?)
    }

    /// Has the address record looked at now, after a change of what it says.
    pub(super) fn announce_changes(&self) {
        self.changed.ring();
    }

    /// Announces a new record whenever the key for grants, the operator account or the
    /// instances of the node have changed.
    pub(super) async fn keep_record_current(&self) -> Result<(), ServiceError> {
        loop {
            if self.own_record.renew().await? {
                self.announce().await?;
                tracing::info!("a new address record is announced");
            }
            self.changed.wait(self.retry_interval).await;
        }
    }

    /// The newest address record of an account that the network knows now, also for the
    /// grants that follow.
    pub(super) async fn address_record(
        &self,
        address: Address,
    ) -> Result<Option<Arc<SignedAddressRecord>>, ServiceError> {
        if address == self.own_record().address {
            return Ok(Some(Arc::new(self.own_record())));
        }
        Ok(self.recipients.look_up(address, self.network.as_ref()).await?)
    }

    /// The grant of `key` to `recipient`; `None` where its public key is unknown.
    pub(super) async fn make_grant(
        &self,
        key: &ContentKey,
        id: ObjectId,
        recipient: Address,
    ) -> Result<Option<Grant>, ServiceError> {
        if recipient == self.own_record().address {
            return self.grant_to(key, id, &self.own_record()).map(Some);
        }
        match self.recipients.record(recipient, self.network.as_ref()).await? {
            None => Ok(None),
            Some(record) => self.grant_to(key, id, &record).map(Some),
        }
    }

    fn grant_to(
        &self,
        key: &ContentKey,
        id: ObjectId,
        record: &AddressRecord,
    ) -> Result<Grant, ServiceError> {
        self.grants
            .grant(key, &id, record)
            .map_err(|error| ServiceError::invalid("recipient", format!("cannot be granted access: {error}")))
    }
}
