//! What may wait for a block, and in which order it is mined.

use alloy::{
    consensus::{SignableTransaction, TxEip7702, TxEnvelope},
    eips::eip2718::Encodable2718,
    network::TxSignerSync,
    primitives::{Address, Bytes, TxKind, U256},
};
use serde_json::json;

use super::support::{PRICE, balance, call, coins, dynamic, new_chain, send, signer, transfer};

const TO: Address = Address::repeat_byte(0xb0);

#[tokio::test]
async fn a_nonce_gap_waits_for_what_is_missing() {
    let chain = new_chain().await;
    for nonce in [2, 1] {
        send(&chain, &transfer(0, nonce, TO, coins(1), PRICE))
            .await
            .unwrap();
    }
    assert_eq!(balance(&chain, TO).await, U256::ZERO);
    send(&chain, &transfer(0, 0, TO, coins(1), PRICE)).await.unwrap();
    call(&chain, "evm_mine", json!([])).await;
    assert_eq!(balance(&chain, TO).await, coins(3));
}

#[tokio::test]
async fn the_pending_count_includes_what_waits_in_sequence() {
    let chain = new_chain().await;
    let account = signer(0).address();
    send(&chain, &transfer(0, 0, TO, coins(1), PRICE)).await.unwrap();
    send(&chain, &transfer(0, 2, TO, coins(1), PRICE)).await.unwrap();
    for tag in ["latest", "pending"] {
        let count = call(&chain, "eth_getTransactionCount", json!([account, tag])).await;
        assert_eq!(count["result"], "0x1");
    }
}

#[tokio::test]
async fn a_waiting_transaction_is_replaced_only_for_ten_percent_more() {
    let chain = new_chain().await;
    send(&chain, &transfer(0, 1, TO, coins(1), 1_000_000_000))
        .await
        .unwrap();
    let error = send(&chain, &transfer(0, 1, TO, coins(2), 1_099_999_999))
        .await
        .unwrap_err();
    assert_eq!(error, "replacement transaction underpriced");
    send(&chain, &transfer(0, 1, TO, coins(2), 1_100_000_000))
        .await
        .unwrap();
    send(&chain, &transfer(0, 0, TO, coins(1), PRICE)).await.unwrap();
    call(&chain, "evm_mine", json!([])).await;
    assert_eq!(balance(&chain, TO).await, coins(3));
}

#[tokio::test]
async fn what_can_never_be_mined_is_refused_in_the_words_of_geth() {
    let chain = new_chain().await;
    let first = transfer(0, 0, TO, coins(1), PRICE);
    send(&chain, &first).await.unwrap();
    let wrong_chain = dynamic(0, |tx| tx.chain_id = 1);
    let cases: [(Bytes, &str); 9] = [
        (first, "nonce too low"),
        (
            transfer(0, 1, TO, coins(10_000), PRICE),
            "insufficient funds for gas * price + value",
        ),
        (
            transfer(0, 1, TO, coins(1), 1),
            "max fee per gas less than block base fee",
        ),
        (wrong_chain, "invalid chain id"),
        (dynamic(0, |tx| tx.gas_limit = 20_999), "intrinsic gas too low"),
        (
            dynamic(0, |tx| tx.gas_limit = 16_777_217),
            "transaction gas limit too high",
        ),
        (
            dynamic(0, |tx| tx.max_priority_fee_per_gas = PRICE + 1),
            "max priority fee per gas higher",
        ),
        (
            dynamic(0, |tx| (tx.gas_limit, tx.input) = (30_000, vec![1; 1_000].into())),
            "gas",
        ),
        (
            dynamic(0, |tx| {
                (tx.to, tx.input) = (TxKind::Create, vec![0; 49_153].into());
            }),
            "max initcode size exceeded",
        ),
    ];
    for (raw, expected) in cases {
        let error = send(&chain, &raw).await.unwrap_err();
        assert!(error.contains(expected), "{error:?} instead of {expected:?}");
    }
}

#[tokio::test]
async fn the_same_transaction_is_taken_once() {
    let chain = new_chain().await;
    let gap = transfer(0, 5, TO, coins(1), PRICE);
    send(&chain, &gap).await.unwrap();
    assert_eq!(send(&chain, &gap).await.unwrap_err(), "already known");
}

#[tokio::test]
async fn blob_and_authorisation_transactions_are_refused() {
    let chain = new_chain().await;
    let mut tx = TxEip7702 {
        chain_id: 31_337,
        gas_limit: 100_000,
        ..TxEip7702::default()
    };
    let signature = signer(0).sign_transaction_sync(&mut tx).unwrap();
    let authorisation: Bytes = TxEnvelope::from(tx.into_signed(signature)).encoded_2718().into();
    let blob: Bytes = [&[3u8][..], &[0xc0; 40]].concat().into();
    for raw in [authorisation, blob] {
        assert_eq!(
            send(&chain, &raw).await.unwrap_err(),
            "transaction type not supported"
        );
    }
}

#[tokio::test]
async fn a_sender_whose_money_ran_out_blocks_nobody_else() {
    let chain = new_chain().await;
    // Both are covered when they are sent, but not one after the other.
    send(&chain, &transfer(0, 1, TO, coins(6_000), PRICE))
        .await
        .unwrap();
    send(&chain, &transfer(0, 0, TO, coins(6_000), PRICE))
        .await
        .unwrap();
    send(&chain, &transfer(1, 0, TO, coins(1), PRICE)).await.unwrap();
    assert_eq!(balance(&chain, TO).await, coins(6_001));
}

#[tokio::test]
async fn the_base_fee_follows_the_use_of_gas() {
    let chain = new_chain().await;
    let fee = |block: serde_json::Value| {
        u64::from_str_radix(&block["result"]["baseFeePerGas"].as_str().unwrap()[2..], 16).unwrap()
    };
    assert_eq!(
        fee(call(&chain, "eth_getBlockByNumber", json!(["0x0", false])).await),
        1_000_000_000
    );
    assert_eq!(call(&chain, "evm_mine", json!([])).await["result"], "0x0");
    assert_eq!(
        fee(call(&chain, "eth_getBlockByNumber", json!(["latest", false])).await),
        875_000_000
    );
}
