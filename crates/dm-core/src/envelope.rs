//! Envelopes: an owner's signed descriptions of objects.

use alloy_primitives::Address;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{
    hash::{ChunkHasher, ChunkName, Locator},
    signed::{Signed, Statement, VERSION, read_all},
};

/// Plaintext bytes in every chunk but the last.
pub const CHUNK_SIZE: u64 = 256 * 1024;
/// Bytes of the longest chunk: a Fernet token (version, time, IV, padded
/// ciphertext, HMAC) over [`CHUNK_SIZE`] bytes.
pub const MAX_CHUNK_BYTES: usize = sealed_len(CHUNK_SIZE) as usize;
/// Largest object in plaintext bytes: 1 PiB, far above any disk, so that
/// arithmetic on sizes never overflows.
pub const MAX_OBJECT_SIZE: u64 = 1 << 50;
/// Grants in one envelope.
pub const MAX_GRANTS: usize = 1024;
/// Attachments in one envelope.
pub const MAX_ATTACHMENTS: usize = 16;
/// Bytes of one attachment.
pub const MAX_ATTACHMENT: usize = 8 * 1024;

/// Bytes of the Fernet token over `plaintext` bytes.
pub const fn sealed_len(plaintext: u64) -> u64 {
    const VERSION_TIME_IV_HMAC: u64 = 1 + 8 + 16 + 32;
    const AES_BLOCK: u64 = 16;
    VERSION_TIME_IV_HMAC + (plaintext / AES_BLOCK + 1) * AES_BLOCK
}

/// Which object: where it is found and who owns it. Two owners may share the
/// same data; these are two objects under one locator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ObjectId {
    /// Where the network keeps it.
    pub locator: Locator,
    /// The node account of the node that shared it.
    pub owner: Address,
}

/// The content key, wrapped for one address with HPKE
/// ([RFC 9180](https://www.rfc-editor.org/rfc/rfc9180), base mode,
/// X25519-HKDF-SHA256, ChaCha20-Poly1305).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// Who can open it.
    pub recipient: Address,
    /// First bytes of SHA-256 of the HPKE public key that it was made for.
    pub key_id: [u8; 8],
    /// HPKE's encapsulated key.
    pub encapsulated_key: [u8; 32],
    /// The content key (32 bytes) and the AEAD tag (16 bytes).
    pub ciphertext: Vec<u8>,
}

/// The owner's description of an object: what it consists of and who may read.
///
/// The chunk names are not listed here but bound by [`Envelope::chunk_list`],
/// so that an envelope stays small whatever the size of its object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope {
    /// Which object.
    pub id: ObjectId,
    /// Plaintext bytes; 0 in a tombstone.
    pub size: u64,
    /// SHA-256 of all chunk names in order, 32 bytes each: see [`ChunkListHasher`].
    pub chunk_list: [u8; 32],
    /// Grows with every new envelope of the object; the highest one is valid.
    pub sequence: u64,
    /// When this envelope was made, in milliseconds since the Unix epoch.
    pub created_at: u64,
    /// Who may read.
    pub grants: Vec<Grant>,
    /// What travels sealed with the object. The key that opens an attachment says what it
    /// is: [`ContentKey::for_receipts`](crate::secret::ContentKey::for_receipts) a
    /// [receipt](crate::receipt::Receipt),
    /// [`ContentKey::for_descriptor`](crate::secret::ContentKey::for_descriptor) the
    /// [descriptor](crate::descriptor::Descriptor). What no known key opens is passed over.
    pub attachments: Vec<Bytes>,
    /// When the object ends, in milliseconds since the Unix epoch: then its owner
    /// erases it, and nobody serves or takes it any more. An envelope that has
    /// this is of version 2 of the format.
    #[serde(skip)]
    pub expires_at: Option<u64>,
}

/// The version of envelopes with an expiry.
const EXPIRING_VERSION: u8 = 2;

/// An envelope whose owner's signature holds.
pub type SignedEnvelope = Signed<Envelope>;

impl Envelope {
    /// The envelope that takes the place of an erased object: it has no chunks and
    /// no readers. As every newer envelope it wins over those before it, wherever
    /// they meet, so that nobody brings the object back.
    pub fn tombstone(id: ObjectId, sequence: u64, created_at: u64) -> Self {
        Self {
            id,
            size: 0,
            chunk_list: ChunkListHasher::default().finish(),
            sequence,
            created_at,
            grants: Vec::new(),
            attachments: Vec::new(),
            expires_at: None,
        }
    }

    /// The sequence number of an envelope that is made at `now` (milliseconds since the
    /// Unix epoch) and takes the place of this one.
    pub fn next_sequence(&self, now: u64) -> u64 {
        now.max(self.sequence.saturating_add(1))
    }

    /// Whether the object was erased.
    pub fn is_tombstone(&self) -> bool {
        self.size == 0
    }

    /// Whether the object has ended at `now`, in milliseconds since the Unix epoch.
    pub fn is_expired(&self, now: u64) -> bool {
        self.expires_at.is_some_and(|at| at <= now)
    }

    /// The later one of the object's end and another one; never is the latest.
    pub fn later_end(&self, other: Option<u64>) -> Option<u64> {
        self.expires_at.zip(other).map(|(one, other)| one.max(other))
    }

    /// Whether there is nothing to read at `now`: the object was erased or has ended.
    pub fn is_gone(&self, now: u64) -> bool {
        self.is_tombstone() || self.is_expired(now)
    }

    /// Number of chunks.
    pub fn chunk_count(&self) -> u64 {
        self.size.div_ceil(CHUNK_SIZE)
    }

    /// Plaintext bytes of the chunk at `index`, 0 where there is none.
    pub fn chunk_plaintext_len(&self, index: u64) -> u64 {
        self.size
            .saturating_sub(index.saturating_mul(CHUNK_SIZE))
            .min(CHUNK_SIZE)
    }

    /// Bytes of the chunk at `index` as it is stored and sent, 0 where there is none.
    pub fn chunk_len(&self, index: u64) -> u64 {
        match self.chunk_plaintext_len(index) {
            0 => 0,
            plaintext => sealed_len(plaintext),
        }
    }

    /// Bytes of all chunks together.
    pub fn sealed_size(&self) -> u64 {
        match self.chunk_count() {
            0 => 0,
            count => (count - 1) * sealed_len(CHUNK_SIZE) + self.chunk_len(count - 1),
        }
    }

    /// Whether `address` is among the grants.
    pub fn grants_to(&self, address: Address) -> bool {
        self.grants.iter().any(|grant| grant.recipient == address)
    }
}

impl Statement for Envelope {
    const DOMAIN: &'static str = "datamgmt/envelope/1";
    const MAX_BYTES: usize = 512 * 1024;
    const NEWEST_VERSION: u8 = EXPIRING_VERSION;

    fn signer(&self) -> Address {
        self.id.owner
    }

    fn encode(&self) -> postcard::Result<(u8, Vec<u8>)> {
        let body = postcard::to_stdvec(self)?;
        match self.expires_at {
            None => Ok((VERSION, body)),
            Some(at) => Ok((EXPIRING_VERSION, postcard::to_extend(&at, body)?)),
        }
    }

    fn decode(version: u8, body: &[u8]) -> Option<Self> {
        let (envelope, rest) = postcard::take_from_bytes::<Self>(body).ok()?;
        let expires_at = match version {
            VERSION if rest.is_empty() => None,
            EXPIRING_VERSION => Some(read_all(rest)?),
            _ => return None,
        };
        Some(Self {
            expires_at,
            ..envelope
        })
    }

    fn check(&self) -> Result<(), &'static str> {
        if self.size > MAX_OBJECT_SIZE {
            return Err("an object has at most 1 PiB");
        }
        if self.is_tombstone() && *self != Self::tombstone(self.id, self.sequence, self.created_at) {
            return Err("an object without bytes has neither chunks nor readers nor attachments");
        }
        if self.grants.len() > MAX_GRANTS {
            return Err("an envelope has at most 1024 grants");
        }
        if self.grants.iter().any(|grant| grant.ciphertext.len() != 48) {
            return Err("a grant has 48 bytes of ciphertext");
        }
        let is_too_long = |attachment: &Bytes| attachment.len() > MAX_ATTACHMENT;
        if self.attachments.len() > MAX_ATTACHMENTS || self.attachments.iter().any(is_too_long) {
            return Err("an envelope has at most 16 attachments of 8 KiB");
        }
        Ok(())
    }
}

/// Computes [`Envelope::chunk_list`] from names in their order.
#[derive(Default, Clone)]
pub struct ChunkListHasher(Sha256);

impl ChunkListHasher {
    /// Takes the name of the next chunk.
    pub fn push(&mut self, name: &ChunkName) {
        self.0.update(name.as_bytes());
    }

    /// The digest of all names.
    pub fn finish(self) -> [u8; 32] {
        self.0.finalize().into()
    }
}

/// A chunk and its name, which has been checked against the bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk {
    name: ChunkName,
    bytes: Bytes,
}

impl Chunk {
    /// Names the bytes.
    pub fn new(bytes: Bytes) -> Self {
        Self {
            name: ChunkName::of(&bytes),
            bytes,
        }
    }

    /// The bytes that a hasher has seen, all of them and nothing else.
    pub fn hashed(hasher: ChunkHasher, bytes: Bytes) -> Self {
        let name = hasher.finish();
        debug_assert_eq!(name, ChunkName::of(&bytes), "other bytes were hashed");
        Self { name, bytes }
    }

    /// The bytes where they have this name, else nothing.
    pub fn checked(name: ChunkName, bytes: Bytes) -> Option<Self> {
        (ChunkName::of(&bytes) == name).then_some(Self { name, bytes })
    }

    /// Two chunks, each where it has its name; costs less than one after the other.
    pub fn both_checked(names: [ChunkName; 2], bytes: [Bytes; 2]) -> [Option<Self>; 2] {
        let found = ChunkName::of_both([&bytes[0], &bytes[1]]);
        let [first, second] = bytes;
        let chunk = |place: usize, bytes| {
            let name = names[place];
            (found[place] == name).then_some(Self { name, bytes })
        };
        [chunk(0, first), chunk(1, second)]
    }

    /// SHA-256 of the bytes.
    pub fn name(&self) -> ChunkName {
        self.name
    }

    /// The raw Fernet token.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }
}
