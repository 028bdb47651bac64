//! A thousand operations at once: none lost, none done twice.

use std::{
    collections::HashSet,
    sync::Arc,
    time::{Duration, Instant},
};

use alloy::primitives::{Address, B256, U64, U256};
use dm_chain::EvmClient;
use dm_core::{
    operation::OperationId,
    ports::{Chain, Operations},
    token::NATIVE_TOKEN,
};
use dm_testing::signer::TestSigner;
use futures::future::join_all;
use serde_json::json;
use tokio::runtime::Runtime;

use crate::support::{
    TestChain, account, client_of, journal,
    money::{PATIENCE, mined, pay},
    quick, quick_with,
};

const MANY: usize = 1000;

async fn count(chain: &TestChain) -> u64 {
    let count = chain
        .ask("eth_getTransactionCount", json!([account(0), "latest"]))
        .await;
    serde_json::from_value::<U64>(count).unwrap().to()
}

/// Pays a wei each and waits until all are mined; returns the blocks.
async fn pay_many(chain: &TestChain, client: Arc<EvmClient>) -> HashSet<u64> {
    let to = Address::random();
    let payments = (0..MANY).map(|_| {
        let client = client.clone();
        tokio::spawn(async move {
            let id = OperationId::random();
            client.begin(id, &pay(NATIVE_TOKEN, to, 1)).await.unwrap();
            mined(&client, id).await
        })
    });
    let all: Vec<_> = join_all(payments).await.into_iter().map(Result::unwrap).collect();
    assert!(all.iter().all(|mined| mined.succeeded));
    let hashes: HashSet<B256> = all.iter().map(|mined| mined.tx_hash).collect();
    assert_eq!(hashes.len(), MANY);
    assert_eq!(count(chain).await, MANY as u64);
    assert_eq!(client.native_balance(to).await, Ok(U256::from(MANY)));
    all.iter().map(|mined| mined.block).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_at_once_are_a_thousand_transactions() {
    let chain = TestChain::embedded().await;
    let started = Instant::now();
    pay_many(&chain, Arc::new(chain.client(0))).await;
    println!("{MANY} on the embedded chain: {:?}", started.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_at_once_need_no_more_blocks_than_their_gas() {
    let Some(chain) = TestChain::anvil(&["--block-time", "2"]).await else {
        return;
    };
    let started = Instant::now();
    let blocks = pay_many(&chain, Arc::new(chain.client(0))).await;
    println!(
        "{MANY} on anvil with blocks of 2 s: {:?}, blocks {blocks:?}",
        started.elapsed()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mempool_with_little_room_is_filled_bit_by_bit() {
    let chain = TestChain::embedded().await;
    let client = chain.client_with(0, quick_with(|config| config.max_unmined = 7));
    pay_many(&chain, Arc::new(client)).await;
}

/// Does this for some time in a runtime of its own, with which everything ends
/// that was begun in it, as with a process.
async fn die_after(time: Duration, work: impl Future<Output = ()> + Send + 'static) {
    let process = Runtime::new().unwrap();
    process.spawn(work);
    tokio::time::sleep(time).await;
    let end = move || process.shutdown_timeout(PATIENCE);
    tokio::task::spawn_blocking(end).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_dies_in_the_middle_loses_nothing_and_doubles_nothing() {
    let mut chains = vec![TestChain::embedded().await];
    chains.extend(TestChain::anvil(&["--block-time", "1"]).await);
    for chain in chains {
        let (journal, to) = (journal(), Address::random());
        let next_client = || {
            let (rpc, journal) = (chain.connection(), journal.clone());
            move || client_of(rpc, Arc::new(TestSigner::new(0)), journal, quick())
        };
        let ids: Vec<_> = (0..200).map(|_| OperationId::random()).collect();
        for pause in [1, 20, 60, 150] {
            let (client, ids) = (next_client(), ids.clone());
            let begin_all = async move {
                let client = client();
                let payment = pay(NATIVE_TOKEN, to, 1);
                join_all(ids.iter().map(|id| client.begin(*id, &payment))).await;
            };
            die_after(Duration::from_millis(pause), begin_all).await;
        }
        let last = next_client()();
        for id in &ids {
            last.begin(*id, &pay(NATIVE_TOKEN, to, 1)).await.unwrap();
        }
        let waits = ids.iter().map(|id| last.wait(*id, PATIENCE));
        assert!(
            join_all(waits)
                .await
                .into_iter()
                .all(|state| state.unwrap().is_some())
        );
        assert_eq!(last.native_balance(to).await, Ok(U256::from(200)));
    }
}
