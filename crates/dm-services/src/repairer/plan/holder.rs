use dm_core::envelope::ObjectId;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{RepairConfig, peers::Peers};

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

/// A peer that is thought to hold an object. Times are in milliseconds since
/// the Unix epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// Which peer.
    pub peer: PeerKey,
    /// Since when it is thought to.
    pub since: u64,
    /// When it last proved it.
    pub proved: Option<u64>,
}

/// A holder and when it is challenged.
pub(super) struct Slot {
    pub(super) holder: Holder,
    /// It has not answered its last challenge.
    pub(super) silent: bool,
    /// A challenge is under way.
    pub(super) asked: bool,
    pub(super) next_challenge: u64,
}

impl Slot {
    pub(super) fn new(holder: Holder, next_challenge: u64) -> Self {
        Self {
            holder,
            silent: false,
            asked: false,
            next_challenge,
        }
    }

    /// Whether it counts as a copy: it can be reached, and has proved that it
    /// holds the bytes, or claims so and has had no time to prove it.
    pub(super) fn is_live(&self, peers: &Peers, config: &RepairConfig, now: u64) -> bool {
        let holds = self.holder.proved.is_some() || now < self.claim_ends(config);
        holds && !self.silent && peers.is_up(self.holder.peer)
    }

    pub(super) fn claim_ends(&self, config: &RepairConfig) -> u64 {
        self.holder.since.saturating_add(config.claim_patience)
    }
}
