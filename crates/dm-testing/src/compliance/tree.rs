//! RFC 6962, section 2.1, word for word: slow, and so plain that it can be
//! compared with the text.

use alloy_primitives::B256;
use sha2::{Digest, Sha256};

/// Hash of a leaf.
pub(super) fn leaf_hash(data: &[u8]) -> B256 {
    B256::new(
        Sha256::new()
            .chain_update([0])
            .chain_update(data)
            .finalize()
            .into(),
    )
}

fn node_hash(left: B256, right: B256) -> B256 {
    let digest = Sha256::new()
        .chain_update([1])
        .chain_update(left)
        .chain_update(right);
    B256::new(digest.finalize().into())
}

/// The largest power of two that is smaller than `size`, which is at least 2.
fn split(size: u64) -> u64 {
    1 << (size - 1).ilog2()
}

/// `MTH(leaves)`; not for none.
pub(super) fn root(leaves: &[B256]) -> B256 {
    if let [leaf] = leaves {
        return *leaf;
    }
    let (left, right) = leaves.split_at(split(leaves.len() as u64) as usize);
    node_hash(root(left), root(right))
}

/// `PATH(index, leaves)`.
pub(super) fn inclusion_proof(index: usize, leaves: &[B256]) -> Vec<B256> {
    if leaves.len() == 1 {
        return Vec::new();
    }
    let middle = split(leaves.len() as u64) as usize;
    let (left, right) = leaves.split_at(middle);
    let (mut proof, sibling) = if index < middle {
        (inclusion_proof(index, left), root(right))
    } else {
        (inclusion_proof(index - middle, right), root(left))
    };
    proof.push(sibling);
    proof
}

/// The root to which a proof leads; `None` where its length is wrong.
pub(super) fn root_from_proof(leaf: B256, index: u64, size: u64, proof: &[B256]) -> Option<B256> {
    if index >= size {
        return None;
    }
    if size == 1 {
        return proof.is_empty().then_some(leaf);
    }
    let (sibling, rest) = proof.split_last()?;
    let middle = split(size);
    if index < middle {
        Some(node_hash(root_from_proof(leaf, index, middle, rest)?, *sibling))
    } else {
        let right = root_from_proof(leaf, index - middle, size - middle, rest)?;
        Some(node_hash(*sibling, right))
    }
}
