//! Chains for the tests of the client.

#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::expect_used)]

pub mod anvil;
#[cfg(feature = "ethers")]
pub mod ethers;
pub mod fake_node;
pub mod money;

use std::{sync::Arc, time::Duration};

use alloy::{
    consensus::{SignableTransaction, TxLegacy},
    eips::Encodable2718,
    primitives::{Address, B256, Bytes, U256},
    rpc::client::RpcClient,
};
use dm_chain::{
    ChainAccess, ClientConfig, ClientDeps, EvmClient,
    embedded::{EmbeddedChain, Genesis},
};
use dm_core::ports::{JsonRpc, KeyValueStore, Operations, Signer};
use dm_testing::{
    anchors::AnchorsFixture,
    chain::{ChainFixture, Mine},
    key_value::MemoryKeyValueStore,
    money::MoneyFixture,
    signer::TestSigner,
};
use serde_json::{Value, json};

/// A journal in memory.
pub fn journal() -> Arc<MemoryKeyValueStore> {
    Arc::new(MemoryKeyValueStore::new())
}

/// Chain id of the embedded chain and of anvil.
pub const CHAIN_ID: u64 = 31_337;

/// Settings for chains on the same machine.
pub fn quick() -> ClientConfig {
    let mut config = ClientConfig::default();
    config.poll_interval = Duration::from_millis(20);
    config
}

/// The same with a change.
pub fn quick_with(change: impl FnOnce(&mut ClientConfig)) -> ClientConfig {
    let mut config = quick();
    change(&mut config);
    config
}

/// A client of a chain.
pub fn client_of(
    chain: impl Into<ChainAccess>,
    signer: Arc<dyn Signer>,
    journal: Arc<dyn KeyValueStore>,
    config: ClientConfig,
) -> EvmClient {
    EvmClient::start(config, ClientDeps::new(chain, signer, journal)).unwrap()
}

/// A chain with what the tests need beside the client.
pub struct TestChain {
    pub rpc: RpcClient,
    pub guard: Box<dyn std::any::Any + Send + Sync>,
}

impl TestChain {
    /// A new embedded chain on which the first 16 test accounts have coins.
    pub async fn embedded() -> Self {
        let genesis = Genesis::funding((0..16).map(|n| TestSigner::new(n).address()));
        let store = Arc::new(MemoryKeyValueStore::new());
        let chain = EmbeddedChain::open(store, genesis).await.unwrap();
        Self {
            rpc: RpcClient::new(chain.transport(), true),
            guard: Box::new(chain),
        }
    }

    /// A new anvil with these arguments, on which the first 16 test accounts have coins.
    pub async fn anvil(arguments: &[&str]) -> Option<Self> {
        let anvil = anvil::Anvil::start(arguments)?;
        let chain = Self {
            rpc: RpcClient::new_http(anvil.url().parse().unwrap()),
            guard: Box::new(anvil),
        };
        for n in 0..16 {
            let balance = U256::from(10u64).pow(U256::from(20));
            chain
                .ask("anvil_setBalance", json!([TestSigner::new(n).address(), balance]))
                .await;
        }
        Some(chain)
    }

    /// A connection that shares nothing with the others.
    pub fn connection(&self) -> RpcClient {
        match self.guard.downcast_ref::<anvil::Anvil>() {
            Some(anvil) => RpcClient::new_http(anvil.url().parse().unwrap()),
            None => self.rpc.clone(),
        }
    }

    /// A client for the test account `n`.
    pub fn client(&self, n: u8) -> EvmClient {
        self.client_with(n, quick())
    }

    /// A client for the test account `n` with these settings and a journal of its own.
    pub fn client_with(&self, n: u8, config: ClientConfig) -> EvmClient {
        client_of(self.rpc.clone(), Arc::new(TestSigner::new(n)), journal(), config)
    }

    /// The answer to a request that the client has no method for.
    pub async fn ask(&self, method: &'static str, params: Value) -> Value {
        self.rpc.request(method, params).await.unwrap()
    }

    /// Sends a transaction without any client, as another program does.
    pub async fn send_signed(&self, signer: &TestSigner, transaction: TxLegacy) -> B256 {
        let signature = signer.sign_hash(&transaction.signature_hash()).unwrap();
        let signed = transaction.into_signed(signature);
        let bytes = Bytes::from(signed.encoded_2718());
        self.ask("eth_sendRawTransaction", json!([bytes])).await;
        *signed.hash()
    }

    /// Adds a block.
    pub async fn mine(&self) {
        self.ask("evm_mine", json!([])).await;
    }

    /// Gas that a mined transaction used.
    pub async fn gas_used(&self, tx_hash: alloy::primitives::B256) -> u64 {
        let receipt = self.ask("eth_getTransactionReceipt", json!([tx_hash])).await;
        serde_json::from_value::<alloy::primitives::U64>(receipt["gasUsed"].clone())
            .unwrap()
            .to()
    }

    pub(crate) fn mining(&self) -> Mine {
        let rpc = self.rpc.clone();
        Arc::new(move || {
            let rpc = rpc.clone();
            Box::pin(async move {
                rpc.request::<_, Value>("evm_mine", json!([])).await.unwrap();
            })
        })
    }

    /// For the conformance suite of `Chain`.
    pub fn chain_fixture(self) -> ChainFixture {
        ChainFixture {
            chain: Arc::new(self.client(0)),
            chain_id: CHAIN_ID,
            funded: account(0),
            mine: self.mining(),
            guard: self.guard,
        }
    }

    /// For the conformance suite of `Tokens` and `Operations`.
    pub fn money_fixture(self) -> MoneyFixture {
        let (rpc, journal) = (self.rpc.clone(), journal());
        let start = move || {
            let signer = Arc::new(TestSigner::new(0));
            Arc::new(client_of(rpc.clone(), signer, journal.clone(), quick()))
        };
        let client = start();
        MoneyFixture {
            tokens: client.clone(),
            operations: client,
            other: Arc::new(self.client(1)),
            restart: Arc::new(move || {
                let client: Arc<dyn Operations> = start();
                Box::pin(async move { client })
            }),
            guard: self.guard,
        }
    }

    /// For the conformance suite of `Anchors`.
    pub fn anchors_fixture(self) -> AnchorsFixture {
        AnchorsFixture {
            anchors: Arc::new(self.client(0)),
            account: account(0),
            other: Arc::new(self.client(1)),
            other_account: account(1),
            chain_id: CHAIN_ID,
            mine: self.mining(),
            guard: self.guard,
        }
    }
}

/// Answers as some chain does.
pub type Forward = dyn Fn(&str, &Value) -> fake_node::Reply + Send + Sync;

/// For a fake node that passes requests on to the embedded chain. Needs a
/// runtime with several threads.
pub fn forward(chain: &EmbeddedChain) -> Box<Forward> {
    let chain = chain.clone();
    Box::new(move |method, params| {
        let request = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).to_string();
        let answer = tokio::task::block_in_place(|| {
            tokio::runtime::Handle::current().block_on(chain.call(request.as_bytes()))
        });
        let answer: Value = serde_json::from_slice(&answer).unwrap();
        match answer.get("error") {
            None => fake_node::Reply::Result(answer["result"].clone()),
            Some(error) => {
                let message = error["message"].as_str().unwrap().to_owned();
                fake_node::Reply::Error(error["code"].as_i64().unwrap(), message.leak())
            }
        }
    })
}

/// The test account `n`.
pub fn account(n: u8) -> Address {
    TestSigner::new(n).address()
}
