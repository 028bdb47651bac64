//! What anchoring costs. `--nocapture` prints the table.

use alloy::primitives::B256;
use dm_chain::EvmClient;
use dm_core::{
    ports::{AnchorRequest, Anchors},
    receipt::Checkpoint,
};
use dm_testing::anchors::reference::node_hash;

use crate::support::TestChain;

/// Limit for an anchor of one event.
const ONE_EVENT: u64 = 90_000;
/// Limit for an anchor of 256 events: 300 for each.
const BATCH: u64 = 256 * 300;
/// Limit for an anchor of 256 events at the most expensive size below a million.
const WORST_BATCH: u64 = 80_000;

/// The two checkpoints and the proof of a log whose subtrees have invented
/// hashes: a proof determines both roots, so that large logs need no leaves.
fn step(first: u64, second: u64) -> AnchorRequest {
    let shift = (first - 1).trailing_ones();
    let (mut fnode, mut snode) = ((first - 1) >> shift, (second - 1) >> shift);
    let start = B256::random();
    let mut proof = if fnode == 0 { Vec::new() } else { vec![start] };
    let (mut first_root, mut second_root) = (start, start);
    while snode != 0 {
        let value = B256::random();
        proof.push(value);
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
    let checkpoint = |size, root| Checkpoint { size, root };
    AnchorRequest {
        previous: Some(checkpoint(first, first_root)),
        next: checkpoint(second, second_root),
        consistency_proof: proof,
    }
}

async fn gas(chain: &TestChain, client: &EvmClient, request: &AnchorRequest) -> u64 {
    let tx_hash = client.submit_anchor(request).await.unwrap();
    client.wait_for_anchor(tx_hash).await.unwrap();
    chain.gas_used(tx_hash).await
}

/// Gas of a log's first checkpoint and of the step to the next.
async fn gas_of_step(chain: &TestChain, n: u8, from: u64, to: u64) -> (u64, u64) {
    let client = chain.client(n);
    let second = step(from, to);
    let first = AnchorRequest {
        previous: None,
        next: second.previous.unwrap(),
        consistency_proof: Vec::new(),
    };
    (
        gas(chain, &client, &first).await,
        gas(chain, &client, &second).await,
    )
}

/// Checks the limits and prints what they are compared with.
async fn check_limits(chain: &TestChain) {
    let (first, second) = gas_of_step(chain, 0, 1, 2).await;
    println!("first checkpoint of a log: {first}");
    println!("one event, log of 1: {second}");
    assert!(first <= ONE_EVENT && second <= ONE_EVENT);

    let (_, one_of_a_million) = gas_of_step(chain, 1, 999_999, 1_000_000).await;
    println!("one event, log of 999,999: {one_of_a_million}");
    assert!(one_of_a_million <= ONE_EVENT);

    let sizes = [
        256, 1_000, 10_000, 100_000, 300_007, 555_555, 777_777, 999_424, 999_744,
    ];
    for (n, from) in (2..).zip(sizes) {
        let (_, batch) = gas_of_step(chain, n, from, from + 256).await;
        println!("256 events, log of {from}: {batch} ({} each)", batch / 256);
        assert!(batch <= BATCH, "{batch} from {from}");
    }

    // All peaks of the older tree are in this proof; fewer than one size in 500 costs more than BATCH.
    let (_, worst) = gas_of_step(chain, 12, 524_287, 524_543).await;
    println!("256 events, log of 524,287, the worst below a million: {worst}");
    assert!(worst <= WORST_BATCH, "{worst}");
}

#[tokio::test(flavor = "multi_thread")]
async fn anchors_stay_below_their_gas_limits_on_the_embedded_chain() {
    check_limits(&TestChain::embedded().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn anchors_stay_below_their_gas_limits_on_anvil() {
    if let Some(chain) = TestChain::anvil(&[]).await {
        check_limits(&chain).await;
    }
}
