//! Requests and transactions that mean no good.

use alloy::{
    network::TransactionBuilder,
    primitives::{Address, Bytes, U256, bytes},
    providers::Provider,
    rpc::types::TransactionRequest,
};
use dm_chain::embedded::EmbeddedChain;
use dm_core::ports::JsonRpc;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::support::{PRICE, call, coins, deploy_box, dynamic, new_chain, provider, send, transfer, word};

async fn answer(chain: &EmbeddedChain, request: impl AsRef<[u8]>) -> Value {
    serde_json::from_slice(&chain.call(request.as_ref()).await).unwrap()
}

async fn code(chain: &EmbeddedChain, request: &str) -> i64 {
    answer(chain, request).await["error"]["code"].as_i64().unwrap()
}

#[tokio::test]
async fn what_is_no_json_rpc_gets_the_errors_of_json_rpc() {
    let chain = new_chain().await;
    for rubbish in ["", "{", "\u{0}", "nonsense", "[1,", "{\"a\":}"] {
        assert_eq!(
            code(&chain, rubbish).await,
            -32700,
            "{:?}",
            &rubbish[..rubbish.len().min(20)]
        );
    }
    let no_version = r#"{"id":1,"method":"eth_chainId"}"#;
    let strange_id = r#"{"jsonrpc":"2.0","id":{},"method":"eth_chainId"}"#;
    let no_method = r#"{"jsonrpc":"2.0","id":1}"#;
    for request in [
        "1", "\"x\"", "null", "{}", "[]", no_version, strange_id, no_method,
    ] {
        assert_eq!(code(&chain, request).await, -32600, "{request}");
    }
    assert_eq!(
        code(&chain, r#"{"jsonrpc":"2.0","id":1,"method":"eth_coinbaze"}"#).await,
        -32601
    );
    let named = r#"{"jsonrpc":"2.0","id":1,"method":"eth_getBalance","params":{"a":1}}"#;
    let missing = r#"{"jsonrpc":"2.0","id":1,"method":"eth_getBalance","params":[]}"#;
    let wrong = r#"{"jsonrpc":"2.0","id":1,"method":"eth_getBalance","params":["0x12", 5]}"#;
    for request in [named, missing, wrong] {
        assert_eq!(code(&chain, request).await, -32602, "{request}");
    }
}

#[tokio::test]
async fn deeply_nested_requests_are_refused() {
    let chain = new_chain().await;
    let nested = |open: &str, close: &str| format!("{}{}", open.repeat(100_000), close.repeat(100_000));
    assert_eq!(answer(&chain, nested("[", "]")).await[0]["error"]["code"], -32600);
    let params = nested("[", "]");
    let call = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"eth_call","params":[{params}]}}"#);
    assert_eq!(code(&chain, &call).await, -32602);
}

#[tokio::test]
async fn a_batch_is_answered_in_order_without_its_notifications() {
    let chain = new_chain().await;
    let batch = json!([
        {"jsonrpc": "2.0", "id": "a", "method": "eth_chainId"},
        {"jsonrpc": "2.0", "method": "eth_chainId"},
        7,
        {"jsonrpc": "2.0", "id": null, "method": "net_version"},
    ]);
    let answers = answer(&chain, batch.to_string()).await;
    assert_eq!(
        answers[0],
        json!({"jsonrpc": "2.0", "id": "a", "result": "0x7a69"})
    );
    assert_eq!(answers[1]["error"]["code"], -32600);
    assert_eq!(
        answers[2],
        json!({"jsonrpc": "2.0", "id": null, "result": "31337"})
    );
    assert_eq!(answers.as_array().unwrap().len(), 3);
    assert!(
        chain
            .call(br#"{"jsonrpc":"2.0","method":"eth_chainId"}"#)
            .await
            .is_empty()
    );
}

#[tokio::test]
async fn requests_over_the_limits_are_refused() {
    let chain = new_chain().await;
    let large = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{}"}}"#, "x".repeat(3 << 20));
    assert_eq!(code(&chain, &large).await, -32600);
    let many = format!("[{}1]", "1,".repeat(1_000));
    assert_eq!(code(&chain, &many).await, -32600);
    let wide = json!([{"fromBlock": "0x0", "toBlock": "0xffffffffffff"}]);
    assert!(
        call(&chain, "eth_getLogs", wide).await["result"].is_array(),
        "the end is that of the chain"
    );
    let backwards = json!([{"fromBlock": "0x5", "toBlock": "0x1"}]);
    assert_eq!(
        call(&chain, "eth_getLogs", backwards).await["error"]["code"],
        -32602
    );
    let calldata: Bytes = vec![0; 200_000].into();
    let error = send(&chain, &dynamic(0, |tx| tx.input = calldata))
        .await
        .unwrap_err();
    assert!(error.contains("oversized data"), "{error}");
}

#[tokio::test]
async fn an_endless_loop_ends_with_its_gas() {
    let chain = new_chain().await;
    let provider = provider(&chain);
    let deployed = deploy_box(&provider).await;
    let request = TransactionRequest::default()
        .with_to(deployed)
        .with_input(word(1));
    let error = provider.call(request.clone()).await.unwrap_err();
    assert!(error.to_string().contains("out of gas"), "{error}");
    assert!(
        provider
            .estimate_gas(request)
            .await
            .unwrap_err()
            .to_string()
            .contains("gas required exceeds allowance")
    );
    let raw = dynamic(0, |tx| {
        (tx.nonce, tx.to, tx.input, tx.gas_limit) = (1, deployed.into(), word(1), 16_000_000);
    });
    let hash = send(&chain, &raw).await.unwrap();
    let receipt = call(&chain, "eth_getTransactionReceipt", json!([hash])).await;
    assert_eq!(receipt["result"]["status"], "0x0");
}

#[tokio::test]
async fn code_that_calls_itself_for_ever_ends() {
    let chain = new_chain().await;
    // Runtime code: CALL to its own address with all gas and no data.
    let init = bytes!("600980600b6000396000f3600080808080305af1");
    let provider = provider(&chain);
    let receipt =
        super::support::mined(&provider, TransactionRequest::default().with_deploy_code(init)).await;
    let request = TransactionRequest::default().with_to(receipt.contract_address.unwrap());
    // Whatever the result, there is one.
    let _ = provider.call(request).await;
    assert_eq!(provider.get_block_number().await.unwrap(), 1);
}

#[tokio::test]
async fn a_signature_that_was_tampered_with_moves_nothing_of_the_signer() {
    let chain = new_chain().await;
    let raw = transfer(0, 0, Address::repeat_byte(1), coins(1), PRICE);
    for index in raw.len() - 64..raw.len() {
        let mut forged = raw.to_vec();
        forged[index] ^= 0x01;
        // Most recover to somebody else, who has no money.
        assert!(send(&chain, &forged.into()).await.is_err());
    }
    assert_eq!(
        super::support::balance(&chain, Address::repeat_byte(1)).await,
        U256::ZERO
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_request_makes_the_chain_fail(
        bytes in prop::collection::vec(any::<u8>(), 0..200),
        method in prop::sample::select(vec![
            "eth_call", "eth_estimateGas", "eth_getLogs", "eth_feeHistory", "eth_getBlockByNumber",
            "eth_getStorageAt", "eth_sendRawTransaction", "eth_getTransactionReceipt", "eth_getBlockReceipts",
        ]),
        arguments in prop::collection::vec(argument(), 0..4),
    ) {
        tokio::runtime::Runtime::new().unwrap().block_on(async {
            let chain = new_chain().await;
            prop_assert!(answer(&chain, &bytes).await["error"].is_object());
            let request = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": arguments});
            let answer = answer(&chain, request.to_string()).await;
            prop_assert_eq!(&answer["id"], 1);
            prop_assert_ne!(&answer["error"]["code"], -32603);
            Ok(())
        })?;
    }

    #[test]
    fn a_damaged_transaction_never_moves_the_signers_coins(position in any::<prop::sample::Index>(), byte in 1u8.., cut: bool) {
        tokio::runtime::Runtime::new().unwrap().block_on(async {
            let chain = new_chain().await;
            let mut raw = transfer(0, 0, Address::repeat_byte(1), coins(1), PRICE).to_vec();
            let position = position.index(raw.len());
            raw[position] ^= byte;
            if cut {
                raw.truncate(position);
            }
            prop_assert!(send(&chain, &raw.into()).await.is_err());
            Ok(())
        })?;
    }
}

/// Something that a parameter could be, or not.
fn argument() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<u64>().prop_map(|number| json!(number)),
        any::<u64>().prop_map(|number| json!(format!("{number:#x}"))),
        "[a-z0-9]{0,70}".prop_map(|text| json!(text)),
        prop::sample::select(vec!["latest", "pending", "earliest", "safe", "0x0"]).prop_map(|tag| json!(tag)),
        prop::collection::vec(any::<u8>(), 0..64).prop_map(|bytes| json!(Bytes::from(bytes))),
        any::<[u8; 32]>().prop_map(|hash| json!(Bytes::from(hash))),
        any::<u64>().prop_map(
            |number| json!({"to": Address::repeat_byte(3), "gas": format!("{number:#x}"),
            "value": "0x1", "data": "0xff", "fromBlock": format!("{number:#x}"), "maxFeePerGas": "0xffff"})
        ),
        Just(json!([25.0, 75.0])),
    ]
}
