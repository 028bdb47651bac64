//! Public keys of authorised users, and the signatures that they verify.

use std::fmt;

use alloy_primitives::{Address, Signature, hex};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ED25519, ParsedPublicKey, RSA_PSS_2048_8192_SHA256, RsaParameters,
    VerificationAlgorithm,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use dm_core::{address::parse_address, ports::SignatureFault, user::KeyKind};
use rustls_pki_types::{SubjectPublicKeyInfoDer, pem::PemObject};
use sha2::{Digest, Sha256};
use spki::{ObjectIdentifier, SubjectPublicKeyInfoRef, der::Decode};

use crate::text::without_mark;

mod other_forms;

use other_forms::Signed;

/// `rsaEncryption` of [RFC 8017](https://www.rfc-editor.org/rfc/rfc8017#appendix-C).
const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
/// `id-Ed25519` of [RFC 8410](https://www.rfc-editor.org/rfc/rfc8410#section-3).
const ED_25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");
/// `id-ecPublicKey` of [RFC 5480](https://www.rfc-editor.org/rfc/rfc5480#section-2.1.1).
const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
/// `secp256r1` of the same.
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");

const PEM_BEGIN: &str = "-----BEGIN PUBLIC KEY-----";
const PEM_END: &str = "-----END PUBLIC KEY-----";
/// Longest text of a public key, in bytes: one of RSA with 8192 bits has some 1,500.
const MAX_TEXT: usize = 4096;
/// Sizes of RSA keys, in bits.
const RSA_BITS: std::ops::RangeInclusive<u32> = 2048..=8192;

/// The public key of a user: a signature of it takes 30 µs (Ed25519, RSA of
/// 2048 bits) to 400 µs (RSA of 8192 bits) to verify.
pub struct UserPublicKey {
    kind: KeyKind,
    text: String,
    fingerprint: String,
    verifier: Verifier,
}

enum Verifier {
    Parsed {
        key: Box<ParsedPublicKey>,
        /// The key as it stands in the SubjectPublicKeyInfo.
        bits: Vec<u8>,
    },
    Account(Address),
}

/// Why a text is no public key that can be used; completes "public_key …".
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidUserKey {
    /// Neither PEM nor an address.
    #[error("must be a PUBLIC KEY in PEM, or an Ethereum address (0x + 40 hex chars)")]
    Format,
    /// The private key of a pair; it is not repeated.
    #[error(
        "is a private key, which stays with its user; the public one is what \
         `openssl pkey -in KEY -pubout` prints"
    )]
    Private,
    /// An address with a wrong checksum.
    #[error("{0}")]
    Address(dm_core::address::InvalidAddress),
    /// There is more than one block of PEM, or its content is not the base64 of
    /// a SubjectPublicKeyInfo in DER.
    #[error("must be one PUBLIC KEY in PEM (RFC 7468) and nothing else: {0}")]
    Pem(&'static str),
    /// Of an algorithm that is not used here.
    #[error("must be a key for RSA, Ed25519 or ECDSA on P-256, not for {0}")]
    Algorithm(String),
    /// RSA of another size.
    #[error("must have 2048 to 8192 bits as an RSA key, not {0}")]
    RsaSize(u32),
    /// The numbers make no key.
    #[error("is no {0} key: {1}")]
    Number(KeyKind, String),
}

impl UserPublicKey {
    /// Reads one `PUBLIC KEY` in PEM, or an Ethereum address; blanks around it
    /// do not count.
    ///
    /// # Errors
    /// [`InvalidUserKey`] says what would have been right.
    pub fn parse(text: &str) -> Result<Self, InvalidUserKey> {
        let text = without_mark(text);
        if text.len() > MAX_TEXT {
            return Err(InvalidUserKey::Pem("it is longer than any key"));
        }
        if text.starts_with(PEM_BEGIN) {
            return Self::from_pem(text);
        }
        if text.contains("PRIVATE KEY-----") {
            return Err(InvalidUserKey::Private);
        }
        if !text.starts_with("0x") {
            return Err(InvalidUserKey::Format);
        }
        let address = parse_address(text).map_err(InvalidUserKey::Address)?;
        Ok(Self {
            kind: KeyKind::Ethereum,
            text: address.to_string(),
            fingerprint: address.to_string(),
            verifier: Verifier::Account(address),
        })
    }

    fn from_pem(text: &str) -> Result<Self, InvalidUserKey> {
        let is_one_block = text.ends_with(PEM_END) && text.matches("-----").count() == 4;
        if !is_one_block {
            return Err(InvalidUserKey::Pem("there is something beside it"));
        }
        let der = SubjectPublicKeyInfoDer::from_pem_slice(text.as_bytes())
            .map_err(|_| InvalidUserKey::Pem("it is not base64"))?;
        let (kind, key, bits) = parse_info(&der)?;
        Ok(Self {
            kind,
            text: format!("{text}\n"),
            fingerprint: format!("sha256:{}", hex::encode(Sha256::digest(&der))),
            verifier: Verifier::Parsed {
                key: Box::new(key),
                bits,
            },
        })
    }

    /// What kind of key it is.
    pub fn kind(&self) -> KeyKind {
        self.kind
    }

    /// The key in the form in which it is kept: PEM, or an address in EIP-55 form.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Its name: see
    /// [`AuthorizedUser::fingerprint`](dm_core::user::AuthorizedUser::fingerprint).
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// Checks a signature over the bytes of a message: base64, or of an Ethereum
    /// account `0x` and 130 hexadecimal digits. RSA-PSS counts with each of the usual
    /// lengths of the salt, ECDSA in DER and as r and s (IEEE P1363).
    ///
    /// # Errors
    /// [`SignatureFault`].
    pub fn verify(&self, message: &str, signature: &str) -> Result<(), SignatureFault> {
        match &self.verifier {
            Verifier::Account(address) => verify_account(*address, message, signature),
            Verifier::Parsed { key, bits } => {
                let signature = STANDARD
                    .decode(signature)
                    .map_err(|_| SignatureFault::Malformed("base64 with padding"))?;
                let signed = Signed {
                    message: message.as_bytes(),
                    signature: &signature,
                };
                match key.verify_sig(signed.message, signed.signature) {
                    Ok(()) => Ok(()),
                    Err(_) => signed.in_other_forms(self.kind, bits),
                }
            }
        }
    }
}

impl fmt::Debug for UserPublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UserPublicKey")
            .field("fingerprint", &self.fingerprint)
            .finish_non_exhaustive()
    }
}

/// The kind of key in a SubjectPublicKeyInfo, the key, and how it stands there.
fn parse_info(der: &[u8]) -> Result<(KeyKind, ParsedPublicKey, Vec<u8>), InvalidUserKey> {
    let info = SubjectPublicKeyInfoRef::from_der(der)
        .map_err(|_| InvalidUserKey::Pem("its content is no SubjectPublicKeyInfo in DER"))?;
    let parameters = info.algorithm.parameters;
    let curve = parameters.and_then(|parameters| parameters.decode_as::<ObjectIdentifier>().ok());
    let bits = info
        .subject_public_key
        .as_bytes()
        .ok_or(InvalidUserKey::Pem("its key is not made of whole bytes"))?;
    let (kind, algorithm): (_, &'static dyn VerificationAlgorithm) = match info.algorithm.oid {
        RSA if parameters.is_some_and(|parameters| parameters.is_null()) => {
            (KeyKind::Rsa, &RSA_PSS_2048_8192_SHA256)
        }
        ED_25519 if parameters.is_none() => (KeyKind::Ed25519, &ED25519),
        EC if curve == Some(P256) => (KeyKind::P256, &ECDSA_P256_SHA256_ASN1),
        EC => {
            return Err(InvalidUserKey::Algorithm(
                "ECDSA on another curve or one without a name".to_owned(),
            ));
        }
        other => return Err(InvalidUserKey::Algorithm(format!("the algorithm {other}"))),
    };
    let key = parse_key(kind, algorithm, bits)?;
    if kind == KeyKind::Rsa {
        ensure_rsa_size(bits)?;
    }
    Ok((kind, key, bits.to_vec()))
}

fn parse_key(
    kind: KeyKind,
    algorithm: &'static dyn VerificationAlgorithm,
    bits: &[u8],
) -> Result<ParsedPublicKey, InvalidUserKey> {
    ParsedPublicKey::new(algorithm, bits).map_err(|error| InvalidUserKey::Number(kind, error.to_string()))
}

fn ensure_rsa_size(bits: &[u8]) -> Result<(), InvalidUserKey> {
    let size = RsaParameters::public_modulus_len(bits)
        .map_err(|error| InvalidUserKey::Number(KeyKind::Rsa, error.to_string()))?;
    if RSA_BITS.contains(&size) {
        Ok(())
    } else {
        Err(InvalidUserKey::RsaSize(size))
    }
}

/// EIP-191, version `E`: what wallets sign as a personal message.
fn verify_account(address: Address, message: &str, signature: &str) -> Result<(), SignatureFault> {
    const FORM: &str = "0x and 130 hexadecimal digits (r, s, v) with a low s";
    let malformed = || SignatureFault::Malformed(FORM);
    let digits = signature.strip_prefix("0x").ok_or_else(malformed)?;
    let mut bytes = [0; 65];
    hex::decode_to_slice(digits, &mut bytes).map_err(|_| malformed())?;
    let signature = Signature::from_raw_array(&bytes).map_err(|_| malformed())?;
    if signature.normalize_s().is_some() {
        return Err(malformed());
    }
    match signature.recover_address_from_msg(message) {
        Ok(signer) if signer == address => Ok(()),
        _ => Err(SignatureFault::Wrong),
    }
}

#[cfg(test)]
mod tests;
