//! What is on the disk, when, and what a restart finds.

use std::sync::Arc;

use alloy::primitives::{Address, U256};
use async_trait::async_trait;
use bytes::Bytes;
use dm_chain::embedded::{DEV_ACCOUNTS, EmbeddedChain, EmbeddedChainError, Genesis};
use dm_core::ports::{KeyValueStore, StoreError, WriteBatch};
use dm_testing::key_value::MemoryKeyValueStore;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use super::support::{PRICE, balance, call, coins, deploy_box, mined, open, provider, send, transfer, word};

const TO: Address = Address::repeat_byte(0xd0);

/// A store whose commits wait for a permit; without one they never happen.
struct Gate {
    inner: Arc<MemoryKeyValueStore>,
    permits: Semaphore,
    /// Commits that have begun.
    begun: Semaphore,
}

impl Gate {
    fn new() -> Arc<Self> {
        // One permit for the genesis.
        let inner = Arc::new(MemoryKeyValueStore::new());
        Arc::new(Self {
            inner,
            permits: Semaphore::new(1),
            begun: Semaphore::new(0),
        })
    }

    async fn wait_for_commit(&self) {
        self.begun.acquire().await.unwrap().forget();
    }
}

#[async_trait]
impl KeyValueStore for Gate {
    async fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        self.inner.get(key).await
    }

    async fn scan(
        &self,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<(Bytes, Bytes)>, StoreError> {
        self.inner.scan(prefix, after, limit).await
    }

    async fn commit(&self, batch: WriteBatch) -> Result<(), StoreError> {
        self.begun.add_permits(1);
        self.permits.acquire().await.unwrap().forget();
        self.inner.commit(batch).await
    }
}

async fn gated() -> (EmbeddedChain, Arc<Gate>) {
    let gate = Gate::new();
    let chain = EmbeddedChain::open(Arc::clone(&gate) as _, Genesis::default())
        .await
        .unwrap();
    gate.wait_for_commit().await;
    (chain, gate)
}

async fn receipt(chain: &EmbeddedChain, hash: &str) -> Value {
    call(chain, "eth_getTransactionReceipt", json!([hash])).await["result"].clone()
}

fn spawn_transfer(chain: &EmbeddedChain, from: usize) -> tokio::task::JoinHandle<String> {
    let (chain, raw) = (chain.clone(), transfer(from, 0, TO, coins(1), PRICE));
    tokio::spawn(async move { send(&chain, &raw).await.unwrap() })
}

#[tokio::test]
async fn nobody_sees_a_block_before_it_is_durable() {
    let (chain, gate) = gated().await;
    let sending = spawn_transfer(&chain, 0);
    gate.wait_for_commit().await;
    assert_eq!(balance(&chain, TO).await, U256::ZERO);
    assert_eq!(call(&chain, "eth_blockNumber", json!([])).await["result"], "0x0");
    assert!(!sending.is_finished());

    gate.permits.add_permits(1);
    let hash = sending.await.unwrap();
    assert_eq!(receipt(&chain, &hash).await["status"], "0x1");
    assert_eq!(balance(&chain, TO).await, coins(1));
}

#[tokio::test]
async fn what_arrives_while_a_block_is_written_shares_the_next() {
    let (chain, gate) = gated().await;
    let first = spawn_transfer(&chain, 0);
    gate.wait_for_commit().await;
    let others: Vec<_> = (1..3).map(|from| spawn_transfer(&chain, from)).collect();
    // They wait in the pool before the first block is written.
    while (call(
        &chain,
        "eth_getTransactionCount",
        json!([DEV_ACCOUNTS[1], "pending"]),
    )
    .await["result"]
        != "0x1")
        || (call(
            &chain,
            "eth_getTransactionCount",
            json!([DEV_ACCOUNTS[2], "pending"]),
        )
        .await["result"]
            != "0x1")
    {
        tokio::task::yield_now().await;
    }
    gate.permits.add_permits(10);
    assert_eq!(receipt(&chain, &first.await.unwrap()).await["blockNumber"], "0x1");
    for other in others {
        assert_eq!(receipt(&chain, &other.await.unwrap()).await["blockNumber"], "0x2");
    }
}

#[tokio::test]
async fn a_transaction_whose_block_was_not_stored_did_not_happen() {
    let (chain, gate) = gated().await;
    let sending = spawn_transfer(&chain, 0);
    gate.wait_for_commit().await;
    sending.abort();

    // What a killed process leaves behind is the inner store.
    let after = open(&gate.inner).await;
    assert_eq!(balance(&after, TO).await, U256::ZERO);
    assert_eq!(balance(&after, DEV_ACCOUNTS[0]).await, coins(10_000));
    send(&after, &transfer(0, 0, TO, coins(1), PRICE)).await.unwrap();
    assert_eq!(balance(&after, TO).await, coins(1));
    gate.permits.add_permits(1);
    chain.close().await;
}

#[tokio::test]
async fn a_restart_continues_the_chain_exactly() {
    let store = Arc::new(MemoryKeyValueStore::new());
    let chain = open(&store).await;
    let deployed = deploy_box(&provider(&chain)).await;
    let request = alloy::rpc::types::TransactionRequest::default()
        .to(deployed)
        .input(word(77).into());
    let before = mined(&provider(&chain), request).await;
    let blocks = call(&chain, "eth_getBlockByNumber", json!(["latest", true])).await;
    chain.close().await;
    drop(chain);

    let again = open(&store).await;
    assert_eq!(
        call(&again, "eth_getBlockByNumber", json!(["latest", true])).await,
        blocks
    );
    assert_eq!(
        receipt(&again, &before.transaction_hash.to_string()).await,
        serde_json::to_value(&before).unwrap()
    );
    let slot = call(&again, "eth_getStorageAt", json!([deployed, "0x0", "latest"])).await;
    assert_eq!(slot["result"], format!("{:#066x}", 77));
    let hash = send(&again, &transfer(0, 2, TO, coins(1), PRICE)).await.unwrap();
    assert_eq!(receipt(&again, &hash).await["blockNumber"], "0x3");
    let next = call(&again, "eth_getBlockByNumber", json!(["latest", false])).await;
    assert_eq!(next["result"]["parentHash"], blocks["result"]["hash"]);
}

#[tokio::test]
async fn extra_accounts_are_funded_when_the_chain_begins() {
    let operator = Address::repeat_byte(0x0e);
    let genesis = Genesis::funding([operator]);
    let chain = EmbeddedChain::open(Arc::new(MemoryKeyValueStore::new()), genesis)
        .await
        .unwrap();
    assert_eq!(balance(&chain, operator).await, coins(10_000));
}

#[tokio::test]
async fn another_chains_store_is_not_continued() {
    let store = Arc::new(MemoryKeyValueStore::new());
    open(&store).await.close().await;
    let mut other = Genesis::default();
    other.chain_id = 5;
    let error = EmbeddedChain::open(store, other).await.unwrap_err();
    assert!(matches!(
        error,
        EmbeddedChainError::WrongChain {
            expected: 5,
            found: 31_337
        }
    ));
}

#[tokio::test]
async fn a_closed_chain_refuses_and_does_not_hang() {
    let store = Arc::new(MemoryKeyValueStore::new());
    let chain = open(&store).await;
    chain.close().await;
    let error = send(&chain, &transfer(0, 0, TO, coins(1), PRICE))
        .await
        .unwrap_err();
    assert_eq!(error, "the chain is shutting down");
    assert!(call(&chain, "evm_mine", json!([])).await["error"].is_object());
}

#[tokio::test]
async fn two_chains_that_begin_in_the_same_second_are_told_apart() {
    let mut hashes = Vec::new();
    for _ in 0..2 {
        let store: Arc<dyn KeyValueStore> = Arc::new(MemoryKeyValueStore::new());
        // The second opening goes on with what the first has begun.
        for _ in 0..2 {
            let chain = EmbeddedChain::open(store.clone(), Genesis::default())
                .await
                .unwrap();
            let block = call(&chain, "eth_getBlockByNumber", json!(["0x0", false])).await;
            hashes.push(block["result"]["hash"].clone());
            chain.close().await;
        }
    }
    assert_eq!((&hashes[0], &hashes[2]), (&hashes[1], &hashes[3]));
    assert_ne!(hashes[0], hashes[2]);
}
