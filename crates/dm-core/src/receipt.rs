//! Receipts: what an auditor needs to check a share, with a chain and no node.

use alloy_primitives::{Address, B256};
use serde::{Deserialize, Serialize};

use crate::event::Event;

/// The state of a log at some size: an RFC 6962 tree head.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Checkpoint {
    /// Number of events.
    pub size: u64,
    /// Root of the Merkle tree over them.
    pub root: B256,
}

/// Where and when a checkpoint was put on a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Anchor {
    /// EIP-155 id of the chain.
    pub chain_id: u64,
    /// The anchor contract; a verifier computes it and does not trust this one.
    pub contract: Address,
    /// The transaction.
    pub tx_hash: B256,
    /// Number of its block, as the contract saw it.
    pub block: u64,
    /// Time of its block in seconds since the Unix epoch, as the contract saw it.
    pub timestamp: u64,
}

/// An event, the proof that it stands in a checkpoint, and that checkpoint's
/// anchor: checkable offline, except for one read of the chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Receipt {
    /// Version of this format: 1.
    pub version: u8,
    /// The fact.
    pub event: Event,
    /// Its position in the log, from 0.
    pub leaf_index: u64,
    /// Inclusion proof (RFC 6962, section 2.1.1), from the leaf's sibling upwards.
    pub inclusion_proof: Vec<B256>,
    /// The checkpoint that the proof leads to.
    pub checkpoint: Checkpoint,
    /// Where that checkpoint stands on the chain.
    pub anchor: Anchor,
}

/// What checking a receipt showed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "result", rename_all = "snake_case")]
pub enum Verification {
    /// Everything holds: the event stands in the log, and the chain says so.
    Valid,
    /// The receipt contradicts itself or the chain.
    Invalid {
        /// What does not hold, for people.
        reason: String,
    },
}

impl Verification {
    /// Whether everything holds.
    pub fn is_valid(&self) -> bool {
        matches!(self, Self::Valid)
    }

    /// The verdict that `reason` speaks against the receipt.
    pub fn invalid(reason: impl Into<String>) -> Self {
        Self::Invalid {
            reason: reason.into(),
        }
    }
}
