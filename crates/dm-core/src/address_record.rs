//! Address records: how a node announces the account that it acts for.

use alloy_primitives::Address;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{
    node_attestation::NodeAttestation,
    signed::{Signed, Statement, read_all},
};

mod operator_consent;

pub use operator_consent::OperatorConsent;

/// Domain prefix of the DHT key of an address record.
const DHT_KEY_DOMAIN: &[u8] = b"datamgmt/address/1";

/// Binds an Ethereum address to the HPKE key that grants for it are made for,
/// and to the peer that acts for it.
///
/// Version 2 has the optional fields. A record without any of them is written in
/// version 1, which has none.
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
    /// The account that anchors, pays and is paid for this address, where it is another
    /// one.
    pub operator: Option<OperatorConsent>,
    /// The attestation of the node by an authorised user, if there is one.
    pub attestation: Option<NodeAttestation>,
}

/// An address record that its address has signed.
pub type SignedAddressRecord = Signed<AddressRecord>;

/// The fields of version 1, in the order in which they are written.
type Version1 = (Address, [u8; 32], String, u64);

impl AddressRecord {
    /// A record without any optional field.
    pub const fn new(address: Address, hpke_public_key: [u8; 32], peer_id: String, sequence: u64) -> Self {
        Self {
            address,
            hpke_public_key,
            peer_id,
            sequence,
            operator: None,
            attestation: None,
        }
    }

    /// The account that anchors, pays and is paid for this address.
    pub fn operator_account(&self) -> Address {
        self.operator
            .as_ref()
            .map_or(self.address, |consent| consent.account)
    }

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
    const MAX_BYTES: usize = 2560;
    const NEWEST_VERSION: u8 = 2;

    fn signer(&self) -> Address {
        self.address
    }

    fn check(&self) -> Result<(), &'static str> {
        if self.peer_id.is_empty() || self.peer_id.len() > 64 {
            return Err("a peer id has between 1 and 64 characters");
        }
        if self
            .operator
            .as_ref()
            .is_some_and(|consent| !consent.holds_for(self.address, self.sequence))
        {
            return Err("the operator account has not agreed to this record");
        }
        if !self.attestation.as_ref().is_none_or(NodeAttestation::is_bounded) {
            return Err("a node attestation has parts that are too long");
        }
        Ok(())
    }

    fn encode(&self) -> postcard::Result<(u8, Vec<u8>)> {
        if self.operator.is_some() || self.attestation.is_some() {
            return Ok((2, postcard::to_stdvec(self)?));
        }
        let fields = (self.address, self.hpke_public_key, &self.peer_id, self.sequence);
        Ok((1, postcard::to_stdvec(&fields)?))
    }

    fn decode(version: u8, body: &[u8]) -> Option<Self> {
        match version {
            1 => {
                let (address, hpke_public_key, peer_id, sequence): Version1 = read_all(body)?;
                Some(Self::new(address, hpke_public_key, peer_id, sequence))
            }
            2 => read_all(body),
            _ => None,
        }
    }
}
