//! A log goes on under its name when another account keeps it.

use std::sync::Arc;

use alloy::primitives::{Address, B256, U256};
use dm_chain::{ClientConfig, EvmClient};
use dm_core::{
    operation::{Operation, OperationId},
    ports::{
        AnchorRequest, Anchors, Chain, ChainError, OperationState, Operations, OperatorHandover, Signer,
        Tokens,
    },
    receipt::Checkpoint,
    token::NATIVE_TOKEN,
};
use dm_testing::{anchors::reference::node_hash, signer::TestSigner};

use crate::support::{
    TestChain, account, client_of, journal,
    money::{PATIENCE, done, issue, mined, pay},
    quick_with,
};

fn signer(n: u8) -> Arc<dyn Signer> {
    Arc::new(TestSigner::new(n))
}

/// The checkpoints of a log of one and of two events.
fn first_and_second() -> (AnchorRequest, AnchorRequest) {
    let leaves = [B256::random(), B256::random()];
    let one = Checkpoint {
        size: 1,
        root: leaves[0],
    };
    let two = Checkpoint {
        size: 2,
        root: node_hash(leaves[0], leaves[1]),
    };
    let first = AnchorRequest {
        previous: None,
        next: one,
        consistency_proof: Vec::new(),
    };
    let second = AnchorRequest {
        previous: Some(one),
        next: two,
        consistency_proof: vec![leaves[1]],
    };
    (first, second)
}

async fn anchor(client: &EvmClient, request: &AnchorRequest) -> Result<(), ChainError> {
    let tx_hash = client.submit_anchor(request).await?;
    client.wait_for_anchor(tx_hash).await.map(|_| ())
}

async fn chains() -> Vec<TestChain> {
    let mut chains = vec![TestChain::embedded().await];
    chains.extend(TestChain::anvil(&[]).await);
    chains.extend(TestChain::anvil(&["--block-time", "1"]).await);
    chains
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_goes_on_under_its_name() {
    for chain in chains().await {
        let (first, second) = first_and_second();
        let client = chain.client(0);
        anchor(&client, &first).await.unwrap();
        client.check_successor(account(1)).await.unwrap();
        client.hand_over(signer(1)).await.unwrap();
        assert_eq!(client.account(), account(1));
        anchor(&client, &second).await.unwrap();
        let head = client.anchor_head(account(0)).await.unwrap().unwrap();
        assert!(client.is_anchored(account(0), &second.next, &head).await.unwrap());
        assert_eq!(client.anchor_head(account(1)).await, Ok(None));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_handed_the_log_over_anchors_it_no_more() {
    for chain in chains().await {
        let (first, second) = first_and_second();
        let (client, stale) = (chain.client(0), chain.client(0));
        anchor(&client, &first).await.unwrap();
        client.hand_over(signer(1)).await.unwrap();
        let refused = anchor(&stale, &second).await.unwrap_err();
        let reason = format!("the log of {} is controlled by {}", account(0), account(1));
        assert_eq!(refused, ChainError::Reverted(reason));
        let stranger = stale.check_successor(account(2)).await.unwrap_err();
        assert!(matches!(stranger, ChainError::Refused(_)), "{stranger}");
        assert!(stale.hand_over(signer(2)).await.is_err());
        anchor(&client, &second).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_without_checkpoint_is_handed_over_too_and_back_again() {
    for chain in chains().await {
        let (first, second) = first_and_second();
        let client = chain.client(0);
        client.hand_over(signer(1)).await.unwrap();
        anchor(&client, &first).await.unwrap();
        client.hand_over(signer(0)).await.unwrap();
        assert_eq!(client.account(), account(0));
        anchor(&client, &second).await.unwrap();
        assert_eq!(client.anchor_head(account(0)).await.unwrap().unwrap().size, 2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_former_account_pays_out_of_its_own_balance_and_an_operation_is_done_once() {
    for chain in chains().await {
        let client = chain.client(0);
        let token = issue(&client).await;
        client.hand_over(signer(1)).await.unwrap();
        let (id, refund) = (OperationId::random(), pay(token, account(5), 7));
        let begun = client.begin_as(account(0), id, &refund).await.unwrap();
        assert!(mined(&client, id).await.succeeded);
        for account in [account(0), account(1)] {
            assert_eq!(client.begin_as(account, id, &refund).await, Ok(begun));
        }
        assert_eq!(client.balance_of(token, account(5)).await, Ok(U256::from(7)));
        let stranger = client.begin_as(account(2), OperationId::random(), &refund).await;
        assert!(matches!(stranger, Err(ChainError::Refused(_))), "{stranger:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hand_over_that_was_mined_is_not_sent_again() {
    let chain = TestChain::embedded().await;
    let (client, restarted) = (chain.client(0), chain.client(0));
    client.hand_over(signer(1)).await.unwrap();
    restarted.hand_over(signer(1)).await.unwrap();
    assert_eq!(restarted.account(), account(1));
    let count = chain
        .ask(
            "eth_getTransactionCount",
            serde_json::json!([account(0), "latest"]),
        )
        .await;
    // The deployment of the contract, and one handover.
    assert_eq!(count, "0x2");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_successor_without_gas_money_is_none() {
    let chain = TestChain::embedded().await;
    let poor = Address::random();
    let refused = chain.client(0).check_successor(poor).await.unwrap_err();
    assert!(
        matches!(refused, ChainError::InsufficientFunds { account, .. } if account == poor),
        "{refused}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_account_before_has_begun_is_done_once_and_by_it() {
    let Some(chain) = TestChain::anvil(&["--block-time", "1"]).await else {
        return;
    };
    let (journal, to) = (journal(), Address::random());
    let over = |n| client_of(chain.connection(), signer(n), journal.clone(), as_log_of_0());
    let client = over(0);
    let ids: Vec<_> = (0..20).map(|_| OperationId::random()).collect();
    for id in &ids {
        client.begin(*id, &pay(NATIVE_TOKEN, to, 1)).await.unwrap();
    }
    client.hand_over(signer(1)).await.unwrap();
    drop(client);

    let restarted = over(1);
    restarted.go_on_with(signer(0));
    for id in &ids {
        restarted.begin(*id, &pay(NATIVE_TOKEN, to, 1)).await.unwrap();
        assert!(mined(&restarted, *id).await.succeeded);
    }
    let new = OperationId::random();
    restarted.begin(new, &pay(NATIVE_TOKEN, to, 1)).await.unwrap();
    let state = restarted.wait(new, PATIENCE).await.unwrap();
    assert!(matches!(state, Some(OperationState::Mined(_))));
    assert_eq!(restarted.native_balance(to).await, Ok(U256::from(21)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_the_account_before_can_still_be_minted() {
    let chain = TestChain::embedded().await;
    let (client, to) = (chain.client(0), Address::random());
    let token = issue(&client).await;
    client.hand_over(signer(1)).await.unwrap();
    let mint = Operation::Mint {
        token,
        to,
        amount: U256::from(5),
    };
    client.check(&mint).await.unwrap();
    assert!(done(&client, &mint).await.unwrap().succeeded);
    assert_eq!(client.balance_of(token, to).await, Ok(U256::from(5)));
}

fn as_log_of_0() -> ClientConfig {
    quick_with(|config| config.log = Some(account(0)))
}
