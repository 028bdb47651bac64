//! From the master password to the keys that protect the key file.

use std::path::Path;

use dm_core::secret::SecretString;
use fernet::Fernet;
use hmac::{Hmac, KeyInit, Mac};
use scrypt::{Params, scrypt};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::{KeyError, sealer::cipher};

/// Memory that a derivation may take, in bytes, so that a hostile file cannot
/// exhaust the machine.
const MAX_MEMORY: u64 = 1 << 30;

/// How much a derivation costs whoever guesses passwords.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cost {
    /// Binary logarithm of scrypt's N; with r = 8 one derivation takes 2^(N + 10) bytes.
    log_n: u8,
}

impl Cost {
    /// N = 2^17: 128 MiB, some 0.3 s.
    pub(crate) const FULL: Self = Self { log_n: 17 };
    /// For tests that derive keys all the time.
    #[cfg(test)]
    pub(crate) const CHEAP: Self = Self { log_n: 4 };

    /// scrypt's N.
    pub(crate) fn n(self) -> u64 {
        1 << self.log_n
    }
}

/// Which derivation: scrypt ([RFC 7914](https://www.rfc-editor.org/rfc/rfc7914)).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct KdfParams {
    algorithm: String,
    /// Binary logarithm of scrypt's N.
    log_n: u8,
    r: u32,
    p: u32,
    #[serde(with = "hex::serde")]
    salt: [u8; 32],
}

impl KdfParams {
    /// r = 8, p = 1 and a fresh salt.
    pub(crate) fn fresh(cost: Cost) -> Self {
        Self {
            algorithm: "scrypt".to_owned(),
            log_n: cost.log_n,
            r: 8,
            p: 1,
            salt: rand::random(),
        }
    }

    pub(crate) fn salt(&self) -> &[u8; 32] {
        &self.salt
    }

    fn scrypt_params(&self, least: Cost) -> Result<Params, String> {
        if self.algorithm != "scrypt" {
            return Err(format!("key derivation {}", self.algorithm));
        }
        check_scrypt_cost(self.log_n, self.r, self.p)?;
        if self.log_n < least.log_n {
            return Err(format!("scrypt's N is less than 2^{}", least.log_n));
        }
        Params::new(self.log_n, self.r, self.p).map_err(|error| error.to_string())
    }
}

/// Refuses parameters that would exhaust the machine.
pub(crate) fn check_scrypt_cost(log_n: u8, r: u32, p: u32) -> Result<(), String> {
    let memory = 128u64
        .checked_mul(u64::from(r))
        .and_then(|block| block.checked_shl(u32::from(log_n)).filter(|_| log_n <= 24));
    if r == 0 || p == 0 || p > 16 || memory.is_none_or(|memory| memory > MAX_MEMORY) {
        return Err("scrypt's parameters are out of bounds (at most 1 GiB of memory)".to_owned());
    }
    Ok(())
}

/// What is derived from the master password: three independent keys.
pub(crate) struct MasterKey {
    cipher: Fernet,
    authentication: Authentication,
}

#[derive(Zeroize, ZeroizeOnDrop)]
struct Authentication {
    mac_key: [u8; 32],
    password_check: [u8; 32],
}

impl MasterKey {
    /// Derives the keys; takes the time and the memory that the parameters say, which must
    /// cost at least so much.
    pub(crate) fn derive(
        path: &Path,
        password: &SecretString,
        kdf: &KdfParams,
        least: Cost,
    ) -> Result<Self, KeyError> {
        let unsupported = |reason: String| KeyError::unsupported(path, reason);
        let params = kdf.scrypt_params(least).map_err(unsupported)?;
        let mut output = Zeroizing::new([0; 96]);
        scrypt(
            password.expose().as_bytes(),
            &kdf.salt,
            &params,
            output.as_mut_slice(),
        )
        .map_err(|error| KeyError::unsupported(path, error.to_string()))?;
        let part = |index: usize| {
            let mut part = Zeroizing::new([0; 32]);
            part.copy_from_slice(&output[32 * index..32 * (index + 1)]);
            part
        };
        Ok(Self {
            cipher: cipher(&part(0)),
            authentication: Authentication {
                mac_key: *part(1),
                password_check: *part(2),
            },
        })
    }

    /// Encrypts the secrets in the file.
    pub(crate) fn cipher(&self) -> &Fernet {
        &self.cipher
    }

    /// Stands in the file, so that a wrong password is recognised. It says
    /// nothing about the other two keys.
    pub(crate) fn password_check(&self) -> [u8; 32] {
        self.authentication.password_check
    }

    /// Whether a file with this check value was written under this password.
    pub(crate) fn matches(&self, password_check: &[u8; 32]) -> bool {
        self.authentication.password_check.ct_eq(password_check).into()
    }

    /// HMAC-SHA256 over the content of the file.
    pub(crate) fn mac(&self, content: &[u8]) -> [u8; 32] {
        let Ok(mac) = Hmac::<Sha256>::new_from_slice(&self.authentication.mac_key) else {
            unreachable!("HMAC takes keys of any length")
        };
        mac.chain_update(content).finalize().into_bytes().into()
    }
}
