//! What is kept of one transaction. The bytes are postcard: the order of the fields is
//! the format.

use alloy::primitives::{B256, U256};
use dm_core::ports::StoreError;
use serde::{Deserialize, Serialize};

use crate::tx::{Draft, Version};

/// First byte of an entry with nothing but what every version of this software
/// has kept.
pub(super) const PLAIN: u8 = 1;
/// First byte of an entry that says more than that.
pub(super) const EXTENDED: u8 = 2;

/// What is kept of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct JournalEntry {
    /// Whether the key is an operation; else it is the first transaction's hash.
    pub(crate) is_operation: bool,
    /// Borne by all versions.
    pub(crate) nonce: u64,
    /// What it shall do.
    pub(crate) draft: Draft,
    /// Every transaction that the chain may have got, oldest first.
    pub(crate) versions: Vec<Version>,
    /// What came of it, once that is final.
    pub(crate) done: Option<Mined>,
    /// The block that had it when the chain was last looked at.
    pub(crate) seen: Option<Mined>,
    /// Why it is given up.
    pub(crate) refused: Option<Refused>,
    /// It ended on a chain that is gone: its nonce says nothing of the present one.
    pub(crate) is_of_lost_chain: bool,
}

/// The fields of every entry.
type Plain = (bool, u64, Draft, Vec<Version>, Option<Mined>);
/// Those that follow in an extended one.
type Extension = (Option<Mined>, Option<Refused>, bool);

impl JournalEntry {
    /// Whether nothing is left to do.
    pub(crate) fn is_over(&self) -> bool {
        self.done.is_some() || self.refused.as_ref().is_some_and(|refused| refused.is_over)
    }

    pub(super) fn encode(&self) -> Result<Vec<u8>, StoreError> {
        // Most entries can be read by older versions of this software.
        let is_plain = self.seen.is_none() && self.refused.is_none() && !self.is_of_lost_chain;
        let extension = (self.seen, &self.refused, self.is_of_lost_chain);
        let plain = (
            self.is_operation,
            self.nonce,
            &self.draft,
            &self.versions,
            self.done,
        );
        let encoded = match is_plain {
            true => postcard::to_extend(&plain, vec![PLAIN]),
            false => postcard::to_extend(&(plain, extension), vec![EXTENDED]),
        };
        encoded.map_err(|error| StoreError::Failed(error.into()))
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let (&format, content) = bytes.split_first()?;
        let (plain, rest) = postcard::take_from_bytes::<Plain>(content).ok()?;
        let (extension, rest) = match format {
            PLAIN => (Extension::default(), rest),
            EXTENDED => postcard::take_from_bytes(rest).ok()?,
            _ => return None,
        };
        let (is_operation, nonce, draft, versions, done) = plain;
        let (seen, refused, is_of_lost_chain) = extension;
        let entry = Self {
            is_operation,
            nonce,
            draft,
            versions,
            done,
            seen,
            refused,
            is_of_lost_chain,
        };
        let is_complete = rest.is_empty() && (entry.is_over() || !entry.versions.is_empty());
        is_complete.then_some(entry)
    }
}

/// What the receipt said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Mined {
    pub(crate) hash: B256,
    pub(crate) block: u64,
    pub(crate) block_hash: B256,
    pub(crate) succeeded: bool,
    pub(crate) received: U256,
}

/// Why an operation is given up. From then on the chain gets empty transactions
/// with its nonce, until one of them is mined, or nothing with that nonce can be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Refused {
    /// What the chain says.
    pub(crate) reason: String,
    /// The operation's newest transaction.
    pub(crate) tx_hash: B256,
    /// Which of the versions is the first empty one: a chain may have got those
    /// before it all the same.
    pub(crate) first_empty: usize,
    /// Nothing of the operation can be mined any more.
    pub(crate) is_over: bool,
}
