//! The address records of recipients, looked up no more often than needed.

use std::{sync::Arc, time::Duration};

use alloy_primitives::Address;
use dm_core::{
    address_record::SignedAddressRecord,
    ports::{AddressDirectory, NetworkError},
};
use quick_cache::sync::Cache;
use tokio::time::Instant;

/// Recipients that are remembered.
const CAPACITY: usize = 4096;
/// How long a record is used before it is looked up again.
const KNOWN_FOR: Duration = Duration::from_secs(60);
/// How long nobody is asked again for an address without a record.
const UNKNOWN_FOR: Duration = Duration::from_secs(3);

/// Remembers what the network said of an address.
pub(super) struct Recipients {
    seen: Cache<Address, (Instant, Option<Arc<SignedAddressRecord>>)>,
}

impl Default for Recipients {
    fn default() -> Self {
        Self {
            seen: Cache::new(CAPACITY),
        }
    }
}

impl Recipients {
    /// The record of an address, from memory where it is fresh enough.
    pub(super) async fn record(
        &self,
        address: Address,
        network: &dyn AddressDirectory,
    ) -> Result<Option<Arc<SignedAddressRecord>>, NetworkError> {
        if let Some((since, record)) = self.seen.get(&address) {
            let lifetime = if record.is_some() { KNOWN_FOR } else { UNKNOWN_FOR };
            if since.elapsed() < lifetime {
                return Ok(record);
            }
        }
        self.look_up(address, network).await
    }

    /// The record of an address as the network has it now.
    pub(super) async fn look_up(
        &self,
        address: Address,
        network: &dyn AddressDirectory,
    ) -> Result<Option<Arc<SignedAddressRecord>>, NetworkError> {
        let record = network.find_address(address).await?.map(Arc::new);
        self.seen.insert(address, (Instant::now(), record.clone()));
        Ok(record)
    }
}
