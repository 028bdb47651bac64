use alloy_primitives::{Address, B256};
use async_trait::async_trait;

use super::ChainError;
use crate::receipt::{Anchor, Checkpoint, Receipt};

/// What the anchor contract holds for a log now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AnchorHead {
    /// Number of events in the last accepted checkpoint.
    pub size: u64,
    /// Number of the block that accepted it.
    pub block: u64,
    /// Time of that block in seconds since the Unix epoch.
    pub timestamp: u64,
}

/// A checkpoint for the contract, with the proof that it continues the last one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnchorRequest {
    /// The contract's present checkpoint; `None` for a new log.
    pub previous: Option<Checkpoint>,
    /// The checkpoint to be anchored; larger than the previous one.
    pub next: Checkpoint,
    /// RFC 6962 consistency proof between the two (section 2.1.2).
    pub consistency_proof: Vec<B256>,
}

/// Puts checkpoints of the node account's log on the chain and checks
/// receipts against it.
#[async_trait]
pub trait Anchors: Send + Sync {
    /// What the contract holds for the log of this account; `None` before its
    /// first anchor, or before the contract is deployed.
    async fn anchor_head(&self, log: Address) -> Result<Option<AnchorHead>, ChainError>;

    /// Whether the contract's checkpoint of this size has this root, for a
    /// checkpoint that it accepted in this block at this time.
    async fn is_anchored(
        &self,
        log: Address,
        checkpoint: &Checkpoint,
        head: &AnchorHead,
    ) -> Result<bool, ChainError>;

    /// Sends the anchor transaction and returns its hash without waiting.
    /// Deploys the contract first where the chain does not have it.
    ///
    /// # Errors
    /// [`ChainError::Reverted`] where the contract refuses: the log was
    /// rewritten, or another node anchored in between.
    async fn submit_anchor(&self, request: &AnchorRequest) -> Result<B256, ChainError>;

    /// Waits until the transaction is mined and returns what the contract noted.
    ///
    /// # Errors
    /// [`ChainError::Reverted`] where it was refused, [`ChainError::NotMined`]
    /// where it is not mined after the adapter's time limit.
    async fn wait_for_anchor(&self, tx_hash: B256) -> Result<Anchor, ChainError>;

    /// The anchor that a transaction made, and the number of blocks on top of
    /// its own; `None` where the chain does not have it (any more).
    async fn anchor(&self, tx_hash: B256) -> Result<Option<(Anchor, u64)>, ChainError>;

    /// Whether the chain has certainly lost this anchor: it is long enough or late
    /// enough to have it, and has something else in its place. No while that is not
    /// known: an endpoint that lags behind does not show an anchor either.
    async fn has_lost(&self, anchor: &Anchor) -> Result<bool, ChainError>;

    /// The anchor whose transaction made this head: found on the chain, by what
    /// happened in the head's block, for a node that was stopped between sending
    /// the transaction and noting its hash. `None` where the chain does not have
    /// that head (any more).
    async fn anchor_of_head(&self, log: Address, head: &AnchorHead) -> Result<Option<Anchor>, ChainError>;

    /// Asks the contract, in one read, whether it holds the receipt's
    /// checkpoint for the event's log, with the block and time that the
    /// receipt says, and whether the inclusion proof leads to it. The contract's
    /// address is computed and not taken from the receipt. `leaf_hash` is the
    /// RFC 6962 hash of the receipt's event.
    ///
    /// # Errors
    /// [`ChainError::WrongChain`] where the receipt is for another chain.
    async fn proves(&self, receipt: &Receipt, leaf_hash: B256) -> Result<bool, ChainError>;
}
