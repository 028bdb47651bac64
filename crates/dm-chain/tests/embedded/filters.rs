//! Filters that clients poll.

use alloy::primitives::Address;
use serde_json::{Value, json};

use super::support::{call, deploy_box, mined, new_chain, provider, send, transfer, word};
use alloy::{network::TransactionBuilder, rpc::types::TransactionRequest};
use dm_chain::embedded::EmbeddedChain;

const GAS_PRICE: u128 = super::support::PRICE;

async fn installed(chain: &EmbeddedChain, method: &str, params: Value) -> Value {
    let answer = call(chain, method, params).await;
    assert!(answer["result"].is_string(), "{answer}");
    answer["result"].clone()
}

async fn changes(chain: &EmbeddedChain, filter: &Value) -> Vec<Value> {
    let answer = call(chain, "eth_getFilterChanges", json!([filter])).await;
    answer["result"]
        .as_array()
        .unwrap_or_else(|| panic!("{answer}"))
        .clone()
}

#[tokio::test]
async fn a_block_filter_tells_each_block_once() {
    let chain = new_chain().await;
    call(&chain, "evm_mine", json!([])).await;
    let filter = installed(&chain, "eth_newBlockFilter", json!([])).await;
    assert_eq!(changes(&chain, &filter).await, Vec::<Value>::new());
    for _ in 0..3 {
        call(&chain, "evm_mine", json!([])).await;
    }
    let mut expected = Vec::new();
    for number in 2..=4 {
        let block = call(
            &chain,
            "eth_getBlockByNumber",
            json!([format!("{number:#x}"), false]),
        )
        .await;
        expected.push(block["result"]["hash"].clone());
    }
    assert_eq!(changes(&chain, &filter).await, expected);
    assert_eq!(changes(&chain, &filter).await, Vec::<Value>::new());
}

#[tokio::test]
async fn a_log_filter_tells_new_logs_that_it_matches_once_and_all_of_them_when_asked() {
    let chain = new_chain().await;
    let provider = provider(&chain);
    let contract = deploy_box(&provider).await;
    let touch = |value| {
        TransactionRequest::default()
            .with_to(contract)
            .with_input(word(value))
    };
    mined(&provider, touch(11)).await;
    let everything = json!({"fromBlock": "0x0", "address": contract});
    let all = installed(&chain, "eth_newFilter", json!([everything])).await;
    let others = installed(
        &chain,
        "eth_newFilter",
        json!([{"address": Address::repeat_byte(1)}]),
    )
    .await;
    assert_eq!(changes(&chain, &all).await, Vec::<Value>::new());
    mined(&provider, touch(12)).await;
    mined(&provider, touch(13)).await;
    let found = changes(&chain, &all).await;
    let topics: Vec<_> = found.iter().map(|log| log["topics"][0].clone()).collect();
    assert_eq!(topics, [json!(word(12)), json!(word(13))]);
    assert_eq!(changes(&chain, &all).await, Vec::<Value>::new());
    assert_eq!(changes(&chain, &others).await, Vec::<Value>::new());
    let history = call(&chain, "eth_getFilterLogs", json!([all])).await;
    let same = call(&chain, "eth_getLogs", json!([everything])).await;
    assert_eq!(history["result"], same["result"]);
    assert_eq!(history["result"].as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn a_filter_of_pending_transactions_tells_what_is_sent() {
    let chain = new_chain().await;
    let filter = installed(&chain, "eth_newPendingTransactionFilter", json!([])).await;
    let raw = transfer(
        0,
        0,
        Address::repeat_byte(5),
        alloy::primitives::U256::ONE,
        GAS_PRICE,
    );
    let hash = send(&chain, &raw).await.unwrap();
    assert_eq!(changes(&chain, &filter).await, [json!(hash)]);
    assert_eq!(changes(&chain, &filter).await, Vec::<Value>::new());
}

#[tokio::test]
async fn a_filter_that_is_gone_is_not_found() {
    let chain = new_chain().await;
    let filter = installed(&chain, "eth_newBlockFilter", json!([])).await;
    let logs = call(&chain, "eth_getFilterLogs", json!([filter])).await;
    assert_eq!(logs["error"]["message"], "filter not found", "it has no logs");
    assert_eq!(
        call(&chain, "eth_uninstallFilter", json!([filter])).await["result"],
        true
    );
    assert_eq!(
        call(&chain, "eth_uninstallFilter", json!([filter])).await["result"],
        false
    );
    let gone = call(&chain, "eth_getFilterChanges", json!([filter])).await;
    assert_eq!(gone["error"]["message"], "filter not found");
    assert_eq!(gone["error"]["code"], -32000);
}

#[tokio::test(start_paused = true)]
async fn a_filter_that_nobody_polls_for_five_minutes_is_gone() {
    let chain = new_chain().await;
    let polled = installed(&chain, "eth_newBlockFilter", json!([])).await;
    let idle = installed(&chain, "eth_newBlockFilter", json!([])).await;
    for _ in 0..2 {
        tokio::time::advance(std::time::Duration::from_secs(200)).await;
        changes(&chain, &polled).await;
    }
    let gone = call(&chain, "eth_getFilterChanges", json!([idle])).await;
    assert_eq!(gone["error"]["message"], "filter not found");
}

#[tokio::test]
async fn the_number_of_filters_is_bounded() {
    let chain = new_chain().await;
    for _ in 0..1_000 {
        installed(&chain, "eth_newBlockFilter", json!([])).await;
    }
    let one_more = call(&chain, "eth_newBlockFilter", json!([])).await;
    assert_eq!(one_more["error"]["code"], -32005, "{one_more}");
}
