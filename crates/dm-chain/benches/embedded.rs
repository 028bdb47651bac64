//! The embedded chain against its limits in the same run: durable transfers
//! against the bare EVM and against the disk, calls against the bare EVM.

#![allow(missing_docs, clippy::unwrap_used)]

use std::{
    fs::File,
    hint::black_box,
    io::Write,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use alloy::{
    consensus::{SignableTransaction, Transaction, TxEnvelope, TxLegacy, transaction::SignerRecoverable},
    eips::eip2718::{Decodable2718, Encodable2718},
    network::TxSignerSync,
    primitives::{Address, B256, Bytes, TxKind, U256, bytes},
    rpc::client::RpcClient,
    signers::local::PrivateKeySigner,
};
use async_trait::async_trait;
use criterion::{Criterion, criterion_group, criterion_main};
use dm_chain::embedded::{DEV_ACCOUNTS, DEV_CHAIN_ID, EmbeddedChain, Genesis};
use dm_core::ports::{KeyValueStore, StoreError, WriteBatch};
use dm_testing::key_value::MemoryKeyValueStore;
use futures::future::join_all;
use revm::{
    Context, ExecuteCommitEvm, ExecuteEvm, MainBuilder, MainContext, MainnetEvm, bytecode::Bytecode,
    context::TxEnv, database::CacheDB, database_interface::EmptyDB, handler::MainnetContext,
    state::AccountInfo,
};
use serde_json::json;
use tokio::runtime::Runtime;

/// Transfers in one measurement.
const TRANSFERS: usize = 2_000;
/// Transfers that are on their way at the same time.
const CONCURRENT: usize = 64;
/// Calls in one measurement.
const CALLS: u32 = 2_000;

/// Counts down from 1,000: some 50,000 gas of work. Then returns nothing.
const COUNTDOWN: Bytes = bytes!("6103e85b6001900380600357");

/// Keeps entries in memory and writes each batch to a file, synced: what a
/// durable store has to do at least.
struct SyncedStore {
    memory: MemoryKeyValueStore,
    file: Mutex<(File, usize)>,
}

#[async_trait]
impl KeyValueStore for SyncedStore {
    async fn get(&self, key: &[u8]) -> Result<Option<bytes::Bytes>, StoreError> {
        self.memory.get(key).await
    }

    async fn scan(
        &self,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<(bytes::Bytes, bytes::Bytes)>, StoreError> {
        self.memory.scan(prefix, after, limit).await
    }

    async fn commit(&self, batch: WriteBatch) -> Result<(), StoreError> {
        {
            let bytes: Vec<u8> = batch
                .changes
                .iter()
                .flat_map(|(key, value)| [key.clone(), value.clone().unwrap_or_default()])
                .flatten()
                .collect();
            let mut file = self.file.lock().unwrap();
            file.0.write_all(&bytes).unwrap();
            file.0.sync_data().unwrap();
            file.1 += 1;
        }
        self.memory.commit(batch).await
    }
}

/// The account of one sender.
fn signer(sender: usize) -> PrivateKeySigner {
    PrivateKeySigner::from_bytes(&B256::with_last_byte(sender as u8 + 1)).unwrap()
}

fn genesis() -> Genesis {
    Genesis::funding((0..CONCURRENT).map(|sender| signer(sender).address()))
}

/// The transfers of all senders in turn.
fn raw_transfers() -> Vec<Bytes> {
    let signers: Vec<_> = (0..CONCURRENT).map(signer).collect();
    let raw = |index: usize| {
        let mut tx = TxLegacy {
            chain_id: Some(DEV_CHAIN_ID),
            nonce: (index / CONCURRENT) as u64,
            gas_price: 10_000_000_000,
            gas_limit: 21_000,
            to: TxKind::Call(Address::left_padding_from(
                &(index as u64 + 1_000_000).to_be_bytes(),
            )),
            value: U256::from(1),
            input: Bytes::new(),
        };
        let signature = signers[index % CONCURRENT]
            .sign_transaction_sync(&mut tx)
            .unwrap();
        TxEnvelope::from(tx.into_signed(signature)).encoded_2718().into()
    };
    (0..TRANSFERS).map(raw).collect()
}

type BareEvm = MainnetEvm<MainnetContext<CacheDB<EmptyDB>>>;

fn bare_evm() -> BareEvm {
    let mut state = CacheDB::new(EmptyDB::new());
    for account in genesis().funded {
        state.insert_account_info(account, AccountInfo::from_balance(U256::MAX >> 1));
    }
    let contract = AccountInfo::from_bytecode(Bytecode::new_legacy(COUNTDOWN));
    state.insert_account_info(Address::repeat_byte(0xcc), contract);
    Context::mainnet()
        .with_db(state)
        .modify_cfg_chained(|cfg| cfg.chain_id = DEV_CHAIN_ID)
        .build_mainnet()
}

/// Decodes, recovers and executes each transfer: what cannot be saved.
fn execute_bare(raw: &[Bytes]) -> Duration {
    let mut evm = bare_evm();
    let started = Instant::now();
    for raw in raw {
        let tx = TxEnvelope::decode_2718_exact(raw).unwrap();
        let environment = TxEnv {
            caller: tx.recover_signer().unwrap(),
            gas_limit: tx.gas_limit(),
            gas_price: tx.max_fee_per_gas(),
            kind: tx.kind(),
            value: tx.value(),
            nonce: tx.nonce(),
            chain_id: tx.chain_id(),
            ..TxEnv::default()
        };
        assert!(evm.transact_commit(environment).unwrap().is_success());
    }
    started.elapsed()
}

/// Sends all transfers from as many senders at once, and waits for each to be durable.
async fn send_all(raw: &[Bytes]) -> Duration {
    let file = tempfile::tempfile().unwrap();
    let store = Arc::new(SyncedStore {
        memory: MemoryKeyValueStore::new(),
        file: Mutex::new((file, 0)),
    });
    let chain = EmbeddedChain::open(store.clone(), genesis()).await.unwrap();
    let client = RpcClient::new(chain.transport(), true);
    let started = Instant::now();
    let senders = (0..CONCURRENT).map(|sender| {
        let client = client.clone();
        let mine: Vec<Bytes> = raw.iter().skip(sender).step_by(CONCURRENT).cloned().collect();
        tokio::spawn(async move {
            for raw in mine {
                let _: B256 = client.request("eth_sendRawTransaction", (raw,)).await.unwrap();
            }
        })
    });
    join_all(senders).await;
    let elapsed = started.elapsed();
    chain.close().await;
    let commits = store.file.lock().unwrap().1;
    println!("{TRANSFERS} transfers in {} durable blocks", commits - 1);
    elapsed
}

fn transfers(criterion: &mut Criterion) {
    let runtime = Runtime::new().unwrap();
    let raw = raw_transfers();
    let (chain, bare) = (runtime.block_on(send_all(&raw)), execute_bare(&raw));
    let rate = |time: Duration| TRANSFERS as f64 / time.as_secs_f64();
    println!(
        "durable transfers: {:.0}/s, bare EVM with signatures {:.0}/s: {:.0} % of its rate",
        rate(chain),
        rate(bare),
        100.0 * bare.as_secs_f64() / chain.as_secs_f64()
    );
    let mut group = criterion.benchmark_group("transfers");
    group.sample_size(10);
    group.bench_function("durable", |bencher| {
        bencher.iter_custom(|rounds| (0..rounds).map(|_| runtime.block_on(send_all(&raw))).sum());
    });
    group.bench_function("bare", |bencher| {
        bencher.iter_custom(|rounds| (0..rounds).map(|_| execute_bare(&raw)).sum());
    });
    group.finish();
}

async fn deployed_countdown() -> (RpcClient, Address) {
    let chain = EmbeddedChain::open(Arc::new(MemoryKeyValueStore::new()), Genesis::default())
        .await
        .unwrap();
    let client = RpcClient::new(chain.transport(), true);
    let signer: PrivateKeySigner = "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80"
        .parse()
        .unwrap();
    let mut tx = TxLegacy {
        chain_id: Some(DEV_CHAIN_ID),
        gas_price: 10_000_000_000,
        gas_limit: 200_000,
        to: TxKind::Create,
        input: [&bytes!("600c80600b6000396000f3")[..], &COUNTDOWN]
            .concat()
            .into(),
        ..TxLegacy::default()
    };
    let signature = signer.sign_transaction_sync(&mut tx).unwrap();
    let raw: Bytes = TxEnvelope::from(tx.into_signed(signature)).encoded_2718().into();
    let _: B256 = client.request("eth_sendRawTransaction", (raw,)).await.unwrap();
    let deployed = signer.address().create(0);
    let code: Bytes = client.request("eth_getCode", (deployed, "latest")).await.unwrap();
    assert_eq!(code, COUNTDOWN);
    (client, deployed)
}

async fn call(client: &RpcClient, to: Address) {
    let answer: Bytes = client
        .request("eth_call", (json!({"to": to}), "latest"))
        .await
        .unwrap();
    black_box(answer);
}

fn call_bare(evm: &mut BareEvm) {
    let to = TxKind::Call(Address::repeat_byte(0xcc));
    let environment = TxEnv {
        kind: to,
        gas_limit: 10_000_000,
        chain_id: Some(DEV_CHAIN_ID),
        caller: DEV_ACCOUNTS[0],
        ..TxEnv::default()
    };
    assert!(evm.transact(environment).unwrap().result.is_success());
}

fn calls(criterion: &mut Criterion) {
    let runtime = Runtime::new().unwrap();
    let (client, to) = runtime.block_on(deployed_countdown());
    let mut evm = bare_evm();
    let started = Instant::now();
    runtime.block_on(async {
        for _ in 0..CALLS {
            call(&client, to).await;
        }
    });
    let chain = started.elapsed() / CALLS;
    let started = Instant::now();
    (0..CALLS).for_each(|_| call_bare(&mut evm));
    let bare = started.elapsed() / CALLS;
    println!(
        "eth_call: {chain:?}, bare EVM {bare:?}: {:.0} % of its rate",
        100.0 * bare.as_secs_f64() / chain.as_secs_f64()
    );
    let mut group = criterion.benchmark_group("call");
    group.bench_function("transport", |bencher| {
        bencher.to_async(&runtime).iter(|| call(&client, to));
    });
    group.bench_function("bare", |bencher| bencher.iter(|| call_bare(&mut evm)));
    group.finish();
}

criterion_group!(benches, transfers, calls);
criterion_main!(benches);
