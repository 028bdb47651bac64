//! Notices: how a recipient learns that something was shared with it.

use alloy_primitives::Address;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{
    clock::MAX_AHEAD_MS,
    envelope::ObjectId,
    signed::{Signed, Statement},
};

/// Domain prefix of the DHT key of an inbox.
const INBOX_DOMAIN: &[u8] = b"datamgmt/inbox/1";
/// Longest time from the making of a notice to its end, in milliseconds: 90 days.
pub const MAX_NOTICE_LIFE: u64 = 90 * 24 * 60 * 60 * 1000;

/// A hint that an object has a grant for the recipient. It proves nothing: the recipient
/// fetches the envelope and looks for its grant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// The node account that has signed: of the owner, or of a node that holds a replica.
    pub sender: Address,
    /// For whom it is.
    pub recipient: Address,
    /// Which object.
    pub object: ObjectId,
    /// Sequence number of the envelope that the sender has.
    pub sequence: u64,
    /// When the sender made it, in milliseconds since 1970.
    pub made_at: u64,
    /// When nobody needs to keep it any more, in milliseconds since 1970.
    pub ends_at: u64,
}

/// A notice that its sender has signed.
pub type SignedNotice = Signed<Notice>;

impl Notice {
    /// The place on the DHT where notices for `recipient` wait.
    pub fn inbox_key(recipient: Address) -> [u8; 32] {
        Sha256::new()
            .chain_update(INBOX_DOMAIN)
            .chain_update(recipient)
            .finalize()
            .into()
    }

    /// Whether it has not ended at `now`, and is not from the future. Clocks may differ by
    /// five minutes.
    pub const fn is_current(&self, now: u64) -> bool {
        self.made_at <= now.saturating_add(MAX_AHEAD_MS) && now < self.ends_at
    }
}

impl Statement for Notice {
    const DOMAIN: &'static str = "datamgmt/notice/1";
    const MAX_BYTES: usize = 512;

    fn signer(&self) -> Address {
        self.sender
    }

    fn check(&self) -> Result<(), &'static str> {
        let life = self.ends_at.checked_sub(self.made_at);
        if !life.is_some_and(|life| life > 0 && life <= MAX_NOTICE_LIFE) {
            return Err("a notice ends after it was made, and within 90 days");
        }
        Ok(())
    }
}
