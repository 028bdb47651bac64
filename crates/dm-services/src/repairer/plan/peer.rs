use std::sync::Arc;

use dm_core::envelope::ObjectId;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Stands for a peer: the first 16 bytes of SHA-256 of its peer id in text
/// form. Small, and the same on every node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PeerKey(pub u128);

impl PeerKey {
    /// The key of a peer id in text form.
    pub fn of(peer_id: &str) -> Self {
        let digest: [u8; 32] = Sha256::digest(peer_id).into();
        let (first, _) = digest.split_at(16);
        Self(first.iter().fold(0, |key, byte| key << 8 | u128::from(*byte)))
    }

    /// Orders peers for an object, in the same way on every node.
    pub fn distance(self, object: &ObjectId) -> u128 {
        let (first, _) = object.locator.as_bytes().split_at(16);
        self.0 ^ first.iter().fold(0, |key, byte| key << 8 | u128::from(*byte))
    }
}

/// A peer and what others call it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peer {
    /// What stands for it here.
    pub key: PeerKey,
    /// Its peer id in text form.
    pub name: Arc<str>,
}

impl Peer {
    /// The peer with this id in text form.
    pub fn named(peer_id: &str) -> Self {
        Self {
            key: PeerKey::of(peer_id),
            name: peer_id.into(),
        }
    }
}
