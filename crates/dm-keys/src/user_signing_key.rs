//! Private keys of users, for programs that sign orders: no node has one.

use std::fmt;

use alloy_primitives::{eip191_hash_message, hex};
use aws_lc_rs::{
    rand::SystemRandom,
    rsa::KeyPair as RsaKeyPair,
    signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair, RSA_PSS_SHA256},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use dm_core::{
    ports::{Signer, SignerError},
    secret::SecretString,
    user::KeyKind,
};
use rustls_pki_types::{PrivatePkcs8KeyDer, pem::PemObject};

use crate::{KeyError, LocalAccount, text::without_mark};

/// A user's private key.
pub struct UserSigningKey(Key);

enum Key {
    Rsa(Box<RsaKeyPair>),
    Ed25519(Box<Ed25519KeyPair>),
    P256(Box<EcdsaKeyPair>),
    Ethereum(Box<LocalAccount>),
}

impl UserSigningKey {
    /// Reads a `PRIVATE KEY` in PEM (PKCS #8, without a password), as
    /// `openssl genpkey` writes it, or the 64 hexadecimal digits of an Ethereum
    /// account.
    ///
    /// # Errors
    /// [`KeyError::InvalidUserKey`], [`KeyError::EncryptedUserKey`]; the text is not repeated.
    pub fn parse(text: &SecretString) -> Result<Self, KeyError> {
        let pem = without_mark(text.expose());
        if pem.contains("-----BEGIN ENCRYPTED PRIVATE KEY-----") || pem.contains("Proc-Type: 4,ENCRYPTED") {
            return Err(KeyError::EncryptedUserKey);
        }
        let key = if pem.contains("-----BEGIN") {
            let der =
                PrivatePkcs8KeyDer::from_pem_slice(pem.as_bytes()).map_err(|_| KeyError::InvalidUserKey)?;
            from_pkcs8(der.secret_pkcs8_der()).ok_or(KeyError::InvalidUserKey)?
        } else {
            let account = LocalAccount::from_private_key(text).map_err(|_| KeyError::InvalidUserKey)?;
            Key::Ethereum(Box::new(account))
        };
        Ok(Self(key))
    }

    /// What kind of key it is.
    pub fn kind(&self) -> KeyKind {
        match &self.0 {
            Key::Rsa(_) => KeyKind::Rsa,
            Key::Ed25519(_) => KeyKind::Ed25519,
            Key::P256(_) => KeyKind::P256,
            Key::Ethereum(_) => KeyKind::Ethereum,
        }
    }

    /// Signs the bytes of a message, in the form that
    /// [`UserPublicKey::verify`](crate::UserPublicKey::verify) reads.
    ///
    /// # Errors
    /// [`SignerError::Failed`] where the key cannot be used.
    pub fn sign(&self, message: &str) -> Result<String, SignerError> {
        let failed = |error: aws_lc_rs::error::Unspecified| SignerError::Failed(error.to_string());
        let random = SystemRandom::new();
        let signature = match &self.0 {
            Key::Ethereum(account) => {
                let signature = account.sign_hash(&eip191_hash_message(message))?;
                return Ok(format!("0x{}", hex::encode(signature.as_bytes())));
            }
            Key::Ed25519(key) => key
                .try_sign(message.as_bytes())
                .map_err(failed)?
                .as_ref()
                .to_vec(),
            Key::P256(key) => key
                .sign(&random, message.as_bytes())
                .map_err(failed)?
                .as_ref()
                .to_vec(),
            Key::Rsa(key) => {
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(&RSA_PSS_SHA256, &random, message.as_bytes(), &mut signature)
                    .map_err(failed)?;
                signature
            }
        };
        Ok(STANDARD.encode(signature))
    }
}

impl fmt::Debug for UserSigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UserSigningKey")
            .field("kind", &self.kind())
            .finish_non_exhaustive()
    }
}

fn from_pkcs8(der: &[u8]) -> Option<Key> {
    let ed25519 = || {
        Ed25519KeyPair::from_pkcs8(der)
            .ok()
            .map(Box::new)
            .map(Key::Ed25519)
    };
    let p256 = || {
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, der);
        key.ok().map(Box::new).map(Key::P256)
    };
    let rsa = || RsaKeyPair::from_pkcs8(der).ok().map(Box::new).map(Key::Rsa);
    ed25519().or_else(p256).or_else(rsa)
}
