//! RFC 6962 by its recursive definitions: slow, and easy to compare with the
//! text. Verification follows RFC 9162, sections 2.1.3.2 and 2.1.4.2.

use alloy_primitives::B256;
use sha2::{Digest, Sha256};

use dm_core::receipt::Checkpoint;

/// A log whose whole tree is computed anew for each question.
#[derive(Debug, Clone, Default)]
pub struct ReferenceLog {
    leaves: Vec<B256>,
}

impl ReferenceLog {
    /// A log of `size` entries: `seed` and their positions.
    pub fn numbered(size: u64, seed: u8) -> Self {
        let leaves = (0..size)
            .map(|index| leaf_hash(&[&[seed][..], &index.to_be_bytes()[..]].concat()))
            .collect();
        Self { leaves }
    }

    /// Replaces the entry at a position.
    pub fn rewrite(&mut self, index: usize, entry: &[u8]) {
        self.leaves[index] = leaf_hash(entry);
    }

    /// Hash of the entry at a position.
    pub fn leaf(&self, index: u64) -> B256 {
        self.leaves[index as usize]
    }

    /// The checkpoint of the first `size` entries.
    pub fn checkpoint(&self, size: u64) -> Checkpoint {
        Checkpoint {
            size,
            root: root(&self.leaves[..size as usize]),
        }
    }

    /// Inclusion proof of an entry in the first `size` (RFC 6962, section 2.1.1).
    pub fn inclusion(&self, index: u64, size: u64) -> Vec<B256> {
        path(index as usize, &self.leaves[..size as usize])
    }

    /// Consistency proof between two sizes (RFC 6962, section 2.1.2).
    pub fn consistency(&self, first: u64, second: u64) -> Vec<B256> {
        subproof(first as usize, &self.leaves[..second as usize], true)
    }
}

/// Hash of a leaf.
pub fn leaf_hash(entry: &[u8]) -> B256 {
    B256::from_slice(&Sha256::new().chain_update([0]).chain_update(entry).finalize())
}

/// Hash of an inner node.
pub fn node_hash(left: B256, right: B256) -> B256 {
    let hasher = Sha256::new().chain_update([1]);
    B256::from_slice(&hasher.chain_update(left).chain_update(right).finalize())
}

/// `MTH` over leaf hashes.
fn root(leaves: &[B256]) -> B256 {
    match leaves {
        [] => B256::from_slice(&Sha256::digest([])),
        [leaf] => *leaf,
        _ => {
            let (left, right) = leaves.split_at(split(leaves.len()));
            node_hash(root(left), root(right))
        }
    }
}

/// `PATH(m, D[n])`.
fn path(index: usize, leaves: &[B256]) -> Vec<B256> {
    if leaves.len() <= 1 {
        return Vec::new();
    }
    let k = split(leaves.len());
    let (left, right) = leaves.split_at(k);
    let (mut proof, sibling) = if index < k {
        (path(index, left), root(right))
    } else {
        (path(index - k, right), root(left))
    };
    proof.push(sibling);
    proof
}

/// `SUBPROOF(m, D[n], b)`.
fn subproof(first: usize, leaves: &[B256], whole: bool) -> Vec<B256> {
    if first == leaves.len() {
        return if whole { Vec::new() } else { vec![root(leaves)] };
    }
    let k = split(leaves.len());
    let (left, right) = leaves.split_at(k);
    let (mut proof, sibling) = if first <= k {
        (subproof(first, left, whole), root(right))
    } else {
        (subproof(first - k, right, false), root(left))
    };
    proof.push(sibling);
    proof
}

/// The largest power of two below a number of at least 2.
fn split(n: usize) -> usize {
    n.next_power_of_two() / 2
}

/// Whether a proof leads from one checkpoint to another, larger one.
pub fn is_consistent(first: &Checkpoint, second: &Checkpoint, proof: &[B256]) -> bool {
    if first.size == 0 || first.size >= second.size {
        return false;
    }
    let shift = (first.size - 1).trailing_ones();
    let (mut fnode, mut snode) = ((first.size - 1) >> shift, (second.size - 1) >> shift);
    let mut values = proof.iter().copied();
    let start = if fnode == 0 {
        Some(first.root)
    } else {
        values.next()
    };
    let Some(start) = start else { return false };
    let (mut first_root, mut second_root) = (start, start);
    for value in values {
        if snode == 0 {
            return false;
        }
        if fnode & 1 == 1 || fnode == snode {
            first_root = node_hash(value, first_root);
            second_root = node_hash(value, second_root);
            let zeros = fnode.trailing_zeros();
            (fnode, snode) = (fnode >> zeros, snode >> zeros);
        } else {
            second_root = node_hash(second_root, value);
        }
        (fnode, snode) = (fnode >> 1, snode >> 1);
    }
    snode == 0 && first_root == first.root && second_root == second.root
}

/// Whether a proof leads from a leaf to a checkpoint.
pub fn is_included(checkpoint: &Checkpoint, leaf: B256, index: u64, proof: &[B256]) -> bool {
    if index >= checkpoint.size {
        return false;
    }
    let (mut fnode, mut snode, mut root) = (index, checkpoint.size - 1, leaf);
    for value in proof {
        if snode == 0 {
            return false;
        }
        if fnode & 1 == 1 || fnode == snode {
            root = node_hash(*value, root);
            let zeros = fnode.trailing_zeros();
            (fnode, snode) = (fnode >> zeros, snode >> zeros);
        } else {
            root = node_hash(root, *value);
        }
        (fnode, snode) = (fnode >> 1, snode >> 1);
    }
    snode == 0 && root == checkpoint.root
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_proof_of_a_small_log_holds() {
        let log = ReferenceLog::numbered(33, 1);
        for size in 1..=33 {
            let checkpoint = log.checkpoint(size);
            for index in 0..size {
                assert!(is_included(
                    &checkpoint,
                    log.leaf(index),
                    index,
                    &log.inclusion(index, size)
                ));
            }
            for first in 1..size {
                let proof = log.consistency(first, size);
                assert!(
                    is_consistent(&log.checkpoint(first), &checkpoint, &proof),
                    "{first} {size}"
                );
            }
        }
    }

    #[test]
    fn a_proof_for_another_log_does_not_hold() {
        let log = ReferenceLog::numbered(20, 1);
        let mut other = log.clone();
        other.rewrite(3, b"changed");
        assert!(!is_consistent(
            &log.checkpoint(10),
            &other.checkpoint(20),
            &other.consistency(10, 20)
        ));
        assert!(!is_included(
            &other.checkpoint(20),
            log.leaf(3),
            3,
            &other.inclusion(3, 20)
        ));
    }
}
