//! Key material that must not outlive its use or show up in a log.

use std::fmt;

use sha2::{Digest, Sha256};
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::hash::DataHash;

/// Domain prefix of the key that seals receipts.
const RECEIPT_KEY_DOMAIN: &[u8] = b"datamgmt/receipt-key/1";
/// Domain prefix of the key that seals a descriptor.
const DESCRIPTOR_KEY_DOMAIN: &[u8] = b"datamgmt/descriptor-key/1";

/// A Fernet key (32 bytes: 16 for HMAC-SHA256, 16 for AES-128-CBC) for the
/// chunks of one object. Wiped when dropped, and hidden from `Debug`.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct ContentKey([u8; 32]);

impl ContentKey {
    /// The key with these bytes.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// A fresh key from the operating system's random source.
    pub fn random() -> Self {
        Self(rand::random())
    }

    /// The key under which receipts travel with an object: whoever knows the
    /// data hash has it, a peer that only knows the locator does not.
    pub fn for_receipts(data_hash: &DataHash) -> Self {
        Self::derived(RECEIPT_KEY_DOMAIN, data_hash.as_bytes())
    }

    /// The key under which the descriptor travels with the object that this key encrypts:
    /// its readers have it, a peer that stores the object does not.
    pub fn for_descriptor(&self) -> Self {
        Self::derived(DESCRIPTOR_KEY_DOMAIN, &self.0)
    }

    fn derived(domain: &[u8], from: &[u8; 32]) -> Self {
        Self(
            Sha256::new()
                .chain_update(domain)
                .chain_update(from)
                .finalize()
                .into(),
        )
    }

    /// The bytes of the key.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for ContentKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ContentKey(…)")
    }
}

/// A text that is a secret: a password, a private key. Wiped when dropped,
/// hidden from `Debug`, and never serialised.
#[derive(Clone, Default, PartialEq, Eq, Zeroize, ZeroizeOnDrop, serde::Deserialize)]
#[serde(transparent)]
pub struct SecretString(String);

impl SecretString {
    /// Takes the text over.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself; call it only where it is used.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SecretString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretString(…)")
    }
}
