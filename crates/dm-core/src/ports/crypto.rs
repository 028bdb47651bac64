use bytes::Bytes;

use super::OpenedChunk;
use crate::{
    address_record::AddressRecord,
    envelope::{Chunk, Envelope, Grant, ObjectId},
    hash::{ChunkName, DataHasher},
    secret::ContentKey,
    share::WrappedKey,
};

/// Encrypts and decrypts chunks: raw Fernet tokens, as bytes and not as base64
/// text. Calls keep a core busy; callers take them off the async threads.
pub trait Sealer: Send + Sync {
    /// The token over this plaintext, and its name: computing it on the way
    /// costs less than afterwards.
    fn seal(&self, key: &ContentKey, plaintext: &[u8]) -> Chunk;

    /// Like [`Sealer::seal`], and the hasher takes the plaintext: together that costs less
    /// than one after the other.
    fn seal_and_hash(&self, key: &ContentKey, plaintext: &[u8], hasher: &mut DataHasher) -> Chunk {
        hasher.update(plaintext);
        self.seal(key, plaintext)
    }

    /// The plaintext of a token.
    ///
    /// # Errors
    /// [`Unsealable`] where the token was not made with this key or was changed.
    fn open(&self, key: &ContentKey, token: &[u8]) -> Result<Vec<u8>, Unsealable>;

    /// Checks that bytes have the name of a chunk, and opens them: together that costs less
    /// than one after the other. `None` where they have another name; then nothing of the
    /// plaintext is handed out.
    fn open_named(&self, key: &ContentKey, name: ChunkName, bytes: Bytes) -> Option<OpenedChunk> {
        let chunk = Chunk::checked(name, bytes)?;
        let plaintext = self.open(key, chunk.bytes()).map(Bytes::from);
        Some(OpenedChunk { chunk, plaintext })
    }
}

/// The bytes were not sealed with this key, or were changed since.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not sealed with this key, or changed since")]
pub struct Unsealable;

/// The node's own Fernet keys, in versions; they wrap content keys.
pub trait KeyRing: Send + Sync {
    /// Wraps a content key with the newest version.
    fn wrap(&self, key: &ContentKey) -> WrappedKey;

    /// Unwraps a content key.
    ///
    /// # Errors
    /// [`KeyRingError`] where the version is not held or the token was changed.
    fn unwrap(&self, key: &WrappedKey) -> Result<ContentKey, KeyRingError>;

    /// Makes a new version, durable before it is used, and returns its number.
    /// Takes about as long as one key derivation (a second); blocking.
    ///
    /// # Errors
    /// [`KeyRingError::Failed`] where it cannot be kept.
    fn rotate(&self) -> Result<u32, KeyRingError>;

    /// All versions, oldest first; of what other instances have made since the last
    /// [refresh](Self::refresh), some may be missing.
    fn versions(&self) -> Vec<KeyVersion>;

    /// Takes over what other instances have made of the keys; blocking. Whoever keeps the keys alone
    /// has nothing to do.
    ///
    /// # Errors
    /// [`KeyRingError::Failed`] where that cannot be read.
    fn refresh(&self) -> Result<(), KeyRingError> {
        Ok(())
    }

    /// Destroys an older version: what it still wraps can never be unwrapped again.
    /// Durable when it returns; blocking.
    ///
    /// # Errors
    /// [`KeyRingError::UnknownVersion`], [`KeyRingError::Newest`], and
    /// [`KeyRingError::Failed`]; then the version is still held.
    fn destroy(&self, version: u32) -> Result<(), KeyRingError>;
}

/// A version of the node's own key, without the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct KeyVersion {
    /// Its number, from 1.
    pub version: u32,
    /// When it was made, in milliseconds since the Unix epoch.
    pub created_at: u64,
    /// Its number in the older node's file that it was imported from: it may wrap what
    /// this node does not know of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub imported_from: Option<u32>,
}

/// Why a key ring did not do what it should.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyRingError {
    /// No such version is held here.
    #[error("key version {0} is not held here")]
    UnknownVersion(u32),
    /// The newest version wraps whatever is new.
    #[error("key version {0} is the newest")]
    Newest(u32),
    /// The wrapped key was changed.
    #[error("the wrapped key is damaged")]
    Damaged,
    /// The ring could not be kept.
    #[error("the keys could not be stored: {0}")]
    Failed(String),
}

/// Makes grants for others and opens those made for this node.
pub trait Grants: Send + Sync {
    /// The HPKE public key that others make grants for.
    fn public_key(&self) -> [u8; 32];

    /// Wraps the content key of an object for the holder of an address record.
    ///
    /// # Errors
    /// [`GrantError::BadPublicKey`].
    fn grant(
        &self,
        key: &ContentKey,
        object: &ObjectId,
        recipient: &AddressRecord,
    ) -> Result<Grant, GrantError>;

    /// The content key from the grant for this node's address; `None` where
    /// the envelope has none.
    ///
    /// # Errors
    /// [`GrantError::Unopenable`] where there is one that does not open.
    fn open_grant(&self, envelope: &Envelope) -> Result<Option<ContentKey>, GrantError>;

    /// Replaces the key pair by a fresh one, durable before it is used, and returns the
    /// public key. Grants for those before still open. Blocking.
    ///
    /// # Errors
    /// [`KeyRingError::Failed`] where it cannot be kept.
    fn rotate(&self) -> Result<[u8; 32], KeyRingError>;

    /// All key pairs whose grants open, oldest first.
    fn keys(&self) -> Vec<GrantKeyInfo>;
}

/// A key pair for grants, without its secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct GrantKeyInfo {
    /// The HPKE public key.
    #[serde(serialize_with = "hex::serde::serialize")]
    pub public_key: [u8; 32],
    /// When it was made, in milliseconds since the Unix epoch.
    pub created_at: u64,
}

/// Why a grant was not made or opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum GrantError {
    /// The public key in the address record is none.
    #[error("the recipient's public key is not valid")]
    BadPublicKey,
    /// The grant was changed, or made for a key that this node does not have.
    #[error("the grant for this node cannot be opened")]
    Unopenable,
}
