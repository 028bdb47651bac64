use std::collections::HashMap;

use ct_merkle::{ConsistencyProof, InclusionProof, RootHash, mem_backed_tree::MemoryBackedTree};
use proptest::prelude::*;

use super::*;

/// Our tree, its nodes kept in a map, beside the reference.
#[derive(Default)]
struct Pair {
    edge: RightEdge,
    nodes: HashMap<u64, B256>,
    reference: MemoryBackedTree<Sha256, Vec<u8>>,
}

impl Pair {
    fn of(size: u64) -> Self {
        let mut pair = Self::default();
        (0..size).for_each(|_| pair.push());
        pair
    }

    fn push(&mut self) {
        let data = self.edge.size().to_be_bytes().to_vec();
        let mut completed = Vec::new();
        self.edge.push(leaf_hash(&data), &mut completed);
        for node in completed {
            assert_eq!(
                self.nodes.insert(node.position, node.hash),
                None,
                "a full node never changes"
            );
        }
        self.reference.push(data);
    }

    fn hashes(&self, plan: &NodePlan) -> Vec<B256> {
        let stored: Vec<_> = plan
            .positions()
            .iter()
            .map(|position| self.nodes[position])
            .collect();
        plan.assemble(&stored).unwrap()
    }

    fn root(&self, size: u64) -> B256 {
        self.hashes(&NodePlan::root(size).unwrap())[0]
    }
}

fn reference_root(root: B256, size: u64) -> RootHash<Sha256> {
    RootHash::new(root.0.into(), size)
}

#[test]
fn roots_and_all_proofs_are_those_of_the_reference_at_every_small_size() {
    let mut pair = Pair::default();
    for size in 1..=130 {
        pair.push();
        assert_eq!(
            pair.root(size).as_slice(),
            pair.reference.root().as_bytes().as_slice(),
            "root at {size}"
        );
        for index in 0..size {
            let proof = pair.hashes(&NodePlan::inclusion(index, size).unwrap()).concat();
            let expected = pair.reference.prove_inclusion(index as usize);
            assert_eq!(proof, expected.as_bytes(), "inclusion of {index} in {size}");
        }
        for old in 1..=size {
            let proof = pair.hashes(&NodePlan::consistency(old, size).unwrap()).concat();
            let expected = pair.reference.prove_consistency((size - old) as usize);
            assert_eq!(proof, expected.as_bytes(), "consistency from {old} to {size}");
        }
    }
}

#[test]
fn proofs_at_past_sizes_verify_though_the_tree_has_grown() {
    let pair = Pair::of(700);
    for size in 1..=700u64 {
        let root = reference_root(pair.root(size), size);
        for index in [0, size / 3, size / 2, size - 1] {
            let proof = pair.hashes(&NodePlan::inclusion(index, size).unwrap()).concat();
            let proof = InclusionProof::try_from_bytes(proof).unwrap();
            root.verify_inclusion(&index.to_be_bytes(), index, &proof)
                .unwrap();
        }
        for old in [1, size.div_ceil(3), size.div_ceil(2), size] {
            let proof = pair.hashes(&NodePlan::consistency(old, size).unwrap()).concat();
            let proof = ConsistencyProof::try_from_bytes(proof).unwrap();
            root.verify_consistency(&reference_root(pair.root(old), old), &proof)
                .unwrap();
        }
    }
}

#[test]
fn the_edge_can_be_restored_at_any_size() {
    let mut pair = Pair::default();
    for size in 0..300 {
        let peaks = RightEdge::positions(size)
            .iter()
            .map(|position| pair.nodes[position])
            .collect();
        assert_eq!(RightEdge::restore(size, peaks).as_ref(), Some(&pair.edge));
        pair.push();
    }
    assert_eq!(RightEdge::restore(3, vec![B256::ZERO]), None);
}

#[test]
fn what_does_not_exist_cannot_be_planned() {
    assert_eq!(NodePlan::root(0), None);
    assert_eq!(NodePlan::root(u64::MAX), None);
    assert_eq!(NodePlan::inclusion(5, 5), None);
    assert_eq!(NodePlan::inclusion(0, u64::MAX), None);
    assert_eq!(NodePlan::inclusion(u64::MAX, u64::MAX), None);
    assert_eq!(NodePlan::consistency(0, 5), None);
    assert_eq!(NodePlan::consistency(6, 5), None);
    assert_eq!(NodePlan::consistency(1, u64::MAX), None);
}

#[test]
fn a_plan_takes_exactly_the_nodes_that_it_asked_for() {
    let plan = NodePlan::root(7).unwrap();
    assert_eq!(plan.positions().len(), 3);
    assert_eq!(plan.assemble(&[B256::ZERO; 2]), None);
    assert_eq!(plan.assemble(&[B256::ZERO; 4]), None);
}

proptest! {
    #[test]
    fn plans_of_huge_trees_need_few_and_only_full_nodes(size in 1..=MAX_SIZE, a: u64, b: u64) {
        let (index, old) = (a % size, b % size + 1);
        let plans = [
            NodePlan::root(size).unwrap(),
            NodePlan::inclusion(index, size).unwrap(),
            NodePlan::consistency(old, size).unwrap(),
        ];
        for plan in plans {
            let positions = plan.positions();
            prop_assert!(positions.len() <= 128);
            for position in positions {
                let width = 1u64 << position.trailing_ones();
                prop_assert!((position + 1 + width) / 2 <= size, "node {} is not full", position);
            }
        }
    }

    #[test]
    fn proofs_between_random_sizes_verify(size in 1..1_500u64, a: u64, b: u64) {
        let pair = Pair::of(size);
        let (index, old) = (a % size, b % size + 1);
        let root = reference_root(pair.root(size), size);
        let inclusion = pair.hashes(&NodePlan::inclusion(index, size).unwrap()).concat();
        let consistency = pair.hashes(&NodePlan::consistency(old, size).unwrap()).concat();
        let inclusion = InclusionProof::try_from_bytes(inclusion).unwrap();
        let consistency = ConsistencyProof::try_from_bytes(consistency).unwrap();
        prop_assert!(root.verify_inclusion(&index.to_be_bytes(), index, &inclusion).is_ok());
        prop_assert!(root.verify_consistency(&reference_root(pair.root(old), old), &consistency).is_ok());
    }
}
