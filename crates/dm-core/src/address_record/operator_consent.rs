use alloy_primitives::{Address, B256, Signature};
use serde::{Deserialize, Serialize};

use crate::{
    ports::{Signer, SignerError},
    signed::signing_hash,
};

/// Separates these signatures from all others.
const DOMAIN: &str = "datamgmt/operator-consent/1";

/// An account says that it acts on the chain for an address, so that nobody can claim to be
/// paid or anchored for by somebody else. It is for one record alone: an account that was
/// given up does not stand in later ones.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperatorConsent {
    /// The account.
    pub account: Address,
    /// Its ECDSA signature (r ‖ s ‖ v, 65 bytes) over the
    /// [EIP-191](https://eips.ethereum.org/EIPS/eip-191) hash of
    /// SHA-256(domain ‖ address ‖ sequence number of the record, 8 bytes, big-endian).
    pub signature: Vec<u8>,
}

impl OperatorConsent {
    /// Agrees to act for the address in its record with this sequence number.
    ///
    /// # Errors
    /// [`SignerError`] where the account cannot sign.
    pub fn give(operator: &dyn Signer, address: Address, sequence: u64) -> Result<Self, SignerError> {
        let signature = operator.sign_hash(&consent_hash(address, sequence))?;
        Ok(Self {
            account: operator.address(),
            signature: signature.as_bytes().to_vec(),
        })
    }

    /// Whether the account has agreed to act for this address in this record. The address
    /// itself needs no consent, and gives none.
    pub(super) fn holds_for(&self, address: Address, sequence: u64) -> bool {
        let signer = Signature::from_raw(&self.signature)
            .ok()
            // One consent has one form: low `s`, and `v` as 27 or 28.
            .filter(|parsed| parsed.normalize_s().is_none() && parsed.as_bytes()[..] == self.signature[..])
            .and_then(|signature| {
                signature
                    .recover_address_from_prehash(&consent_hash(address, sequence))
                    .ok()
            });
        self.account != address && signer == Some(self.account)
    }
}

fn consent_hash(address: Address, sequence: u64) -> B256 {
    signing_hash(DOMAIN, &[address.as_slice(), &sequence.to_be_bytes()].concat())
}
