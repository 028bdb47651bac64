//! Transactions get through, whatever happens to them on the way.

use std::sync::Arc;

use alloy::primitives::{B256, U64};
use dm_chain::{ChainAccess, EvmClient, anchor_contract};
use dm_core::ports::{Anchors, Chain, ChainError};
use dm_testing::{
    anchors::{ReferenceLog, conformance::request},
    signer::TestSigner,
};
use serde_json::json;

use crate::support::{TestChain, account, anvil::Anvil, client_of, journal, quick};

async fn nonce(chain: &TestChain, n: u8) -> u64 {
    let count = chain
        .ask("eth_getTransactionCount", json!([account(n), "latest"]))
        .await;
    serde_json::from_value::<U64>(count).unwrap().to()
}

/// Anchors a log of its own from one size to the next and waits for it.
async fn anchor(client: &EvmClient, from: u64, to: u64) -> B256 {
    let log = ReferenceLog::numbered(20, 1);
    let tx_hash = client.submit_anchor(&request(&log, from, to)).await.unwrap();
    client.wait_for_anchor(tx_hash).await.unwrap().tx_hash
}

#[tokio::test(flavor = "multi_thread")]
async fn two_programs_on_one_key_do_not_get_in_each_others_way() {
    let chain = TestChain::embedded().await;
    let (one, other) = (chain.client(0), chain.client(0));
    anchor(&one, 0, 1).await;
    anchor(&other, 1, 2).await;
    anchor(&one, 2, 3).await;
    anchor(&other, 3, 4).await;
    assert_eq!(nonce(&chain, 0).await, 5, "one deployment and four anchors");
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_that_deploy_at_the_same_time_all_succeed() {
    let chain = TestChain::embedded().await;
    let log = ReferenceLog::numbered(3, 1);
    let anchored = (0..8).map(|n| {
        let (client, log) = (chain.client(n), &log);
        async move {
            let tx_hash = client.submit_anchor(&request(log, 0, 3)).await.unwrap();
            client.wait_for_anchor(tx_hash).await.unwrap()
        }
    });
    for anchor in futures::future::join_all(anchored).await {
        assert_eq!(anchor.contract, anchor_contract());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_without_coins_is_told_what_it_needs() {
    let chain = TestChain::embedded().await;
    anchor(&chain.client(0), 0, 1).await;
    let poor = chain.client(99);
    let log = ReferenceLog::numbered(3, 1);
    let error = poor.submit_anchor(&request(&log, 0, 3)).await.unwrap_err();
    let ChainError::InsufficientFunds {
        account,
        balance,
        needed,
    } = error
    else {
        panic!("{error}");
    };
    assert_eq!(account, poor.account());
    assert!(balance < needed);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_contract_has_the_same_address_everywhere() {
    let log = ReferenceLog::numbered(1, 1);
    let mut chains = vec![TestChain::embedded().await];
    chains.extend(TestChain::anvil(&[]).await);
    chains.extend(TestChain::anvil(&["--chain-id", "5"]).await);
    for chain in chains {
        let client = chain.client(3);
        let tx_hash = client.submit_anchor(&request(&log, 0, 1)).await.unwrap();
        let anchor = client.wait_for_anchor(tx_hash).await.unwrap();
        assert_eq!(anchor.contract, anchor_contract());
        let code = chain
            .ask("eth_getCode", json!([anchor_contract(), "latest"]))
            .await;
        assert!(code.as_str().unwrap().len() > 1000);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_anchor_that_a_reorganisation_removed_can_be_sent_again() {
    let Some(chain) = TestChain::anvil(&[]).await else {
        return;
    };
    let client = chain.client(0);
    anchor(&client, 0, 1).await;
    let lost = anchor(&client, 1, 2).await;
    chain.ask("anvil_reorg", json!([1, []])).await;
    assert_eq!(client.anchor(lost).await, Ok(None));
    let head = client.anchor_head(account(0)).await.unwrap().unwrap();
    assert_eq!(head.size, 1);
    let again = anchor(&client, 1, 2).await;
    let (found, _) = client.anchor(again).await.unwrap().unwrap();
    assert_eq!(found.tx_hash, again);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_the_chain_dropped_is_sent_again() {
    let Some(chain) = TestChain::anvil(&[]).await else {
        return;
    };
    let client = Arc::new(chain.client(0));
    anchor(&client, 0, 1).await;
    chain.ask("evm_setAutomine", json!([false])).await;
    let log = ReferenceLog::numbered(20, 1);
    let tx_hash = client.submit_anchor(&request(&log, 1, 2)).await.unwrap();
    chain.ask("anvil_dropTransaction", json!([tx_hash])).await;
    let waiting = tokio::spawn({
        let client = client.clone();
        async move { client.wait_for_anchor(tx_hash).await }
    });
    while chain
        .ask("eth_getTransactionByHash", json!([tx_hash]))
        .await
        .is_null()
    {
        tokio::task::yield_now().await;
    }
    chain.mine().await;
    assert_eq!(waiting.await.unwrap().unwrap().tx_hash, tx_hash);
}

#[tokio::test(flavor = "multi_thread")]
async fn anchors_that_wait_for_a_block_build_on_each_other() {
    let Some(chain) = TestChain::anvil(&[]).await else {
        return;
    };
    let client = chain.client(0);
    anchor(&client, 0, 1).await;
    chain.ask("evm_setAutomine", json!([false])).await;
    let log = ReferenceLog::numbered(20, 1);
    let mut sent = Vec::new();
    for size in 1..6 {
        sent.push(
            client
                .submit_anchor(&request(&log, size, size + 1))
                .await
                .unwrap(),
        );
    }
    chain.mine().await;
    for tx_hash in sent {
        client.wait_for_anchor(tx_hash).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_base_fee_that_jumps_is_paid() {
    let Some(chain) = TestChain::anvil(&[]).await else {
        return;
    };
    let client = chain.client(0);
    anchor(&client, 0, 1).await;
    chain
        .ask("anvil_setNextBlockBaseFeePerGas", json!(["0x174876e800"]))
        .await;
    chain.mine().await;
    anchor(&client, 1, 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_from_before_eip_1559_is_served_too() {
    let Some(chain) = TestChain::anvil(&["--hardfork", "berlin"]).await else {
        return;
    };
    let tx_hash = anchor(&chain.client(0), 0, 1).await;
    let transaction = chain.ask("eth_getTransactionByHash", json!([tx_hash])).await;
    assert_eq!(transaction["type"], "0x0");
    assert_eq!(transaction["chainId"], "0x7a69");
}

#[tokio::test(flavor = "multi_thread")]
async fn websockets_serve_as_well() {
    let Some(anvil) = Anvil::start(&[]) else {
        return;
    };
    let client = client_of(
        ChainAccess::urls([anvil.websocket_url()]),
        Arc::new(TestSigner::new(0)),
        journal(),
        quick(),
    );
    assert_eq!(client.chain_id().await, Ok(crate::support::CHAIN_ID));
    drop(anvil);
    assert!(matches!(client.chain_id().await, Err(ChainError::Unavailable(_))));
}
