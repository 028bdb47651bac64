//! Through an alloy provider.

use alloy::{
    eips::BlockId,
    network::TransactionBuilder,
    primitives::{Address, U256, b256, bytes},
    providers::Provider,
    rpc::types::{Filter, TransactionRequest},
};
use dm_chain::embedded::{CREATE2_PROXY, DEV_ACCOUNTS};
use serde_json::{Value, json};

use super::support::{Refused, box_code, call, coins, deploy_box, mined, new_chain, provider, send, word};

#[tokio::test]
async fn a_new_chain_has_the_accounts_and_the_proxy_of_anvil() {
    let chain = new_chain().await;
    let provider = provider(&chain);
    assert_eq!(provider.get_chain_id().await.unwrap(), 31_337);
    assert_eq!(provider.get_block_number().await.unwrap(), 0);
    for account in DEV_ACCOUNTS {
        assert_eq!(provider.get_balance(account).await.unwrap(), coins(10_000));
    }
    assert_eq!(provider.get_code_at(CREATE2_PROXY).await.unwrap().len(), 69);
}

#[tokio::test]
async fn a_transfer_moves_coins_and_costs_the_receipts_gas() {
    let chain = new_chain().await;
    let provider = provider(&chain);
    let to = Address::repeat_byte(7);
    let receipt = mined(
        &provider,
        TransactionRequest::default().with_to(to).with_value(coins(3)),
    )
    .await;
    assert!(receipt.status());
    assert_eq!(receipt.gas_used, 21_000);
    assert_eq!(provider.get_balance(to).await.unwrap(), coins(3));
    let paid = U256::from(receipt.effective_gas_price) * U256::from(21_000);
    assert_eq!(
        provider.get_balance(DEV_ACCOUNTS[0]).await.unwrap(),
        coins(9_997) - paid
    );
    assert_eq!(provider.get_transaction_count(DEV_ACCOUNTS[0]).await.unwrap(), 1);
}

#[tokio::test]
async fn alloys_own_waiting_for_a_receipt_works() {
    let chain = new_chain().await;
    let provider = provider(&chain);
    let request = TransactionRequest::default()
        .with_to(Address::repeat_byte(1))
        .with_value(U256::from(1));
    assert!(
        provider
            .send_transaction(request)
            .await
            .unwrap()
            .get_receipt()
            .await
            .unwrap()
            .status()
    );
}

#[tokio::test]
async fn a_contract_stores_logs_and_answers() {
    let chain = new_chain().await;
    let provider = provider(&chain);
    let deployed = deploy_box(&provider).await;
    let request = TransactionRequest::default()
        .with_to(deployed)
        .with_input(word(42));
    let receipt = mined(&provider, request.clone()).await;
    assert_eq!(receipt.logs().len(), 1);
    assert_eq!(
        provider.get_storage_at(deployed, U256::ZERO).await.unwrap(),
        U256::from(42)
    );
    assert_eq!(provider.call(request).await.unwrap(), word(42));

    let topic = b256!("0x000000000000000000000000000000000000000000000000000000000000002a");
    let found = provider
        .get_logs(
            &Filter::new()
                .address(deployed)
                .event_signature(topic)
                .from_block(0),
        )
        .await
        .unwrap();
    assert_eq!(found, receipt.logs());
    let elsewhere = Filter::new().address(Address::repeat_byte(1)).from_block(0);
    assert!(provider.get_logs(&elsewhere).await.unwrap().is_empty());
}

#[tokio::test]
async fn the_data_of_a_revert_reaches_the_caller() {
    let chain = new_chain().await;
    let provider = provider(&chain);
    let deployed = deploy_box(&provider).await;
    let request = TransactionRequest::default()
        .with_to(deployed)
        .with_input(word(0));
    for error in [
        provider.call(request.clone()).await.unwrap_err(),
        provider.estimate_gas(request).await.unwrap_err(),
    ] {
        let payload = error.as_error_resp().unwrap();
        assert_eq!(payload.code, 3);
        assert_eq!(
            payload.as_decoded_error::<Refused>().unwrap(),
            Refused { code: U256::from(7) }
        );
    }
}

#[tokio::test]
async fn an_estimate_is_enough_and_little_more() {
    let chain = new_chain().await;
    let provider = provider(&chain);
    let deployed = deploy_box(&provider).await;
    for input in [word(5), word(0x00ff_00ff_00ff)] {
        let request = TransactionRequest::default().with_to(deployed).with_input(input);
        let estimate = provider.estimate_gas(request.clone()).await.unwrap();
        let receipt = mined(&provider, request.with_gas_limit(estimate)).await;
        assert!(receipt.status());
        assert!(
            estimate <= receipt.gas_used + receipt.gas_used / 20,
            "{estimate} for {}",
            receipt.gas_used
        );
    }
    let creation = TransactionRequest::default().with_deploy_code(box_code());
    assert!(provider.estimate_gas(creation).await.unwrap() > 53_000);
}

#[tokio::test]
async fn blocks_are_chained_and_found_by_number_and_hash() {
    let chain = new_chain().await;
    let provider = provider(&chain);
    let receipt = mined(
        &provider,
        TransactionRequest::default()
            .with_to(Address::ZERO)
            .with_value(U256::from(1)),
    )
    .await;
    let block = provider
        .get_block(BlockId::number(1))
        .full()
        .await
        .unwrap()
        .unwrap();
    assert_eq!(block.header.hash, block.header.inner.hash_slow());
    assert_eq!(receipt.block_hash, Some(block.header.hash));
    let parent = provider.get_block(BlockId::number(0)).await.unwrap().unwrap();
    assert_eq!(block.header.parent_hash, parent.header.hash);
    assert_eq!(
        provider
            .get_block(block.header.hash.into())
            .full()
            .await
            .unwrap()
            .unwrap(),
        block
    );
    let receipts = provider
        .get_block_receipts(BlockId::latest())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(receipts, [receipt]);
    let transaction = provider
        .get_transaction_by_hash(receipts[0].transaction_hash)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(block.transactions.as_transactions().unwrap(), [transaction]);
}

#[tokio::test]
async fn the_state_of_the_block_before_can_still_be_read() {
    let chain = new_chain().await;
    let provider = provider(&chain);
    let deployed = deploy_box(&provider).await;
    for value in [11, 12, 13] {
        mined(
            &provider,
            TransactionRequest::default()
                .with_to(deployed)
                .with_input(word(value)),
        )
        .await;
    }
    for (block, value) in [(1, 0), (2, 11), (3, 12), (4, 13)] {
        let slot = provider
            .get_storage_at(deployed, U256::ZERO)
            .number(block)
            .await
            .unwrap();
        assert_eq!(slot, U256::from(value), "in block {block}");
    }
}

#[tokio::test]
async fn a_transaction_that_fails_costs_gas_and_leaves_no_log() {
    let chain = new_chain().await;
    let provider = provider(&chain);
    let deployed = deploy_box(&provider).await;
    let request = TransactionRequest::default()
        .with_to(deployed)
        .with_input(word(0))
        .with_gas_limit(100_000);
    let receipt = mined(&provider, request).await;
    assert!(!receipt.status());
    assert!(receipt.logs().is_empty());
    assert!(receipt.gas_used > 21_000);
}

#[tokio::test]
async fn a_call_takes_input_or_data_and_not_two_that_differ() {
    let chain = new_chain().await;
    let deployed = deploy_box(&provider(&chain)).await;
    for method in ["eth_call", "eth_estimateGas"] {
        let ask = async |call_data: Value| {
            let mut request = json!({"to": deployed});
            request
                .as_object_mut()
                .unwrap()
                .extend(call_data.as_object().unwrap().clone());
            call(&chain, method, json!([request, "latest"])).await
        };
        let by_input = ask(json!({"input": word(5)})).await;
        assert!(by_input["result"].is_string(), "{by_input}");
        assert_eq!(ask(json!({"data": word(5)})).await, by_input);
        assert_eq!(ask(json!({"input": word(5), "data": word(5)})).await, by_input);
        let differing = ask(json!({"input": word(5), "data": word(6)})).await;
        let message = differing["error"]["message"].as_str().unwrap();
        assert!(
            message.starts_with("both \"data\" and \"input\" are set and not equal"),
            "{message}"
        );
    }
}

#[tokio::test]
async fn the_usual_transaction_finds_the_proxy_deployed() {
    let chain = new_chain().await;
    let usual = bytes!(
        "f8a58085174876e800830186a08080b853604580600e600039806000f350fe7fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffe03601600081602082378035828234f58015156039578182fd5b8082525050506014600cf31ba02222222222222222222222222222222222222222222222222222222222222222a02222222222222222222222222222222222222222222222222222222222222222"
    );
    let refusal = send(&chain, &usual).await.unwrap_err();
    assert!(refusal.starts_with("nonce too low"), "{refusal}");
    // Its sender has sent it, and is known by the address of what it has deployed.
    let sender: Address = refusal
        .split("address ")
        .nth(1)
        .and_then(|rest| rest.split(',').next())
        .unwrap()
        .parse()
        .unwrap();
    assert_eq!(sender.create(0), CREATE2_PROXY);
    let count = call(&chain, "eth_getTransactionCount", json!([sender, "latest"])).await;
    assert_eq!(count["result"], "0x1");
}
