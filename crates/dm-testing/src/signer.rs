//! [`TestSigner`]: accounts with known keys.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use alloy_primitives::{Address, B256, Signature};

use dm_core::ports::{Signer, SignerError};

/// Signs with a key that everybody can compute: for tests only.
#[derive(Debug, Clone)]
pub struct TestSigner {
    key: k256::ecdsa::SigningKey,
}

impl TestSigner {
    /// The account number `n`; different numbers are different accounts.
    pub fn new(n: u8) -> Self {
        let mut secret = [0x11; 32];
        secret[31] = n;
        let key = k256::ecdsa::SigningKey::from_slice(&secret).expect("a small number is a valid key");
        Self { key }
    }
}

impl Signer for TestSigner {
    fn address(&self) -> Address {
        Address::from_private_key(&self.key)
    }

    fn sign_hash(&self, hash: &B256) -> Result<Signature, SignerError> {
        self.key
            .sign_prehash_recoverable(hash.as_slice())
            .map(Signature::from)
            .map_err(|error| SignerError::Failed(error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_leads_back_to_its_account() {
        let signer = TestSigner::new(7);
        let hash = B256::repeat_byte(5);
        let signature = signer.sign_hash(&hash).unwrap();
        assert_eq!(
            signature.recover_address_from_prehash(&hash).unwrap(),
            signer.address()
        );
        assert_ne!(TestSigner::new(8).address(), signer.address());
    }
}
