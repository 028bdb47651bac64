//! The contract agrees with an implementation of RFC 6962 that knows nothing of it.

use alloy::primitives::B256;
use ct_merkle::mem_backed_tree::MemoryBackedTree;
use dm_chain::EvmClient;
use dm_core::{
    event::NewEvent,
    hash::DataHash,
    ports::{AnchorRequest, Anchors, ChainError},
    receipt::{Anchor, Checkpoint, Receipt},
};
use rand::RngExt;
use sha2::{Digest, Sha256};

use crate::support::{TestChain, account};

const LARGEST: u64 = 1500;

struct Tree(MemoryBackedTree<Sha256, [u8; 8]>);

impl Tree {
    fn of_size(size: u64) -> Self {
        let mut tree = MemoryBackedTree::new();
        (0..size).for_each(|index| tree.push(index.to_be_bytes()));
        Self(tree)
    }

    fn checkpoint(&self) -> Checkpoint {
        Checkpoint {
            size: self.0.len(),
            root: B256::from_slice(self.0.root().as_bytes()),
        }
    }

    fn consistency_from(&self, size: u64) -> Vec<B256> {
        hashes(
            self.0
                .prove_consistency((self.0.len() - size) as usize)
                .as_bytes(),
        )
    }
}

fn hashes(bytes: &[u8]) -> Vec<B256> {
    bytes.chunks(32).map(B256::from_slice).collect()
}

fn leaf_hash(index: u64) -> B256 {
    B256::from_slice(
        &Sha256::new()
            .chain_update([0])
            .chain_update(index.to_be_bytes())
            .finalize(),
    )
}

async fn anchor(client: &EvmClient, request: &AnchorRequest) -> Anchor {
    let tx_hash = client.submit_anchor(request).await.unwrap();
    client.wait_for_anchor(tx_hash).await.unwrap()
}

fn first(tree: &Tree) -> AnchorRequest {
    AnchorRequest {
        previous: None,
        next: tree.checkpoint(),
        consistency_proof: Vec::new(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn consistency_proofs_of_ct_merkle_are_accepted_and_altered_ones_refused() {
    let chain = TestChain::embedded().await;
    for n in 0..12 {
        let client = chain.client(n);
        let mut older = Tree::of_size(rand::rng().random_range(1..LARGEST / 2));
        anchor(&client, &first(&older)).await;
        for _ in 0..4 {
            let (from, to) = (older.checkpoint().size, rand::rng().random_range(1..300));
            let newer = Tree::of_size(from + to);
            let right = AnchorRequest {
                previous: Some(older.checkpoint()),
                next: newer.checkpoint(),
                consistency_proof: newer.consistency_from(from),
            };
            let mut wrong = right.clone();
            let byte = rand::rng().random_range(0..32 * (wrong.consistency_proof.len() + 1));
            match wrong.consistency_proof.get_mut(byte / 32) {
                Some(hash) => hash.0[byte % 32] ^= 1 << (byte % 8),
                None => wrong.next.root.0[byte % 32] ^= 1 << (byte % 8),
            }
            let refusal = client.submit_anchor(&wrong).await;
            assert!(
                matches!(refusal, Err(ChainError::Reverted(_))),
                "{from} + {to}, byte {byte}: {refusal:?}"
            );
            anchor(&client, &right).await;
            older = newer;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_inclusion_view_agrees_with_ct_merkle() {
    let chain = TestChain::embedded().await;
    for n in 0..8 {
        let client = chain.client(n);
        let size = rand::rng().random_range(1..LARGEST);
        let tree = Tree::of_size(size);
        let anchor = anchor(&client, &first(&tree)).await;
        for _ in 0..8 {
            let index = rand::rng().random_range(0..size);
            let receipt = Receipt {
                version: 1,
                event: NewEvent::data_share(DataHash::of(b"x"), account(0)).into_event(account(n), 1),
                leaf_index: index,
                inclusion_proof: hashes(tree.0.prove_inclusion(index as usize).as_bytes()),
                checkpoint: tree.checkpoint(),
                anchor,
            };
            let proves = client.proves(&receipt, leaf_hash(index)).await;
            assert_eq!(proves, Ok(true), "{index} of {size}");
            let wrong = client.proves(&receipt, leaf_hash(index + 1)).await;
            assert_eq!(wrong, Ok(false), "{index} of {size}");
        }
    }
}
