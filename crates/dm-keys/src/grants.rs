use std::{fmt, sync::Arc};

use alloy_primitives::Address;
use dm_core::{
    address_record::AddressRecord,
    envelope::{Envelope, Grant, ObjectId},
    ports::{GrantError, GrantKeyInfo, Grants, KeyRingError},
    secret::ContentKey,
};
use hpke::{
    Deserializable, Kem, OpModeR, OpModeS, Serializable, aead::ChaCha20Poly1305, kdf::HkdfSha256,
    single_shot_open, single_shot_seal,
};
use zeroize::Zeroizing;

pub use crate::key_set::grant_key_id;
use crate::{
    KeyManager,
    key_set::{GrantKem, GrantKey},
};

/// HPKE's `info`: separates grants from any other use of the same key.
const INFO: &[u8] = b"datamgmt/grant/1";

/// Makes grants, and opens those for one address with the keys of a
/// [`KeyManager`]: HPKE ([RFC 9180](https://www.rfc-editor.org/rfc/rfc9180)),
/// base mode, DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, ChaCha20-Poly1305.
///
/// A grant is bound to the object and the recipient by HPKE's associated data:
/// locator (32 bytes) ‖ owner (20 bytes) ‖ recipient (20 bytes).
pub struct HpkeGrants {
    keys: Arc<KeyManager>,
    address: Address,
}

impl HpkeGrants {
    /// Grants for `address` open with the keys of `keys`, older ones too.
    pub fn new(keys: Arc<KeyManager>, address: Address) -> Self {
        Self { keys, address }
    }
}

impl fmt::Debug for HpkeGrants {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HpkeGrants")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

fn associated_data(object: &ObjectId, recipient: Address) -> Vec<u8> {
    [
        object.locator.as_bytes().as_slice(),
        object.owner.as_slice(),
        recipient.as_slice(),
    ]
    .concat()
}

fn open(key: &GrantKey, grant: &Grant, object: &ObjectId) -> Option<ContentKey> {
    let encapsulated = <GrantKem as Kem>::EncappedKey::from_bytes(&grant.encapsulated_key).ok()?;
    let plaintext = single_shot_open::<ChaCha20Poly1305, HkdfSha256, GrantKem>(
        &OpModeR::Base,
        &key.private,
        &encapsulated,
        INFO,
        &grant.ciphertext,
        &associated_data(object, grant.recipient),
    );
    let plaintext = Zeroizing::new(plaintext.ok()?);
    plaintext.as_slice().try_into().ok().map(ContentKey::from_bytes)
}

impl Grants for HpkeGrants {
    fn public_key(&self) -> [u8; 32] {
        self.keys.read_keys(|keys| {
            let Some(newest) = keys.grant_keys.last() else {
                unreachable!("a key set has at least one grant key")
            };
            newest.public
        })
    }

    fn grant(
        &self,
        key: &ContentKey,
        object: &ObjectId,
        recipient: &AddressRecord,
    ) -> Result<Grant, GrantError> {
        let public_key = <GrantKem as Kem>::PublicKey::from_bytes(&recipient.hpke_public_key)
            .map_err(|_| GrantError::BadPublicKey)?;
        let (encapsulated_key, ciphertext) = single_shot_seal::<ChaCha20Poly1305, HkdfSha256, GrantKem>(
            &OpModeS::Base,
            &public_key,
            INFO,
            key.as_bytes(),
            &associated_data(object, recipient.address),
        )
        .map_err(|_| GrantError::BadPublicKey)?;
        Ok(Grant {
            recipient: recipient.address,
            key_id: grant_key_id(&recipient.hpke_public_key),
            encapsulated_key: encapsulated_key.to_bytes().into(),
            ciphertext,
        })
    }

    fn open_grant(&self, envelope: &Envelope) -> Result<Option<ContentKey>, GrantError> {
        if !envelope.grants_to(self.address) {
            return Ok(None);
        }
        let own_grants = envelope
            .grants
            .iter()
            .filter(|grant| grant.recipient == self.address);
        self.keys
            .read_keys(|keys| {
                own_grants
                    .filter_map(|grant| {
                        Some((
                            grant,
                            keys.grant_keys.iter().find(|key| key.id() == grant.key_id)?,
                        ))
                    })
                    .find_map(|(grant, key)| open(key, grant, &envelope.id))
            })
            .map_or(Err(GrantError::Unopenable), |key| Ok(Some(key)))
    }

    fn rotate(&self) -> Result<[u8; 32], KeyRingError> {
        Ok(self.keys.rotate_grant_key()?)
    }

    fn keys(&self) -> Vec<GrantKeyInfo> {
        let info = |key: &GrantKey| GrantKeyInfo {
            public_key: key.public,
            created_at: key.created_at,
        };
        self.keys
            .read_keys(|keys| keys.grant_keys.iter().map(info).collect())
    }
}
