//! Authorised users: people and programs who may order shares by their signature.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, de::Error as _};

use crate::named_enum::named_enum;

/// Longest id of a user, in characters.
const MAX_ID: usize = 100;

/// The name of an authorised user: 1 to 100 of `A-Za-z0-9_.-`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct UserId(String);

/// The text is no name of a user; completes "`<field>` …".
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be 1 to 100 letters, digits, `_`, `.` or `-`")]
pub struct InvalidUserId;

impl UserId {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for UserId {
    type Err = InvalidUserId;

    fn from_str(text: &str) -> Result<Self, InvalidUserId> {
        let is_allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-');
        if (1..=MAX_ID).contains(&text.len()) && text.bytes().all(is_allowed) {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidUserId)
        }
    }
}

impl fmt::Display for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for UserId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

named_enum! {
    /// What kind of key a user signs with, and with it the form of a signature.
    pub enum KeyKind {
        /// RSA of 2048 to 8192 bits; RSASSA-PSS with SHA-256 and a salt of 32 bytes.
        Rsa = "rsa",
        /// Ed25519 ([RFC 8032](https://www.rfc-editor.org/rfc/rfc8032)).
        Ed25519 = "ed25519",
        /// ECDSA on P-256 with SHA-256; signatures in DER.
        P256 = "p256",
        /// An Ethereum account; [EIP-191](https://eips.ethereum.org/EIPS/eip-191) messages.
        Ethereum = "ethereum",
    }

    /// The text names no kind of key.
    pub struct UnknownKeyKind("is no kind of key");
}

/// Somebody who may order shares.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AuthorizedUser {
    /// The name that orders are signed under.
    #[serde(rename = "user_id")]
    pub id: UserId,
    /// What kind of key it is.
    pub kind: KeyKind,
    /// The public key: PEM of a SubjectPublicKeyInfo
    /// ([RFC 7468](https://www.rfc-editor.org/rfc/rfc7468#section-13)), or an
    /// Ethereum address in EIP-55 form.
    pub public_key: String,
    /// Names the key: `sha256:` and the SHA-256 of the SubjectPublicKeyInfo in
    /// DER as 64 hexadecimal digits, or the Ethereum address in EIP-55 form.
    pub fingerprint: String,
    /// When it was added, in milliseconds since the Unix epoch.
    pub added_at: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_id_has_1_to_100_harmless_characters() {
        for id in ["a", "Alice_2.example-org", &"x".repeat(100)] {
            assert_eq!(id.parse::<UserId>().unwrap().as_str(), id);
        }
        for id in ["", &"x".repeat(101), "a b", "a/b", "ä", "a\n", "a\0"] {
            assert!(id.parse::<UserId>().is_err(), "{id:?}");
            let json = serde_json::to_string(id).unwrap();
            assert!(serde_json::from_str::<UserId>(&json).is_err(), "{id:?}");
        }
    }

    #[test]
    fn kinds_of_keys_have_one_name_everywhere() {
        for kind in KeyKind::ALL {
            assert_eq!(kind.as_str().parse(), Ok(kind));
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.as_str());
        }
        assert_eq!("dsa".parse::<KeyKind>(), Err(UnknownKeyKind));
    }
}
