//! The text of a key: `dm_<id>_<secret>`, id 12 and secret 64 lower-case
//! hexadecimal digits (48 and 256 random bits).

use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

const PREFIX: &str = "dm_";
const ID_DIGITS: usize = 12;
const SECRET_DIGITS: usize = 64;

/// A text that has the form of a key.
pub(super) struct PresentedKey<'a> {
    key: &'a str,
    id: &'a str,
}

impl<'a> PresentedKey<'a> {
    pub(super) fn parse(key: &'a str) -> Option<Self> {
        let (id, secret) = key.strip_prefix(PREFIX)?.split_once('_')?;
        let is_hex = |text: &str| text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        (id.len() == ID_DIGITS && secret.len() == SECRET_DIGITS && is_hex(id) && is_hex(secret))
            .then_some(Self { key, id })
    }

    pub(super) fn id(&self) -> &'a str {
        self.id
    }

    pub(super) fn hash(&self) -> [u8; 32] {
        hash(self.key)
    }
}

/// What the catalog keeps of a key: SHA-256 of its whole text.
pub(super) fn hash(key: &str) -> [u8; 32] {
    Sha256::digest(key).into()
}

/// A fresh id, and the key with it.
pub(super) fn fresh_key() -> (String, String) {
    let id = hex::encode(rand::random::<[u8; ID_DIGITS / 2]>());
    let secret = Zeroizing::new(rand::random::<[u8; SECRET_DIGITS / 2]>());
    let key = format!("{PREFIX}{id}_{}", *Zeroizing::new(hex::encode(secret.as_slice())));
    (id, key)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_text_is_taken_apart_or_refused(text in "(dm_)?[0-9a-f_ä]{0,90}") {
            if let Some(key) = PresentedKey::parse(&text) {
                prop_assert_eq!(text.len(), PREFIX.len() + ID_DIGITS + 1 + SECRET_DIGITS);
                prop_assert_eq!(&text[3..15], key.id());
            }
        }
    }

    #[test]
    fn a_fresh_key_has_the_form() {
        let (id, key) = fresh_key();
        assert_eq!(PresentedKey::parse(&key).unwrap().id(), id);
        assert_ne!(fresh_key().1, key);
    }
}
