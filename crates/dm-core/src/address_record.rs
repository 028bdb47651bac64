//! Address records: how a node announces the account that it acts for.

use alloy_primitives::Address;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::signed::{Signed, Statement};

/// Domain prefix of the DHT key of an address record.
const DHT_KEY_DOMAIN: &[u8] = b"datamgmt/address/1";

/// Binds an Ethereum address to the HPKE key that grants for it are made for,
/// and to the peer that acts for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddressRecord {
    /// The account; it must have signed the record.
    pub address: Address,
    /// X25519 public key for HPKE.
    pub hpke_public_key: [u8; 32],
    /// libp2p peer id in its text form.
    pub peer_id: String,
    /// Of two records for an address the one with the higher number is valid.
    pub sequence: u64,
}

/// An address record that its address has signed.
pub type SignedAddressRecord = Signed<AddressRecord>;

impl AddressRecord {
    /// The key under which the DHT keeps the record of `address`.
    pub fn dht_key(address: Address) -> [u8; 32] {
        Sha256::new()
            .chain_update(DHT_KEY_DOMAIN)
            .chain_update(address)
            .finalize()
            .into()
    }
}

impl Statement for AddressRecord {
    const DOMAIN: &'static str = "datamgmt/address-record/1";
    const MAX_BYTES: usize = 512;

    fn signer(&self) -> Address {
        self.address
    }

    fn check(&self) -> Result<(), &'static str> {
        if self.peer_id.is_empty() || self.peer_id.len() > 64 {
            return Err("a peer id has between 1 and 64 characters");
        }
        Ok(())
    }
}
