//! Statements signed by an Ethereum account, in one format for all of them.
//!
//! Layout: 65 bytes of ECDSA signature (r ‖ s ‖ v), one version byte, then the
//! statement in [postcard]. A kind of statement that has grown is read in each of its
//! versions. The signature is over the
//! [EIP-191](https://eips.ethereum.org/EIPS/eip-191) hash of
//! SHA-256(domain ‖ version ‖ postcard bytes), so that wallets can make it and
//! a signature for one kind of statement is worthless for another.
//!
//! [postcard]: https://postcard.jamesmunns.com/wire-format

use std::ops::Deref;

use alloy_primitives::{Address, B256, Signature, eip191_hash_message};
use bytes::Bytes;
use serde::{Serialize, de::DeserializeOwned};
use sha2::{Digest, Sha256};

use crate::ports::{Signer, SignerError};

/// Bytes of the signature in front of a signed statement.
const SIGNATURE_LEN: usize = 65;
/// The version that every kind of statement began with.
pub(crate) const VERSION: u8 = 1;

/// Something that an account can sign.
pub trait Statement: Serialize + DeserializeOwned + Clone {
    /// Separates the signatures of different kinds of statements.
    const DOMAIN: &'static str;
    /// Longest encoding that is read, in bytes, signature included.
    const MAX_BYTES: usize;
    /// The newest version that is read. Later ones are not understood, which is no
    /// fault of who sends them.
    const NEWEST_VERSION: u8 = VERSION;

    /// The account that must have signed.
    fn signer(&self) -> Address;

    /// Checks what the types do not say, such as counts and lengths.
    ///
    /// # Errors
    /// The rule that does not hold.
    fn check(&self) -> Result<(), &'static str>;

    /// The version that the statement is written in, and its bytes.
    ///
    /// # Errors
    /// Where a field cannot be written.
    fn encode(&self) -> postcard::Result<(u8, Vec<u8>)> {
        Ok((VERSION, postcard::to_stdvec(self)?))
    }

    /// The statement in bytes of this version; those that [`Statement::encode`] would not
    /// give for it are refused by whoever calls this.
    fn decode(version: u8, body: &[u8]) -> Option<Self> {
        (version == VERSION).then(|| read_all(body)).flatten()
    }
}

/// What is encoded in these bytes, all of them.
pub(crate) fn read_all<T: DeserializeOwned>(body: &[u8]) -> Option<T> {
    let (value, rest) = postcard::take_from_bytes(body).ok()?;
    rest.is_empty().then_some(value)
}

/// Why bytes are no signed statement.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StatementError {
    /// Longer than the kind of statement allows.
    #[error("{size} bytes are more than the {limit} allowed")]
    TooLong {
        /// Bytes that came.
        size: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// In a later version than this software reads.
    #[error("written in version {version}, of which version {newest} is the newest known here")]
    UnknownVersion {
        /// The version of the bytes.
        version: u8,
        /// The newest version that is read.
        newest: u8,
    },
    /// Cut short, of a version that never was, or not in canonical form.
    #[error("not a well-formed statement")]
    Malformed,
    /// Well-formed, but against a rule of its kind.
    #[error("{0}")]
    Rule(&'static str),
    /// Signed by another account than the one it speaks for, or by nobody.
    #[error("not signed by {expected}")]
    Signature {
        /// The account that should have signed.
        expected: Address,
    },
}

/// A statement and the proof that its account made it.
///
/// A value of this type has been verified: it comes from [`Signed::sign`],
/// from [`Signed::verify`], or from this node's own store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed<T> {
    statement: T,
    bytes: Bytes,
}

impl<T> Deref for Signed<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.statement
    }
}

impl<T: Statement> Signed<T> {
    /// Signs a statement as this account.
    ///
    /// # Errors
    /// [`SignerError`] where the account cannot sign, or where it is not the
    /// one that the statement speaks for.
    pub fn sign(statement: T, signer: &dyn Signer) -> Result<Self, SignerError> {
        if statement.signer() != signer.address() {
            return Err(SignerError::OtherAccount {
                expected: statement.signer(),
                actual: signer.address(),
            });
        }
        let (version, body) = statement
            .encode()
            .map_err(|error| SignerError::Failed(error.to_string()))?;
        let mut bytes = Vec::with_capacity(SIGNATURE_LEN + 1 + body.len());
        bytes.resize(SIGNATURE_LEN, 0);
        bytes.push(version);
        bytes.extend_from_slice(&body);
        let signature = signer.sign_hash(&signing_hash(T::DOMAIN, &bytes[SIGNATURE_LEN..]))?;
        bytes[..SIGNATURE_LEN].copy_from_slice(&signature.as_bytes());
        Ok(Self {
            statement,
            bytes: bytes.into(),
        })
    }

    /// Reads bytes that came from anywhere, and checks form, rules and signature.
    ///
    /// # Errors
    /// [`StatementError`] says which of them fails.
    pub fn verify(bytes: Bytes) -> Result<Self, StatementError> {
        let signed = Self::decode(bytes)?;
        let expected = signed.statement.signer();
        let (signature, payload) = signed.bytes.split_at(SIGNATURE_LEN);
        let signer = Signature::from_raw(signature)
            .ok()
            // One statement has one form: low `s`, and `v` as 27 or 28.
            .filter(|parsed| parsed.normalize_s().is_none() && parsed.as_bytes() == signature)
            .and_then(|signature| {
                signature
                    .recover_address_from_prehash(&signing_hash(T::DOMAIN, payload))
                    .ok()
            });
        if signer == Some(expected) {
            Ok(signed)
        } else {
            Err(StatementError::Signature { expected })
        }
    }

    /// Reads bytes that this node verified before it stored them; the
    /// signature is not checked again.
    ///
    /// # Errors
    /// [`StatementError`] where form or rules do not hold.
    pub fn from_trusted(bytes: Bytes) -> Result<Self, StatementError> {
        Self::decode(bytes)
    }

    fn decode(bytes: Bytes) -> Result<Self, StatementError> {
        let payload = bytes.get(SIGNATURE_LEN..).unwrap_or_default();
        let Some((&version, body)) = payload.split_first() else {
            return Err(StatementError::Malformed);
        };
        // Before anything else is asked of it: a later version may be longer, too.
        if version > T::NEWEST_VERSION {
            return Err(StatementError::UnknownVersion {
                version,
                newest: T::NEWEST_VERSION,
            });
        }
        if bytes.len() > T::MAX_BYTES {
            return Err(StatementError::TooLong {
                size: bytes.len(),
                limit: T::MAX_BYTES,
            });
        }
        let statement = T::decode(version, body).ok_or(StatementError::Malformed)?;
        let canonical = statement.encode().map_err(|_| StatementError::Malformed)?;
        if canonical.0 != version || canonical.1 != body {
            return Err(StatementError::Malformed);
        }
        statement.check().map_err(StatementError::Rule)?;
        Ok(Self { statement, bytes })
    }

    /// The statement without its proof.
    pub fn statement(&self) -> &T {
        &self.statement
    }

    /// The form in which it is stored and sent.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }
}

/// What an account signs: a payload that is of use for this domain alone.
pub(crate) fn signing_hash(domain: &str, payload: &[u8]) -> B256 {
    let digest = Sha256::new()
        .chain_update(domain)
        .chain_update(payload)
        .finalize();
    eip191_hash_message(digest)
}
