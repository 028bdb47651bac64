//! [Web3 Secret Storage](https://ethereum.org/developers/docs/data-structures-and-encoding/web3-secret-storage)
//! version 3: the file format of Ethereum accounts.
//!
//! Written here, because the crate that others use writes scrypt with
//! N = 2^13, which would make this file the cheap way to the master password,
//! and because it panics on hostile files.

use std::path::Path;

use aes::Aes128;
use alloy_primitives::{Address, keccak256};
use ctr::{
    Ctr128BE,
    cipher::{KeyIvInit, StreamCipher},
};
use dm_core::secret::SecretString;
use pbkdf2::pbkdf2_hmac;
use scrypt::{Params, scrypt};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::{
    KeyError,
    key_set::Secret,
    master_key::{Cost, check_scrypt_cost},
    text::without_mark,
};

/// Most rounds of PBKDF2 in files that are read.
const MAX_ROUNDS: u32 = 10_000_000;

#[derive(Serialize, Deserialize)]
struct Keystore {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    address: Option<String>,
    #[serde(alias = "Crypto")]
    crypto: Crypto,
    #[serde(default)]
    id: String,
    version: u32,
}

#[derive(Serialize, Deserialize)]
struct Crypto {
    cipher: String,
    cipherparams: CipherParams,
    #[serde(with = "hex_digits")]
    ciphertext: Vec<u8>,
    kdf: String,
    kdfparams: KdfParams,
    #[serde(with = "hex_digits")]
    mac: Vec<u8>,
}

#[derive(Serialize, Deserialize)]
struct CipherParams {
    #[serde(with = "hex_digits")]
    iv: Vec<u8>,
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum KdfParams {
    Scrypt {
        dklen: u32,
        n: u64,
        r: u32,
        p: u32,
        #[serde(with = "hex_digits")]
        salt: Vec<u8>,
    },
    Pbkdf2 {
        dklen: u32,
        c: u32,
        prf: String,
        #[serde(with = "hex_digits")]
        salt: Vec<u8>,
    },
}

/// The file that holds a private key under this password: scrypt with r = 8, p = 1. Takes
/// one key derivation.
pub(crate) fn write(
    path: &Path,
    secret: &Secret,
    address: Address,
    password: &SecretString,
    cost: Cost,
) -> Result<Vec<u8>, KeyError> {
    let salt: [u8; 32] = rand::random();
    let iv: [u8; 16] = rand::random();
    let kdfparams = KdfParams::Scrypt {
        dklen: 32,
        n: cost.n(),
        r: 8,
        p: 1,
        salt: salt.to_vec(),
    };
    let key = derive(password, &kdfparams).map_err(|reason| KeyError::unsupported(path, reason))?;
    let ciphertext = apply_cipher(&key, &iv, secret.as_slice());
    let keystore = Keystore {
        address: Some(hex::encode(address)),
        id: random_uuid(),
        version: 3,
        crypto: Crypto {
            cipher: "aes-128-ctr".to_owned(),
            cipherparams: CipherParams { iv: iv.to_vec() },
            mac: mac(&key, ciphertext.as_slice()).to_vec(),
            ciphertext: ciphertext.to_vec(),
            kdf: "scrypt".to_owned(),
            kdfparams,
        },
    };
    serde_json::to_vec_pretty(&keystore).map_err(|error| KeyError::io("encode", path)(error.into()))
}

/// The private key in a file, and the address that the file says it has:
/// scrypt or PBKDF2-HMAC-SHA256, AES-128-CTR.
///
/// # Errors
/// [`KeyError::Damaged`] and [`KeyError::Unsupported`] where the file is no such
/// keystore, [`KeyError::WrongPassword`] where its MAC does not match.
pub(crate) fn read(
    path: &Path,
    bytes: &[u8],
    password: &SecretString,
) -> Result<(Secret, Option<Address>), KeyError> {
    let unsupported = |reason: String| KeyError::unsupported(path, reason);
    let keystore = parse(path, bytes)?;
    let crypto = &keystore.crypto;
    if keystore.version != 3 || crypto.cipher != "aes-128-ctr" {
        return Err(unsupported(format!(
            "Web3 keystore version {}, {}",
            keystore.version, crypto.cipher
        )));
    }
    let address = keystore
        .address
        .as_deref()
        .map(|text| parse_address(path, text))
        .transpose()?;
    let iv: &[u8; 16] = fixed(path, "iv", &crypto.cipherparams.iv)?;
    // Some writers leave the zero bytes at the front of a key out.
    let ciphertext = crypto.ciphertext.as_slice();
    if !(1..=32).contains(&ciphertext.len()) {
        let length = ciphertext.len();
        return Err(KeyError::damaged(
            path,
            format!("ciphertext has {length} bytes, not 1 to 32"),
        ));
    }
    let expected_mac: &[u8; 32] = fixed(path, "mac", &crypto.mac)?;
    let key = derive(password, &crypto.kdfparams).map_err(unsupported)?;
    if !bool::from(mac(&key, ciphertext).ct_eq(expected_mac)) {
        return Err(KeyError::WrongPassword(path.to_owned()));
    }
    Ok((apply_cipher(&key, iv, ciphertext), address))
}

/// The keystore in a file: JSON, which may come after a byte order mark, or be the only
/// item of a list.
fn parse(path: &Path, bytes: &[u8]) -> Result<Keystore, KeyError> {
    let text = std::str::from_utf8(bytes).map_err(|_| KeyError::damaged(path, "it is not UTF-8 text"))?;
    let text = without_mark(text);
    let damaged = |error: serde_json::Error| KeyError::damaged(path, error.to_string());
    if !text.starts_with('[') {
        return serde_json::from_str(text).map_err(damaged);
    }
    let mut list: Vec<Keystore> = serde_json::from_str(text).map_err(damaged)?;
    if list.len() > 1 {
        let count = list.len();
        let reason = format!("it holds {count} keystores in a list: keep the one of the node account");
        return Err(KeyError::unsupported(path, reason));
    }
    list.pop()
        .ok_or_else(|| KeyError::damaged(path, "its list of keystores is empty"))
}

fn parse_address(path: &Path, text: &str) -> Result<Address, KeyError> {
    let mut address = Address::ZERO;
    hex::decode_to_slice(text.strip_prefix("0x").unwrap_or(text), address.as_mut_slice())
        .map_err(|_| KeyError::damaged(path, "its address is none"))?;
    Ok(address)
}

fn fixed<'a, const N: usize>(path: &Path, field: &str, bytes: &'a [u8]) -> Result<&'a [u8; N], KeyError> {
    bytes
        .try_into()
        .map_err(|_| KeyError::damaged(path, format!("{field} has {} bytes, not {N}", bytes.len())))
}

/// The derived key: 16 bytes for the cipher, 16 for the MAC.
fn derive(password: &SecretString, params: &KdfParams) -> Result<Secret, String> {
    let password = password.expose().as_bytes();
    let mut key = Zeroizing::new([0; 32]);
    match params {
        KdfParams::Scrypt {
            dklen: 32,
            n,
            r,
            p,
            salt,
        } => {
            if !n.is_power_of_two() || *n < 2 {
                return Err("scrypt's n is no power of two".to_owned());
            }
            let log_n = n.trailing_zeros() as u8;
            check_scrypt_cost(log_n, *r, *p)?;
            let params = Params::new(log_n, *r, *p).map_err(|error| error.to_string())?;
            scrypt(password, salt, &params, key.as_mut_slice()).map_err(|error| error.to_string())?;
        }
        KdfParams::Pbkdf2 {
            dklen: 32,
            c,
            prf,
            salt,
        } => {
            if prf != "hmac-sha256" || !(1..=MAX_ROUNDS).contains(c) {
                return Err(format!("PBKDF2 with {c} rounds of {prf}"));
            }
            pbkdf2_hmac::<Sha256>(password, salt, *c, key.as_mut_slice());
        }
        KdfParams::Scrypt { dklen, .. } | KdfParams::Pbkdf2 { dklen, .. } => {
            return Err(format!("a derived key of {dklen} bytes"));
        }
    }
    Ok(key)
}

fn mac(key: &Secret, ciphertext: &[u8]) -> [u8; 32] {
    let message = Zeroizing::new([&key[16..], ciphertext].concat());
    keccak256(message.as_slice()).0
}

/// Encrypts or decrypts up to 32 bytes, which stand at the end of what is returned.
fn apply_cipher(key: &Secret, iv: &[u8; 16], input: &[u8]) -> Secret {
    let mut output = Zeroizing::new([0; 32]);
    let padding = output.len().saturating_sub(input.len());
    output[padding..].copy_from_slice(input);
    let mut cipher_key = Zeroizing::new([0; 16]);
    cipher_key.copy_from_slice(&key[..16]);
    Ctr128BE::<Aes128>::new((&*cipher_key).into(), iv.into()).apply_keystream(&mut output[padding..]);
    output
}

/// Bytes as hexadecimal digits, which are read with `0x` before them, too.
mod hex_digits {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        hex::serde::serialize(bytes, serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(deserializer)?;
        hex::decode(text.strip_prefix("0x").unwrap_or(&text)).map_err(D::Error::custom)
    }
}

/// A random identifier ([RFC 9562](https://www.rfc-editor.org/rfc/rfc9562), version 4).
fn random_uuid() -> String {
    let mut bytes: [u8; 16] = rand::random();
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let text = hex::encode(bytes);
    [
        &text[..8],
        &text[8..12],
        &text[12..16],
        &text[16..20],
        &text[20..],
    ]
    .join("-")
}

#[cfg(test)]
mod tests;
