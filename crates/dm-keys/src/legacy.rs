//! The older node's `encryption_keys.json`.
//!
//! ```json
//! {"salt": "<base64 of the salt>", "current_version": 2,
//!  "keys": {"1": "<base64 of a Fernet token's text>", "2": "…"}}
//! ```
//!
//! Each token is over the text of a Fernet key and is made with the key
//! PBKDF2-HMAC-SHA256(master password, salt, 480,000 rounds, 32 bytes).

use std::{collections::BTreeMap, path::Path};

use base64::{Engine, prelude::BASE64_STANDARD, prelude::BASE64_URL_SAFE};
use dm_core::secret::SecretString;
use fernet::Fernet;
use pbkdf2::pbkdf2_hmac;
use serde::Deserialize;
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::{
    KeyError,
    key_set::Secret,
    private_file,
    sealer::{cipher, open_text},
};

/// Rounds of PBKDF2.
const ROUNDS: u32 = 480_000;

/// Which number an imported key had, and which it has now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ImportedVersion {
    /// In the older node.
    pub legacy_version: u32,
    /// In this one.
    pub version: u32,
}

/// A key of the older node.
pub(crate) struct LegacyKey {
    pub(crate) version: u32,
    pub(crate) secret: Secret,
}

#[derive(Deserialize)]
struct LegacyFile {
    salt: String,
    current_version: u32,
    keys: BTreeMap<u32, String>,
}

/// All keys of the file, in the order of their versions. Takes some 0.2 s.
///
/// # Errors
/// [`KeyError::Damaged`] where the file has another form,
/// [`KeyError::WrongPassword`] where none of its tokens opens.
pub(crate) fn read(path: &Path, password: &SecretString) -> Result<Vec<LegacyKey>, KeyError> {
    let damaged = |reason: String| KeyError::damaged(path, reason);
    let bytes = private_file::read_foreign(path)?;
    let file: LegacyFile = serde_json::from_slice(&bytes).map_err(|error| damaged(error.to_string()))?;
    if !file.keys.contains_key(&file.current_version) {
        return Err(damaged(format!(
            "it has no key of its current version {}",
            file.current_version
        )));
    }
    let salt = BASE64_STANDARD
        .decode(&file.salt)
        .map_err(|_| damaged("its salt is no base64".to_owned()))?;
    let master = derive(password, &salt);
    let keys: Vec<_> = file
        .keys
        .iter()
        .map(|(version, token)| (*version, open_token(&master, token)))
        .collect();
    if keys.iter().all(|(_, text)| text.is_none()) {
        return Err(KeyError::WrongPassword(path.to_owned()));
    }
    keys.into_iter()
        .map(|(version, text)| {
            let secret = text
                .and_then(|text| decode_key(&text))
                .ok_or_else(|| damaged(format!("its key version {version} does not open")))?;
            Ok(LegacyKey { version, secret })
        })
        .collect()
}

fn derive(password: &SecretString, salt: &[u8]) -> Fernet {
    let mut key = Zeroizing::new([0; 32]);
    pbkdf2_hmac::<Sha256>(password.expose().as_bytes(), salt, ROUNDS, key.as_mut_slice());
    cipher(&key)
}

fn open_token(master: &Fernet, token: &str) -> Option<Zeroizing<Vec<u8>>> {
    let token = String::from_utf8(BASE64_STANDARD.decode(token).ok()?).ok()?;
    open_text(master, &token).map(Zeroizing::new)
}

fn decode_key(text: &[u8]) -> Option<Secret> {
    let key = Zeroizing::new(BASE64_URL_SAFE.decode(text).ok()?);
    key.as_slice().try_into().ok().map(Zeroizing::new)
}
