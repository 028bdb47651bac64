//! The same requests to a real node that nobody here wrote, where there is one:
//! the binary that the environment variable `ANVIL` names, or `anvil` on the path.

use std::process::Stdio;

use alloy::{
    primitives::{Address, B256, Bytes, TxKind},
    providers::{Provider, ProviderBuilder, RootProvider},
    rpc::client::RpcClient,
};
use dm_chain::embedded::{CREATE2_PROXY, DEV_ACCOUNTS};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
};

use super::support::{PRICE, box_code, coins, dynamic, new_chain, transfer, word};

/// A running anvil; ends with the value.
struct Anvil {
    provider: RootProvider,
    _process: Child,
}

impl Anvil {
    /// `None` where there is no such binary.
    async fn start() -> Option<Self> {
        let binary = std::env::var("ANVIL").unwrap_or_else(|_| "anvil".to_owned());
        let mut process = Command::new(binary)
            .args(["--port", "0", "--host", "127.0.0.1", "--hardfork", "osaka"])
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .ok()?;
        let mut lines = BufReader::new(process.stdout.take()?).lines();
        let address = loop {
            let line = lines
                .next_line()
                .await
                .unwrap()
                .expect("anvil says where it listens");
            if let Some(address) = line.strip_prefix("Listening on ") {
                break address.trim().to_owned();
            }
        };
        let provider = ProviderBuilder::default().connect_http(format!("http://{address}").parse().unwrap());
        Some(Self {
            provider,
            _process: process,
        })
    }
}

async fn ask(
    provider: &RootProvider,
    method: &'static str,
    params: Value,
) -> Result<Value, (i64, Option<Value>)> {
    provider
        .raw_request(method.into(), params)
        .await
        .map_err(|error| {
            let payload = error.as_error_resp().expect("an error of JSON-RPC");
            (
                payload.code,
                payload
                    .data
                    .as_ref()
                    .map(|data| serde_json::from_str(data.get()).unwrap()),
            )
        })
}

/// What kind of value stands under each name, numbers and texts left out.
fn shape(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            // Fields that anvil adds to what the specification of the interface has.
            let extra = [
                "blobGasPrice",
                "totalDifficulty",
                "yParity",
                "v",
                "timestamp",
                "blockTimestamp",
            ];
            let fields = fields.iter().filter(|(name, _)| !extra.contains(&name.as_str()));
            Value::Object(fields.map(|(name, value)| (name.clone(), shape(value))).collect())
        }
        Value::Array(values) => Value::Array(values.iter().map(shape).collect()),
        Value::String(text) if text.starts_with("0x") => json!("0x"),
        Value::String(_) => json!("text"),
        other => other.clone(),
    }
}

/// A history in which the nonces and so all transaction hashes are fixed.
fn transactions() -> Vec<Bytes> {
    let deployed = DEV_ACCOUNTS[0].create(1);
    let salted = [&[0; 32][..], &box_code()].concat();
    vec![
        transfer(0, 0, Address::repeat_byte(5), coins(2), PRICE),
        dynamic(0, |tx| {
            (tx.nonce, tx.to, tx.input) = (1, TxKind::Create, box_code());
        }),
        dynamic(0, |tx| {
            (tx.nonce, tx.to, tx.input) = (2, deployed.into(), word(99));
        }),
        dynamic(0, |tx| {
            (tx.nonce, tx.to, tx.input) = (3, deployed.into(), word(0));
        }),
        dynamic(0, |tx| {
            (tx.nonce, tx.to, tx.input) = (4, CREATE2_PROXY.into(), salted.into());
        }),
        dynamic(0, |tx| {
            (tx.nonce, tx.to, tx.input, tx.gas_limit) = (5, deployed.into(), word(1), 60_000);
        }),
    ]
}

#[tokio::test]
async fn the_chain_answers_as_anvil_does() {
    let Some(anvil) = Anvil::start().await else {
        eprintln!("no anvil here: nothing compared");
        return;
    };
    let chain = new_chain().await;
    let embedded = RootProvider::new(RpcClient::new(chain.transport(), true));

    for raw in transactions() {
        let hash = ask(&embedded, "eth_sendRawTransaction", json!([raw]))
            .await
            .unwrap();
        assert_eq!(
            hash,
            ask(&anvil.provider, "eth_sendRawTransaction", json!([raw]))
                .await
                .unwrap()
        );
        let receipt = ask(&embedded, "eth_getTransactionReceipt", json!([hash]))
            .await
            .unwrap();
        let theirs = once_mined(&anvil.provider, "eth_getTransactionReceipt", &hash).await;
        for field in [
            "gasUsed",
            "cumulativeGasUsed",
            "status",
            "contractAddress",
            "blockNumber",
            "type",
            "logsBloom",
        ] {
            assert_eq!(receipt[field], theirs[field], "{field} of {hash}");
        }
        assert_eq!(shape(&receipt), shape(&theirs));
        let transaction = ask(&embedded, "eth_getTransactionByHash", json!([hash]))
            .await
            .unwrap();
        let theirs = once_mined(&anvil.provider, "eth_getTransactionByHash", &hash).await;
        assert_eq!(shape(&transaction), shape(&theirs));
    }
    for (method, params) in questions() {
        let ours = ask(&embedded, method, params.clone()).await;
        let theirs = ask(&anvil.provider, method, params.clone()).await;
        assert_eq!(ours, theirs, "{method} {params}");
    }
    for (method, params) in shapes() {
        let ours = ask(&embedded, method, params.clone()).await.unwrap();
        let theirs = ask(&anvil.provider, method, params.clone()).await.unwrap();
        assert_eq!(shape(&ours), shape(&theirs), "{method} {params}");
    }
}

/// What anvil says of a transaction as soon as it names its block: for a
/// moment it has the receipt, and shows the transaction as one that waits.
async fn once_mined(provider: &RootProvider, method: &'static str, hash: &Value) -> Value {
    loop {
        let answer = ask(provider, method, json!([hash])).await.unwrap();
        if answer["blockHash"].is_string() {
            return answer;
        }
        tokio::task::yield_now().await;
    }
}

/// Requests whose answers must be the same.
fn questions() -> Vec<(&'static str, Value)> {
    let deployed = DEV_ACCOUNTS[0].create(1);
    let call = |value| json!([{"to": deployed, "data": word(value)}, "latest"]);
    vec![
        ("eth_chainId", json!([])),
        ("net_version", json!([])),
        ("eth_blockNumber", json!([])),
        ("eth_syncing", json!([])),
        ("eth_getBalance", json!([Address::repeat_byte(5), "latest"])),
        ("eth_getTransactionCount", json!([DEV_ACCOUNTS[0], "latest"])),
        ("eth_getTransactionCount", json!([DEV_ACCOUNTS[0], "pending"])),
        ("eth_getCode", json!([CREATE2_PROXY, "latest"])),
        ("eth_getCode", json!([deployed, "latest"])),
        ("eth_getCode", json!([DEV_ACCOUNTS[1], "latest"])),
        ("eth_getStorageAt", json!([deployed, "0x0", "latest"])),
        ("eth_call", call(5)),
        ("eth_call", call(0)),
        (
            "eth_estimateGas",
            json!([{"from": DEV_ACCOUNTS[0], "to": DEV_ACCOUNTS[1], "value": "0x1"}]),
        ),
        ("eth_estimateGas", call(0)),
        ("eth_getTransactionReceipt", json!([B256::repeat_byte(1)])),
        ("eth_getBlockByNumber", json!(["0xffff", false])),
    ]
}

/// Requests whose answers must look the same.
fn shapes() -> Vec<(&'static str, Value)> {
    vec![
        ("eth_gasPrice", json!([])),
        ("eth_maxPriorityFeePerGas", json!([])),
        ("eth_getBlockByNumber", json!(["0x2", false])),
        ("eth_getBlockByNumber", json!(["0x2", true])),
        ("eth_getBlockReceipts", json!(["0x3"])),
        ("eth_getLogs", json!([{"fromBlock": "0x0", "toBlock": "latest"}])),
        ("eth_feeHistory", json!(["0x2", "latest", [10.0, 50.0]])),
    ]
}
