use dm_core::ports::{PublicKey, SignatureFault, UserKeys};

use crate::UserPublicKey;

/// Reads public keys of every [kind](dm_core::user::KeyKind), and checks their signatures.
#[derive(Debug, Clone, Copy, Default)]
pub struct PublicKeys;

impl UserKeys for PublicKeys {
    fn read(&self, public_key: &str) -> Result<PublicKey, String> {
        let key = UserPublicKey::parse(public_key).map_err(|reason| reason.to_string())?;
        Ok(PublicKey {
            kind: key.kind(),
            text: key.text().to_owned(),
            fingerprint: key.fingerprint().to_owned(),
        })
    }

    fn check(&self, public_key: &str, message: &str, signature: &str) -> Result<(), SignatureFault> {
        let key =
            UserPublicKey::parse(public_key).map_err(|reason| SignatureFault::Key(reason.to_string()))?;
        key.verify(message, signature)
    }
}
