//! What the tests of the embedded chain have in common.

use std::sync::Arc;

use alloy::{
    consensus::{SignableTransaction, TxEip1559, TxEnvelope, TxLegacy},
    eips::eip2718::Encodable2718,
    network::TxSignerSync,
    primitives::{Address, Bytes, TxKind, U256, bytes},
    providers::{Provider, ProviderBuilder},
    rpc::{
        client::RpcClient,
        types::{TransactionReceipt, TransactionRequest},
    },
    signers::local::PrivateKeySigner,
    sol_types::SolError,
};
use dm_chain::embedded::{DEV_CHAIN_ID, EmbeddedChain, Genesis};
use dm_core::ports::{JsonRpc, KeyValueStore};
use dm_testing::key_value::MemoryKeyValueStore;
use serde_json::{Value, json};

alloy::sol! {
    /// What the box says when it is given zero.
    #[derive(Debug, PartialEq)]
    error Refused(uint256 code);
}

/// One coin of 10^18 wei.
pub(crate) fn coins(amount: u64) -> U256 {
    U256::from(amount) * U256::from(10u64).pow(U256::from(18))
}

/// Wei per gas that is enough in every test.
pub(crate) const PRICE: u128 = 2_000_000_000;

/// The keys of the first three development accounts.
pub(crate) fn signer(index: usize) -> PrivateKeySigner {
    let keys = [
        "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80",
        "0x59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d",
        "0x5de4111afa1a4b94908f83103eb1f1706367c2e68ca870fc3fb9a804cdab365a",
    ];
    keys[index].parse().unwrap()
}

pub(crate) async fn open(store: &Arc<MemoryKeyValueStore>) -> EmbeddedChain {
    EmbeddedChain::open(Arc::clone(store) as Arc<dyn KeyValueStore>, Genesis::default())
        .await
        .unwrap()
}

pub(crate) async fn new_chain() -> EmbeddedChain {
    open(&Arc::new(MemoryKeyValueStore::new())).await
}

/// An alloy provider that signs for the first development account.
pub(crate) fn provider(chain: &EmbeddedChain) -> impl Provider + Clone + 'static {
    ProviderBuilder::new()
        .wallet(signer(0))
        .connect_client(RpcClient::new(chain.transport(), true))
}

/// Sends a transaction and fetches the receipt, which is there at once.
pub(crate) async fn mined(provider: &impl Provider, request: TransactionRequest) -> TransactionReceipt {
    let sent = provider.send_transaction(request).await.unwrap();
    provider
        .get_transaction_receipt(*sent.tx_hash())
        .await
        .unwrap()
        .expect("mined when sending returns")
}

/// A signed transfer, as raw bytes.
pub(crate) fn transfer(from: usize, nonce: u64, to: Address, value: U256, gas_price: u128) -> Bytes {
    let tx = TxLegacy {
        chain_id: Some(DEV_CHAIN_ID),
        nonce,
        gas_price,
        gas_limit: 21_000,
        to: TxKind::Call(to),
        value,
        input: Bytes::new(),
    };
    signed(from, tx)
}

/// A signed transaction of the present kind with these fields, as raw bytes.
pub(crate) fn dynamic(from: usize, change: impl FnOnce(&mut TxEip1559)) -> Bytes {
    let mut tx = TxEip1559 {
        chain_id: DEV_CHAIN_ID,
        gas_limit: 100_000,
        max_fee_per_gas: PRICE,
        max_priority_fee_per_gas: 1,
        to: TxKind::Call(Address::repeat_byte(9)),
        ..TxEip1559::default()
    };
    change(&mut tx);
    signed(from, tx)
}

fn signed<T>(from: usize, mut tx: T) -> Bytes
where
    T: SignableTransaction<alloy::primitives::Signature>,
    TxEnvelope: From<alloy::consensus::Signed<T>>,
{
    let signature = signer(from).sign_transaction_sync(&mut tx).unwrap();
    TxEnvelope::from(tx.into_signed(signature)).encoded_2718().into()
}

/// Code that deploys the box. Called with a word, the box stores it in slot 0,
/// logs it with itself as topic, and returns it; zero it refuses with
/// [`Refused`] and code 7; one makes it run for ever.
pub(crate) fn box_code() -> Bytes {
    let mut code = bytes!("603c80600b6000396000f3").to_vec();
    code.extend(
        bytes!("60003580156026578060011460225780600055806000528060206000a160206000f35b602256").iter(),
    );
    code.extend(bytes!("5b63"));
    code.extend(Refused::SELECTOR);
    code.extend(bytes!("60e01b600052600760045260246000fd"));
    code.into()
}

pub(crate) fn word(value: u64) -> Bytes {
    U256::from(value).to_be_bytes::<32>().into()
}

pub(crate) async fn deploy_box(provider: &impl Provider) -> Address {
    let request = TransactionRequest {
        to: Some(TxKind::Create),
        ..Default::default()
    }
    .input(box_code().into());
    mined(provider, request).await.contract_address.unwrap()
}

/// One request over the port, as other programs make it.
pub(crate) async fn call(chain: &EmbeddedChain, method: &str, params: Value) -> Value {
    let request = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
    serde_json::from_slice(&JsonRpc::call(chain, request.to_string().as_bytes()).await).unwrap()
}

/// Sends a raw transaction and returns the error message, or the hash.
pub(crate) async fn send(chain: &EmbeddedChain, raw: &Bytes) -> Result<String, String> {
    let answer = call(chain, "eth_sendRawTransaction", json!([raw])).await;
    match answer["result"].as_str() {
        Some(hash) => Ok(hash.to_owned()),
        None => Err(answer["error"]["message"].as_str().unwrap().to_owned()),
    }
}

pub(crate) async fn balance(chain: &EmbeddedChain, account: Address) -> U256 {
    serde_json::from_value(call(chain, "eth_getBalance", json!([account, "latest"])).await["result"].clone())
        .unwrap()
}
