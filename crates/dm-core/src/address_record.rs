//! Address records: how a node announces the account that it acts for.

use std::collections::HashSet;

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

/// Most peers that one record names.
pub const MAX_PEERS: usize = 16;

/// Binds an Ethereum address to the HPKE key that grants for it are made for,
/// and to the peers that act for it.
///
/// Version 2 has the operator and the attestation, version 3 further peers as well. A record
/// is written in the lowest version that has what it says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddressRecord {
    /// The account; it must have signed the record.
    pub address: Address,
    /// X25519 public key for HPKE.
    pub hpke_public_key: [u8; 32],
    /// libp2p peer id in its text form: of the instance that announces the record.
    pub peer_id: String,
    /// Of two records for an address the one with the higher number is valid.
    pub sequence: u64,
    /// The account that anchors, pays and is paid for this address, where it is another
    /// one.
    pub operator: Option<OperatorConsent>,
    /// The attestation of the node by an authorised user, if there is one.
    pub attestation: Option<NodeAttestation>,
    /// The peer ids of the other instances of the node, at most [`MAX_PEERS`] with the first one.
    pub further_peers: Vec<String>,
}

/// An address record that its address has signed.
pub type SignedAddressRecord = Signed<AddressRecord>;

/// The records by which an instance of a node announces its address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Announcement {
    /// Names this instance alone. It is for peers that do not read version 3, and for those to
    /// which this instance has to show for whom it acts.
    pub alone: SignedAddressRecord,
    /// Names all instances where there are others; its sequence number is the higher one.
    pub together: Option<SignedAddressRecord>,
}

impl Announcement {
    /// The record that counts for whoever reads both.
    pub fn newest(&self) -> &SignedAddressRecord {
        self.together.as_ref().unwrap_or(&self.alone)
    }

    /// Both records in the order in which they are given to a peer, the older one first.
    pub fn records(&self) -> impl Iterator<Item = &SignedAddressRecord> {
        std::iter::once(&self.alone).chain(&self.together)
    }
}

impl From<SignedAddressRecord> for Announcement {
    fn from(alone: SignedAddressRecord) -> Self {
        Self {
            alone,
            together: None,
        }
    }
}

/// The fields of version 1, in the order in which they are written.
type Version1 = (Address, [u8; 32], String, u64);
/// Those of version 2. Version 3 has the further peers behind them.
type Version2 = (
    Address,
    [u8; 32],
    String,
    u64,
    Option<OperatorConsent>,
    Option<NodeAttestation>,
);

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
            further_peers: Vec::new(),
        }
    }

    /// All peers that act for the address, the one that announces the record first.
    pub fn peers(&self) -> impl Iterator<Item = &str> {
        std::iter::once(&self.peer_id)
            .chain(&self.further_peers)
            .map(String::as_str)
    }

    /// Whether this peer acts for the address.
    pub fn names(&self, peer_id: &str) -> bool {
        self.peers().any(|named| named == peer_id)
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
    const MAX_BYTES: usize = 3584;
    const NEWEST_VERSION: u8 = 3;

    fn signer(&self) -> Address {
        self.address
    }

    fn check(&self) -> Result<(), &'static str> {
        if self.peers().any(|peer| peer.is_empty() || peer.len() > 64) {
            return Err("a peer id has between 1 and 64 characters");
        }
        if self.peers().count() > MAX_PEERS {
            return Err("a record names at most 16 peers");
        }
        let distinct: HashSet<&str> = self.peers().collect();
        if distinct.len() != self.peers().count() {
            return Err("a record names each peer once");
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
        if !self.further_peers.is_empty() {
            return Ok((3, postcard::to_stdvec(self)?));
        }
        let base = (self.address, self.hpke_public_key, &self.peer_id, self.sequence);
        if self.operator.is_some() || self.attestation.is_some() {
            let fields = (base, &self.operator, &self.attestation);
            return Ok((2, postcard::to_stdvec(&fields)?));
        }
        Ok((1, postcard::to_stdvec(&base)?))
    }

    fn decode(version: u8, body: &[u8]) -> Option<Self> {
        match version {
            1 => {
                let (address, hpke_public_key, peer_id, sequence): Version1 = read_all(body)?;
                Some(Self::new(address, hpke_public_key, peer_id, sequence))
            }
            2 => {
                let (address, hpke_public_key, peer_id, sequence, operator, attestation): Version2 =
                    read_all(body)?;
                Some(Self {
                    operator,
                    attestation,
                    ..Self::new(address, hpke_public_key, peer_id, sequence)
                })
            }
            3 => read_all(body),
            _ => None,
        }
    }
}
