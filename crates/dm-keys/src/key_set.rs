//! All secrets of a node, as they are in memory.

use alloy_primitives::Address;
use dm_core::{
    clock::now_ms,
    ports::{KeyRingError, KeyVersion},
    secret::ContentKey,
};
use fernet::Fernet;
use hpke::{Deserializable, Kem, Serializable, kem::X25519HkdfSha256};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::sealer::{cipher, open_secret, seal_secret};

/// 32 secret bytes, wiped when dropped.
pub(crate) type Secret = Zeroizing<[u8; 32]>;

/// The key encapsulation of grants.
pub(crate) type GrantKem = X25519HkdfSha256;

/// All secrets of a node.
#[derive(Clone)]
pub(crate) struct KeySet {
    /// Versions of the Fernet key, by their numbers, from 1 with gaps; never empty.
    pub(crate) key_encryption_keys: Vec<KeyEncryptionKey>,
    /// HPKE keys, oldest first; never empty.
    pub(crate) grant_keys: Vec<GrantKey>,
    /// Seed of the node's network identity.
    pub(crate) identity_seed: Secret,
    /// The node account, unless it comes from the configuration.
    pub(crate) account: Option<StoredAccount>,
    /// The accounts to which the node's log was handed over, oldest first.
    pub(crate) operators: Vec<OperatorKey>,
}

/// One version of the node's Fernet key.
#[derive(Clone)]
pub(crate) struct KeyEncryptionKey {
    pub(crate) info: KeyVersion,
    pub(crate) secret: Secret,
    cipher: Fernet,
}

/// One HPKE key pair.
#[derive(Clone)]
pub(crate) struct GrantKey {
    pub(crate) created_at: u64,
    pub(crate) secret: Secret,
    pub(crate) public: [u8; 32],
    pub(crate) private: <GrantKem as Kem>::PrivateKey,
}

/// The node account and the keystore file that it was read from or
/// written to.
#[derive(Clone)]
pub(crate) struct StoredAccount {
    pub(crate) address: Address,
    pub(crate) secret: Secret,
    /// SHA-256 of the keystore file.
    pub(crate) keystore_digest: [u8; 32],
    /// SHA-256 of the file that it takes the place of, which was encrypted under the
    /// password before: a change of the password may have been interrupted.
    pub(crate) replaced_keystore: Option<[u8; 32]>,
}

impl StoredAccount {
    /// Whether this is the account's keystore file.
    pub(crate) fn is_kept_in(&self, keystore: &[u8]) -> bool {
        Sha256::digest(keystore)[..] == self.keystore_digest
    }

    /// The same account, whose keystore file is about to take the place of this one.
    pub(crate) fn in_place_of(self, outdated: Option<&[u8]>) -> Self {
        Self {
            replaced_keystore: outdated.map(|bytes| Sha256::digest(bytes).into()),
            ..self
        }
    }

    /// Whether this is the keystore file that was to be replaced.
    pub(crate) fn was_kept_in(&self, keystore: &[u8]) -> bool {
        self.replaced_keystore
            .is_some_and(|digest| Sha256::digest(keystore)[..] == digest)
    }
}

/// An account to which the node's log was handed over.
#[derive(Clone)]
pub(crate) struct OperatorKey {
    /// Whether the chain has done it; else it is under way.
    pub(crate) is_confirmed: bool,
    pub(crate) secret: Secret,
}

fn fresh_secret() -> Secret {
    Zeroizing::new(rand::random())
}

impl KeySet {
    /// Fresh secrets: one key-encryption key, one grant key, an identity.
    pub(crate) fn generate(account: Option<StoredAccount>) -> Self {
        let mut set = Self {
            key_encryption_keys: Vec::new(),
            grant_keys: vec![GrantKey::generate()],
            identity_seed: fresh_secret(),
            account,
            operators: Vec::new(),
        };
        set.add_key_encryption_key();
        set
    }

    /// Makes a new version of the key-encryption key and returns its number.
    pub(crate) fn add_key_encryption_key(&mut self) -> u32 {
        self.push_key_encryption_key(fresh_secret(), None)
    }

    /// Adds a key of the older node as a version; one that is held already
    /// keeps its number.
    pub(crate) fn import_key_encryption_key(&mut self, secret: &Secret, legacy_version: u32) -> u32 {
        match self.key_encryption_keys.iter().find(|key| key.secret == *secret) {
            Some(key) => key.info.version,
            None => self.push_key_encryption_key(secret.clone(), Some(legacy_version)),
        }
    }

    fn push_key_encryption_key(&mut self, secret: Secret, imported_from: Option<u32>) -> u32 {
        let version = self
            .key_encryption_keys
            .last()
            .map_or(1, |key| key.info.version + 1);
        self.key_encryption_keys
            .push(KeyEncryptionKey::new(version, now_ms(), imported_from, secret));
        version
    }

    /// The version with this number.
    pub(crate) fn key_encryption_key(&self, version: u32) -> Option<&KeyEncryptionKey> {
        let found = self
            .key_encryption_keys
            .binary_search_by_key(&version, |key| key.info.version);
        self.key_encryption_keys.get(found.ok()?)
    }

    /// Forgets a version that is not the newest.
    ///
    /// # Errors
    /// [`KeyRingError::UnknownVersion`], [`KeyRingError::Newest`].
    pub(crate) fn remove_key_encryption_key(&mut self, version: u32) -> Result<(), KeyRingError> {
        let newest = self.key_encryption_keys.last().map(|key| key.info.version);
        if self.key_encryption_key(version).is_none() {
            return Err(KeyRingError::UnknownVersion(version));
        }
        if newest == Some(version) {
            return Err(KeyRingError::Newest(version));
        }
        self.key_encryption_keys.retain(|key| key.info.version != version);
        Ok(())
    }

    /// Whether these can be the keys of `earlier` at a later time: more may have been made,
    /// and versions destroyed that were not the newest.
    pub(crate) fn follows(&self, earlier: &Self) -> bool {
        let newest = |keys: &Self| keys.key_encryption_keys.last().map(|key| key.info.version);
        let is_same_key_encryption_key = |key: &KeyEncryptionKey| {
            let own = self.key_encryption_key(key.info.version);
            own.is_none_or(|own| own.secret == key.secret)
        };
        let holds_grant_key = |key: &GrantKey| self.grant_keys.iter().any(|own| own.public == key.public);
        let holds_operator = |key: &OperatorKey| self.operators.iter().any(|own| own.secret == key.secret);
        self.identity_seed == earlier.identity_seed
            && newest(self) >= newest(earlier)
            && earlier.operators.iter().all(holds_operator)
            && earlier.key_encryption_keys.iter().all(is_same_key_encryption_key)
            && earlier.grant_keys.iter().all(holds_grant_key)
    }
}

impl OperatorKey {
    /// The log is about to be handed over to this account.
    pub(crate) fn unconfirmed(secret: Secret) -> Self {
        Self {
            is_confirmed: false,
            secret,
        }
    }
}

impl KeyEncryptionKey {
    pub(crate) fn new(version: u32, created_at: u64, imported_from: Option<u32>, secret: Secret) -> Self {
        Self {
            info: KeyVersion {
                version,
                created_at,
                imported_from,
            },
            cipher: cipher(&secret),
            secret,
        }
    }

    /// The Fernet token over a content key, in text form.
    pub(crate) fn wrap(&self, key: &ContentKey) -> String {
        seal_secret(&self.cipher, key.as_bytes())
    }

    /// The content key in a token of [`KeyEncryptionKey::wrap`].
    pub(crate) fn unwrap(&self, token: &str) -> Option<ContentKey> {
        open_secret(&self.cipher, token).map(|secret| ContentKey::from_bytes(*secret))
    }
}

impl GrantKey {
    /// A fresh key pair.
    pub(crate) fn generate() -> Self {
        let (private, _) = GrantKem::gen_keypair();
        let mut secret = fresh_secret();
        private.write_exact(secret.as_mut_slice());
        Self::from_parts(now_ms(), secret, private)
    }

    /// The key pair with this private key.
    pub(crate) fn new(created_at: u64, secret: Secret) -> Option<Self> {
        let private = <GrantKem as Kem>::PrivateKey::from_bytes(secret.as_slice()).ok()?;
        Some(Self::from_parts(created_at, secret, private))
    }

    fn from_parts(created_at: u64, secret: Secret, private: <GrantKem as Kem>::PrivateKey) -> Self {
        Self {
            created_at,
            secret,
            public: GrantKem::sk_to_pk(&private).to_bytes().into(),
            private,
        }
    }

    /// Names the key in grants.
    pub(crate) fn id(&self) -> [u8; 8] {
        grant_key_id(&self.public)
    }
}

/// Names an HPKE public key in grants: the first 8 bytes of its SHA-256.
pub fn grant_key_id(public_key: &[u8; 32]) -> [u8; 8] {
    let mut id = [0; 8];
    id.copy_from_slice(&Sha256::digest(public_key)[..8]);
    id
}
