//! What a receipt proves by itself, without a chain and without a node.

use ct_merkle::{InclusionProof, RootHash};
use dm_core::{B256, acknowledgement::EvidenceFlaw, receipt::Receipt};
use sha2::Sha256;

use crate::tree::{MAX_SIZE, leaf_hash};

/// Version of receipts and of events that is understood.
const VERSION: u8 = 1;
/// Hashes in the longest inclusion proof of a tree that can exist.
const LONGEST_PROOF: usize = 64;

/// Why a receipt contradicts itself.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReceiptFlaw {
    /// The receipt was written in a format that is not known here.
    #[error("the receipt has version {0}, only {VERSION} is known")]
    ReceiptVersion(u8),
    /// The event was written in a format that is not known here.
    #[error("the event has version {0}, only {VERSION} is known")]
    EventVersion(u8),
    /// The event names no log.
    #[error("the event belongs to no log: its log address is zero")]
    NoLog,
    /// No tree of this size exists.
    #[error("no log has {0} events")]
    ImpossibleSize(u64),
    /// The event stands behind the end of the checkpoint.
    #[error("event {index} cannot stand in a checkpoint of {size} events")]
    OutsideCheckpoint {
        /// Position of the event.
        index: u64,
        /// Number of events in the checkpoint.
        size: u64,
    },
    /// The proof does not lead from the event to the checkpoint.
    #[error("the inclusion proof does not lead from the event to the checkpoint")]
    NotIncluded,
    /// The statement in the event does not show what the event says.
    #[error("{0}")]
    Evidence(#[from] EvidenceFlaw),
    /// The event cannot be written as canonical JSON.
    #[error("the event has no canonical form: {0}")]
    NoCanonicalForm(String),
}

/// Checks everything about a receipt that needs no chain: versions, positions,
/// that the inclusion proof (RFC 6962, section 2.1.1) leads from the event's
/// canonical JSON to the checkpoint, and that a delivery or an acknowledgement is what its
/// recipient has signed. Takes receipts from anybody: it never
/// panics, and its work is bounded by the size of the event.
///
/// Returns the RFC 6962 leaf hash of the event, which
/// [`Anchors::proves`](dm_core::ports::Anchors::proves) takes for the rest of
/// the check: that the chain holds this checkpoint for the event's log.
///
/// # Errors
/// The first [`ReceiptFlaw`] that is found.
pub fn verify_offline(receipt: &Receipt) -> Result<B256, ReceiptFlaw> {
    check_form(receipt)?;
    let canonical = receipt
        .event
        .canonical()
        .map_err(|error| ReceiptFlaw::NoCanonicalForm(error.to_string()))?;
    let root = RootHash::<Sha256>::new(receipt.checkpoint.root.0.into(), receipt.checkpoint.size);
    let proof = InclusionProof::try_from_bytes(receipt.inclusion_proof.concat())
        .map_err(|_| ReceiptFlaw::NotIncluded)?;
    root.verify_inclusion(&canonical, receipt.leaf_index, &proof)
        .map_err(|_| ReceiptFlaw::NotIncluded)?;
    receipt.event.evidence()?;
    Ok(leaf_hash(&canonical))
}

/// Versions and numbers; the tree arithmetic behind this panics outside of it.
fn check_form(receipt: &Receipt) -> Result<(), ReceiptFlaw> {
    let (index, size) = (receipt.leaf_index, receipt.checkpoint.size);
    if receipt.version != VERSION {
        return Err(ReceiptFlaw::ReceiptVersion(receipt.version));
    }
    if receipt.event.version != VERSION {
        return Err(ReceiptFlaw::EventVersion(receipt.event.version));
    }
    if receipt.event.log.is_zero() {
        return Err(ReceiptFlaw::NoLog);
    }
    if size > MAX_SIZE {
        return Err(ReceiptFlaw::ImpossibleSize(size));
    }
    if index >= size {
        return Err(ReceiptFlaw::OutsideCheckpoint { index, size });
    }
    if receipt.inclusion_proof.len() > LONGEST_PROOF {
        return Err(ReceiptFlaw::NotIncluded);
    }
    Ok(())
}
