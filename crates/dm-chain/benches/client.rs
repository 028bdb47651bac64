//! What the client adds to a read: its balance, the balance of a token, and
//! verification against bare requests over the same transport in the same run;
//! and how many operations a second it gets through, each noted in a journal, and
//! mined.

#![allow(missing_docs, clippy::unwrap_used)]

use std::{
    future::Future,
    hint::black_box,
    sync::Arc,
    time::{Duration, Instant},
};

use alloy::{
    primitives::{Address, Bytes, U256},
    rpc::client::RpcClient,
    sol_types::SolCall,
};
use criterion::{Criterion, criterion_group, criterion_main};
use dm_chain::{
    ClientConfig, ClientDeps, EvmClient, anchor_contract,
    embedded::{EmbeddedChain, Genesis},
};
use dm_core::{
    event::NewEvent,
    hash::DataHash,
    operation::{Operation, OperationId},
    ports::{Anchors, Chain, MinedOperation, OperationState, Operations, Signer, Tokens},
    receipt::Receipt,
    token::NATIVE_TOKEN,
};
use dm_testing::{
    anchors::{ReferenceLog, conformance::request},
    key_value::MemoryKeyValueStore,
    signer::TestSigner,
};
use serde_json::json;
use tokio::runtime::Runtime;

/// Requests in one round of a comparison.
const ROUND: u32 = 200;
/// Rounds of a comparison; the median counts.
const ROUNDS: usize = 21;
/// Operations that are begun at the same time.
const OPERATIONS: usize = 1000;
/// Events in the log that is verified.
const LOG: u64 = 1000;

alloy::sol! {
    function proves(address log, uint64 size, bytes32 root, uint64 blockNumber, uint64 timestamp, bytes32 leafHash, uint64 leafIndex, bytes32[] proof) external view returns (bool);
}

fn proves_input(receipt: &Receipt, log: &ReferenceLog) -> Bytes {
    let call = provesCall {
        log: receipt.event.log,
        size: receipt.checkpoint.size,
        root: receipt.checkpoint.root,
        blockNumber: receipt.anchor.block,
        timestamp: receipt.anchor.timestamp,
        leafHash: log.leaf(receipt.leaf_index),
        leafIndex: receipt.leaf_index,
        proof: receipt.inclusion_proof.clone(),
    };
    call.abi_encode().into()
}

struct Bench {
    rpc: RpcClient,
    client: Arc<EvmClient>,
    account: Address,
    token: Address,
    receipt: Receipt,
    log: ReferenceLog,
    input: Bytes,
}

impl Bench {
    async fn start() -> Self {
        let signer = TestSigner::new(0);
        let account = signer.address();
        let genesis = Genesis::funding([account]);
        let chain = EmbeddedChain::open(Arc::new(MemoryKeyValueStore::new()), genesis)
            .await
            .unwrap();
        let rpc = RpcClient::new(chain.transport(), true);
        let journal = Arc::new(MemoryKeyValueStore::new());
        let deps = ClientDeps::new(rpc.clone(), Arc::new(signer), journal);
        let client = Arc::new(EvmClient::start(ClientConfig::default(), deps).unwrap());
        let log = ReferenceLog::numbered(LOG, 1);
        let tx_hash = client.submit_anchor(&request(&log, 0, LOG)).await.unwrap();
        let anchor = client.wait_for_anchor(tx_hash).await.unwrap();
        let receipt = Receipt {
            version: 1,
            event: NewEvent::data_share(DataHash::of(b"x"), account).into_event(account, 1),
            leaf_index: 7,
            inclusion_proof: log.inclusion(7, LOG),
            checkpoint: log.checkpoint(LOG),
            anchor,
        };
        let issue = Operation::IssueToken {
            name: "Data credit".to_owned(),
            symbol: "DATA".to_owned(),
            decimals: 6,
            initial_supply: U256::from(1_000_000_000),
        };
        let token = done(&client, &issue).await.contract.unwrap();
        Self {
            rpc,
            client,
            account,
            token,
            input: proves_input(&receipt, &log),
            receipt,
            log,
        }
    }

    async fn balance(&self) {
        black_box(self.client.native_balance(self.account).await.unwrap());
    }

    async fn token_balance(&self) {
        black_box(self.client.balance_of(self.token, self.account).await.unwrap());
    }

    /// Operations at the same time, from their beginning until they are mined.
    async fn transfers(&self, token: Address) {
        let started = Instant::now();
        let transfers = (0..OPERATIONS).map(|_| {
            let client = self.client.clone();
            tokio::spawn(async move {
                let transfer = Operation::Transfer {
                    token,
                    to: Address::repeat_byte(9),
                    amount: U256::ONE,
                };
                assert!(done(&client, &transfer).await.succeeded);
            })
        });
        for transfer in futures::future::join_all(transfers).await {
            transfer.unwrap();
        }
        let rate = OPERATIONS as f64 / started.elapsed().as_secs_f64();
        println!(
            "{OPERATIONS} transfers of {token}: {rate:.0}/s, {:.0} % of 1,000/s",
            rate / 10.0
        );
    }

    async fn bare_balance(&self) {
        let balance: U256 = self
            .rpc
            .request("eth_getBalance", (self.account, "latest"))
            .await
            .unwrap();
        black_box(balance);
    }

    async fn verify(&self) {
        assert!(self.client.proves(&self.receipt, self.log.leaf(7)).await.unwrap());
    }

    /// The same call, encoded beforehand and not decoded.
    async fn bare_call(&self) {
        let call = json!({"to": anchor_contract(), "input": self.input});
        let answer: Bytes = self.rpc.request("eth_call", (call, "latest")).await.unwrap();
        black_box(answer);
    }
}

/// Begins an operation and waits until it is mined.
async fn done(client: &EvmClient, operation: &Operation) -> MinedOperation {
    let id = OperationId::random();
    client.begin(id, operation).await.unwrap();
    match client.wait(id, Duration::from_secs(60)).await.unwrap() {
        Some(OperationState::Mined(mined)) => mined,
        other => panic!("not mined: {other:?}"),
    }
}

async fn round<F: Future<Output = ()>>(request: impl Fn() -> F) -> Duration {
    let started = Instant::now();
    for _ in 0..ROUND {
        request().await;
    }
    started.elapsed() / ROUND
}

/// Median times of a request with and without the client, measured in turns.
async fn compare<A: Future<Output = ()>, B: Future<Output = ()>>(
    name: &str,
    with: impl Fn() -> A,
    without: impl Fn() -> B,
) {
    let (mut times, mut bare_times) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        times.push(round(&with).await);
        bare_times.push(round(&without).await);
    }
    times.sort_unstable();
    bare_times.sort_unstable();
    let (time, bare) = (times[ROUNDS / 2], bare_times[ROUNDS / 2]);
    let ratio = bare.as_secs_f64() / time.as_secs_f64();
    println!(
        "{name}: {time:?}, without the client {bare:?}: {:.0} % of its rate",
        ratio * 100.0
    );
}

fn client(criterion: &mut Criterion) {
    let runtime = Runtime::new().unwrap();
    let bench = runtime.block_on(Bench::start());
    runtime.block_on(async {
        compare("balance", || bench.balance(), || bench.bare_balance()).await;
        compare(
            "balance of a token",
            || bench.token_balance(),
            || bench.bare_balance(),
        )
        .await;
        compare("verify", || bench.verify(), || bench.bare_call()).await;
        for token in [NATIVE_TOKEN, bench.token, NATIVE_TOKEN, bench.token] {
            bench.transfers(token).await;
        }
    });
    criterion.bench_function("balance", |bencher| {
        bencher.to_async(&runtime).iter(|| bench.balance());
    });
    criterion.bench_function("verify", |bencher| {
        bencher.to_async(&runtime).iter(|| bench.verify());
    });
}

criterion_group!(benches, client);
criterion_main!(benches);
