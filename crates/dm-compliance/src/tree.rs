//! The Merkle tree of RFC 6962, without I/O and without anything in memory
//! that grows with it: [`RightEdge`] appends, [`NodePlan`] says which stored
//! nodes a root or a proof at any size is made of.
//!
//! Only roots of full subtrees are stored, because they never change again.
//! Every other node is the hash of at most 63 of them. Positions follow the
//! in-order numbering of RFC 9420, appendix C: leaf `i` is node `2 i`, and the
//! number of trailing one bits is the height.

use ct_merkle::{indices_for_consistency_proof, indices_for_inclusion_proof};
use dm_core::{B256, ports::TreeNode};
use sha2::{Digest, Sha256};

/// Largest tree that is worked with, in leaves: within it, no computation on
/// positions can overflow.
pub(crate) const MAX_SIZE: u64 = 1 << 62;

/// RFC 6962 hash of a leaf's data.
pub(crate) fn leaf_hash(data: &[u8]) -> B256 {
    let digest = Sha256::new().chain_update([0]).chain_update(data).finalize();
    B256::new(digest.into())
}

/// RFC 6962 hash of a node with these children.
fn node_hash(left: &B256, right: &B256) -> B256 {
    let digest = Sha256::new()
        .chain_update([1])
        .chain_update(left)
        .chain_update(right)
        .finalize();
    B256::new(digest.into())
}

/// The hash of neighbouring subtrees, the larger ones to the left, as RFC 6962
/// joins them; `None` for none.
fn join(subtrees: &[B256]) -> Option<B256> {
    subtrees
        .iter()
        .rev()
        .copied()
        .reduce(|right, left| node_hash(&left, &right))
}

/// Position of the root of the full subtree of `1 << height` leaves from `start`.
fn subtree_root(start: u64, height: u32) -> u64 {
    2 * start + (1 << height) - 1
}

/// The largest full subtrees that make up the leaves from `start` to `end`,
/// from left to right. `start` begins a subtree that is at least that wide.
fn full_subtrees(mut start: u64, end: u64) -> Vec<u64> {
    let mut roots = Vec::new();
    while start < end {
        let height = (end - start).ilog2();
        roots.push(subtree_root(start, height));
        start += 1 << height;
    }
    roots
}

/// The full subtrees that make up the node at `position` in a tree of `size` leaves.
fn parts_of_node(position: u64, size: u64) -> Vec<u64> {
    let width = 1 << position.trailing_ones();
    let start = (position + 1 - width) / 2;
    full_subtrees(start, size.min(start + width))
}

/// The right edge of the tree: all that is needed to append to it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct RightEdge {
    size: u64,
    /// Roots of the largest full subtrees, from left to right: one for each one
    /// bit of `size`.
    peaks: Vec<B256>,
}

impl RightEdge {
    /// Positions of the nodes that [`Self::restore`] needs for this size.
    pub(crate) fn positions(size: u64) -> Vec<u64> {
        full_subtrees(0, size)
    }

    /// The edge of a tree of `size` leaves from the hashes at [`Self::positions`].
    pub(crate) fn restore(size: u64, peaks: Vec<B256>) -> Option<Self> {
        let complete = peaks.len() == size.count_ones() as usize && size < MAX_SIZE;
        complete.then_some(Self { size, peaks })
    }

    /// Number of leaves.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// Appends a leaf, and to `completed` the nodes that are full with it.
    pub(crate) fn push(&mut self, leaf: B256, completed: &mut Vec<TreeNode>) {
        let index = self.size;
        let mut hash = leaf;
        completed.push(TreeNode {
            position: subtree_root(index, 0),
            hash,
        });
        // Each trailing one bit of the index is a full left neighbour.
        for height in 1..=index.trailing_ones() {
            let Some(left) = self.peaks.pop() else { break };
            hash = node_hash(&left, &hash);
            completed.push(TreeNode {
                position: subtree_root(index >> height << height, height),
                hash,
            });
        }
        self.peaks.push(hash);
        self.size += 1;
    }
}

/// Which stored nodes make up the hashes of a root or a proof.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct NodePlan {
    /// For each wanted hash the positions of the full subtrees that it joins.
    parts: Vec<Vec<u64>>,
}

impl NodePlan {
    /// The root at this size; `None` for an empty tree, which has nothing to
    /// anchor, and for an impossible one.
    pub(crate) fn root(size: u64) -> Option<Self> {
        (1..=MAX_SIZE).contains(&size).then(|| Self {
            parts: vec![full_subtrees(0, size)],
        })
    }

    /// The inclusion proof (RFC 6962, section 2.1.1) of the leaf at `index`.
    pub(crate) fn inclusion(index: u64, size: u64) -> Option<Self> {
        (index < size && size <= MAX_SIZE)
            .then(|| Self::nodes(&indices_for_inclusion_proof(size, index), size))
    }

    /// The consistency proof (RFC 6962, section 2.1.2) from size `old` to `new`.
    pub(crate) fn consistency(old: u64, new: u64) -> Option<Self> {
        (0 < old && old <= new && new <= MAX_SIZE)
            .then(|| Self::nodes(&indices_for_consistency_proof(old, new - old), new))
    }

    fn nodes(positions: &[u64], size: u64) -> Self {
        Self {
            parts: positions
                .iter()
                .map(|&position| parts_of_node(position, size))
                .collect(),
        }
    }

    /// This plan and then the other.
    pub(crate) fn and(mut self, other: Self) -> Self {
        self.parts.extend(other.parts);
        self
    }

    /// The positions of all nodes that are needed.
    pub(crate) fn positions(&self) -> Vec<u64> {
        self.parts.iter().flatten().copied().collect()
    }

    /// The wanted hashes, from the hashes at [`Self::positions`]; `None` where
    /// their number is another.
    pub(crate) fn assemble(&self, hashes: &[B256]) -> Option<Vec<B256>> {
        let mut rest = hashes;
        let mut wanted = Vec::with_capacity(self.parts.len());
        for part in &self.parts {
            let (subtrees, others) = rest.split_at_checked(part.len())?;
            wanted.push(join(subtrees)?);
            rest = others;
        }
        rest.is_empty().then_some(wanted)
    }
}

#[cfg(test)]
mod tests;
