//! The key file: JSON that says what it is, in which every secret is a Fernet
//! token under a key derived from the master password.
//!
//! Two values protect it as a whole. The checksum (SHA-256, without any key)
//! tells damage from a wrong password before the password is even tried; the
//! MAC (HMAC-SHA256 under a key from the password) finds changes by somebody
//! who computes a checksum, too. The bytes must be exactly those that writing
//! the parsed file again gives, so that no changed byte goes unnoticed.

use std::path::Path;

use alloy_primitives::Address;
use fernet::Fernet;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::{
    KeyError,
    key_set::{GrantKey, KeyEncryptionKey, KeySet, OperatorKey, Secret, StoredAccount},
    master_key::{KdfParams, MasterKey},
    sealer::{open_secret, seal_secret},
};

const FORMAT: &str = "datamgmt-keys";
const VERSION: u32 = 1;

/// The file as it is read, not opened yet.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct KeyFile {
    content: Content,
    /// HMAC-SHA256 over the content as compact JSON.
    #[serde(with = "hex::serde")]
    mac: [u8; 32],
    /// SHA-256 over the content as compact JSON and the MAC.
    #[serde(with = "hex::serde")]
    checksum: [u8; 32],
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Content {
    format: String,
    version: u32,
    kdf: KdfParams,
    #[serde(with = "hex::serde")]
    password_check: [u8; 32],
    #[serde(rename = "data_keys")]
    key_encryption_keys: Vec<SealedKeyEncryptionKey>,
    grant_keys: Vec<SealedGrantKey>,
    node_identity: String,
    account: Option<SealedAccount>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    operators: Vec<SealedOperator>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SealedKeyEncryptionKey {
    version: u32,
    /// Milliseconds since the Unix epoch.
    created_at: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    imported_from: Option<u32>,
    token: String,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SealedGrantKey {
    #[serde(with = "hex::serde")]
    public_key: [u8; 32],
    created_at: u64,
    token: String,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SealedAccount {
    address: Address,
    #[serde(with = "hex::serde")]
    keystore_sha256: [u8; 32],
    #[serde(default, skip_serializing_if = "Option::is_none")]
    replaced_keystore_sha256: Option<HexDigest>,
    token: String,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(transparent)]
struct HexDigest(#[serde(with = "hex::serde")] [u8; 32]);

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SealedOperator {
    confirmed: bool,
    token: String,
}

/// What every version of the file has.
#[derive(Deserialize)]
struct Header {
    content: HeaderContent,
}

#[derive(Deserialize)]
struct HeaderContent {
    format: String,
    version: u32,
}

/// The bytes of the file that holds these keys under this password.
pub(crate) fn write(
    path: &Path,
    keys: &KeySet,
    kdf: &KdfParams,
    master: &MasterKey,
) -> Result<Vec<u8>, KeyError> {
    let content = seal(keys, kdf, master);
    let json = content_json(path, &content)?;
    let mac = master.mac(&json);
    let file = KeyFile {
        checksum: checksum(&json, &mac),
        content,
        mac,
    };
    file_json(path, &file)
}

/// Reads the file as far as that goes without the password.
///
/// # Errors
/// [`KeyError::Unsupported`] where it is of another format or version,
/// [`KeyError::Damaged`] where any byte was changed or is missing.
pub(crate) fn parse(path: &Path, bytes: &[u8]) -> Result<KeyFile, KeyError> {
    let no_json = |error: serde_json::Error| KeyError::damaged(path, error.to_string());
    let header: Header = serde_json::from_slice(bytes).map_err(no_json)?;
    let HeaderContent { format, version } = header.content;
    if format != FORMAT || version != VERSION {
        return Err(KeyError::unsupported(
            path,
            format!("its format is {format:?} {version}"),
        ));
    }
    let file: KeyFile = serde_json::from_slice(bytes).map_err(no_json)?;
    let json = content_json(path, &file.content)?;
    if checksum(&json, &file.mac) != file.checksum || file_json(path, &file)? != bytes {
        return Err(KeyError::damaged(path, "its checksum does not match"));
    }
    Ok(file)
}

impl KeyFile {
    /// How the password becomes the master key.
    pub(crate) fn kdf(&self) -> &KdfParams {
        &self.content.kdf
    }

    /// Decrypts all keys.
    ///
    /// # Errors
    /// [`KeyError::WrongPassword`], or [`KeyError::Damaged`] where the file was
    /// changed by somebody who repaired the checksum.
    pub(crate) fn open(&self, path: &Path, master: &MasterKey) -> Result<KeySet, KeyError> {
        if !master.matches(&self.content.password_check) {
            return Err(KeyError::WrongPassword(path.to_owned()));
        }
        let mac = master.mac(&content_json(path, &self.content)?);
        if !bool::from(mac.ct_eq(&self.mac)) {
            return Err(KeyError::damaged(
                path,
                "somebody without the password has changed it",
            ));
        }
        unseal(&self.content, master.cipher())
            .ok_or_else(|| KeyError::damaged(path, "its keys are not consistent"))
    }
}

fn checksum(json: &[u8], mac: &[u8; 32]) -> [u8; 32] {
    Sha256::new()
        .chain_update(json)
        .chain_update(mac)
        .finalize()
        .into()
}

fn content_json(path: &Path, content: &Content) -> Result<Vec<u8>, KeyError> {
    serde_json::to_vec(content).map_err(|error| KeyError::io("encode", path)(error.into()))
}

fn file_json(path: &Path, file: &KeyFile) -> Result<Vec<u8>, KeyError> {
    let mut json =
        serde_json::to_vec_pretty(file).map_err(|error| KeyError::io("encode", path)(error.into()))?;
    json.push(b'\n');
    Ok(json)
}

fn seal(keys: &KeySet, kdf: &KdfParams, master: &MasterKey) -> Content {
    let token = |secret: &Secret| seal_secret(master.cipher(), secret);
    let key_encryption_key = |key: &KeyEncryptionKey| SealedKeyEncryptionKey {
        version: key.info.version,
        created_at: key.info.created_at,
        imported_from: key.info.imported_from,
        token: token(&key.secret),
    };
    let grant_key = |key: &GrantKey| SealedGrantKey {
        public_key: key.public,
        created_at: key.created_at,
        token: token(&key.secret),
    };
    let account = |account: &StoredAccount| SealedAccount {
        address: account.address,
        keystore_sha256: account.keystore_digest,
        replaced_keystore_sha256: account.replaced_keystore.map(HexDigest),
        token: token(&account.secret),
    };
    let operator = |key: &OperatorKey| SealedOperator {
        confirmed: key.is_confirmed,
        token: token(&key.secret),
    };
    Content {
        format: FORMAT.to_owned(),
        version: VERSION,
        kdf: kdf.clone(),
        password_check: master.password_check(),
        key_encryption_keys: keys.key_encryption_keys.iter().map(key_encryption_key).collect(),
        grant_keys: keys.grant_keys.iter().map(grant_key).collect(),
        node_identity: token(&keys.identity_seed),
        account: keys.account.as_ref().map(account),
        operators: keys.operators.iter().map(operator).collect(),
    }
}

/// The keys, where each token opens and all is as [`seal`] writes it.
fn unseal(content: &Content, cipher: &Fernet) -> Option<KeySet> {
    let key_encryption_key = |key: &SealedKeyEncryptionKey| {
        let secret = open_secret(cipher, &key.token)?;
        Some(KeyEncryptionKey::new(
            key.version,
            key.created_at,
            key.imported_from,
            secret,
        ))
    };
    let grant_key = |key: &SealedGrantKey| {
        GrantKey::new(key.created_at, open_secret(cipher, &key.token)?)
            .filter(|opened| opened.public == key.public_key)
    };
    let account = |account: &SealedAccount| {
        Some(StoredAccount {
            address: account.address,
            secret: open_secret(cipher, &account.token)?,
            keystore_digest: account.keystore_sha256,
            replaced_keystore: account.replaced_keystore_sha256.as_ref().map(|digest| digest.0),
        })
    };
    let operator = |key: &SealedOperator| {
        Some(OperatorKey {
            is_confirmed: key.confirmed,
            secret: open_secret(cipher, &key.token)?,
        })
    };
    let keys = KeySet {
        key_encryption_keys: content
            .key_encryption_keys
            .iter()
            .map(key_encryption_key)
            .collect::<Option<_>>()?,
        grant_keys: content.grant_keys.iter().map(grant_key).collect::<Option<_>>()?,
        identity_seed: open_secret(cipher, &content.node_identity)?,
        account: match &content.account {
            Some(sealed) => Some(account(sealed)?),
            None => None,
        },
        operators: content.operators.iter().map(operator).collect::<Option<_>>()?,
    };
    (are_versions(&keys.key_encryption_keys) && !keys.grant_keys.is_empty()).then_some(keys)
}

/// Versions are numbered from 1, in their order; those that were destroyed leave gaps.
fn are_versions(keys: &[KeyEncryptionKey]) -> bool {
    let versions = keys.iter().map(|key| key.info.version);
    keys.first().is_some_and(|first| first.info.version > 0) && versions.is_sorted_by(|a, b| a < b)
}

#[cfg(test)]
mod tests;
