//! Operations on a real node whose mempool and blocks the test controls.

use std::{sync::Arc, time::Duration};

use alloy::{
    consensus::TxLegacy,
    primitives::{Address, B256, Bytes, TxKind, U64, U256},
};
use dm_chain::{ClientConfig, EvmClient};
use dm_core::{
    operation::OperationId,
    ports::{Chain, ChainError, OperationState, Operations},
    token::NATIVE_TOKEN,
};
use dm_testing::signer::TestSigner;
use serde_json::{Value, json};

use crate::support::{
    CHAIN_ID, TestChain, account, client_of, journal,
    money::{mined, pay},
    quick, quick_with,
};

/// An anvil that mines when it is told to.
async fn controlled() -> Option<TestChain> {
    let chain = TestChain::anvil(&[]).await?;
    chain.ask("evm_setAutomine", json!([false])).await;
    Some(chain)
}

fn config() -> ClientConfig {
    quick_with(|config| {
        config.confirmations = 3;
        config.replace_after = Duration::from_secs(1);
    })
}

async fn begun(client: &EvmClient, to: Address) -> (OperationId, B256) {
    let id = OperationId::random();
    let hash = client.begin(id, &pay(NATIVE_TOKEN, to, 5)).await.unwrap();
    (id, hash)
}

async fn received(client: &EvmClient, to: Address) -> U256 {
    client.native_balance(to).await.unwrap()
}

/// Mines until the operation is mined, and returns its hash.
async fn mine_until_mined(chain: &TestChain, client: &EvmClient, id: OperationId) -> B256 {
    for _ in 0..200 {
        chain.mine().await;
        match client.wait(id, Duration::from_millis(100)).await.unwrap() {
            Some(OperationState::Mined(mined)) => return mined.tx_hash,
            Some(OperationState::Pending { .. }) => {}
            other => panic!("not going on: {other:?}"),
        }
    }
    panic!("never mined");
}

/// Another program with the key of the test account 0 sends a transaction.
async fn foreign(chain: &TestChain, nonce: u64) -> B256 {
    let transaction = TxLegacy {
        chain_id: Some(CHAIN_ID),
        nonce,
        gas_price: 100_000_000_000,
        gas_limit: 21_000,
        to: TxKind::Call(account(9)),
        value: U256::ONE,
        input: Bytes::new(),
    };
    chain.send_signed(&TestSigner::new(0), transaction).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_mempool_dropped_is_sent_again() {
    let Some(chain) = controlled().await else {
        return;
    };
    let (client, to) = (chain.client_with(0, config()), Address::random());
    let (id, hash) = begun(&client, to).await;
    let (other, _) = begun(&client, to).await;
    chain.ask("anvil_dropTransaction", json!([hash])).await;
    mine_until_mined(&chain, &client, id).await;
    mine_until_mined(&chain, &client, other).await;
    assert_eq!(received(&client, to).await, U256::from(10));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_reorganisation_took_back_is_mined_again() {
    let Some(chain) = controlled().await else {
        return;
    };
    let (client, to) = (chain.client_with(0, config()), Address::random());
    let (id, hash) = begun(&client, to).await;
    assert_eq!(mine_until_mined(&chain, &client, id).await, hash);
    chain.ask("anvil_reorg", json!([1, []])).await;
    assert_eq!(received(&client, to).await, U256::ZERO);
    let state = client.state(id).await;
    assert_eq!(state, Ok(Some(OperationState::Pending { tx_hash: hash })));
    assert_eq!(mine_until_mined(&chain, &client, id).await, hash);
    assert_eq!(received(&client, to).await, U256::from(5));
    for _ in 0..3 {
        chain.mine().await;
    }
    assert!(mined(&client, id).await.is_final || is_final(&client, id).await);
    client.conclude(id).await.unwrap();
    assert_eq!(client.state(id).await, Ok(None));
}

async fn is_final(client: &EvmClient, id: OperationId) -> bool {
    matches!(client.state(id).await, Ok(Some(OperationState::Mined(mined))) if mined.is_final)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stuck_transaction_is_replaced_when_the_price_has_risen() {
    let Some(chain) = controlled().await else {
        return;
    };
    let (client, to) = (chain.client_with(0, config()), Address::random());
    let (id, hash) = begun(&client, to).await;
    // Two transactions bear the nonce then, and one of them is mined.
    chain
        .ask("anvil_setNextBlockBaseFeePerGas", json!(["0x174876e800"]))
        .await;
    let replacement = mine_until_mined(&chain, &client, id).await;
    assert_ne!(replacement, hash);
    assert_eq!(received(&client, to).await, U256::from(5));
    let count: U64 = serde_json::from_value(
        chain
            .ask("eth_getTransactionCount", json!([account(0), "latest"]))
            .await,
    )
    .unwrap();
    assert_eq!(count, U64::from(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn gas_above_the_ceiling_is_refused_and_both_are_named() {
    let Some(chain) = TestChain::anvil(&[]).await else {
        return;
    };
    let mut cheap = config();
    cheap.max_fee_per_gas = 1000;
    let client = chain.client_with(0, cheap);
    let id = OperationId::random();
    let refusal = client.begin(id, &pay(NATIVE_TOKEN, account(5), 1)).await;
    let Err(ChainError::Refused(reason)) = refusal else {
        panic!("{refusal:?}");
    };
    assert!(
        reason.contains("1000 wei") && reason.contains("for each gas"),
        "{reason}"
    );
    assert_eq!(client.state(id).await, Ok(None));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_nonce_that_another_program_used_is_given_up_when_that_is_final() {
    let Some(chain) = controlled().await else {
        return;
    };
    let (client, to) = (chain.client_with(0, config()), Address::random());
    let (id, hash) = begun(&client, to).await;
    chain.ask("anvil_dropTransaction", json!([hash])).await;
    foreign(&chain, 0).await;
    chain.mine().await;
    // The operation is known as it was until nobody can take the other one back.
    let state = client.state(id).await;
    assert_eq!(state, Ok(Some(OperationState::Pending { tx_hash: hash })));
    let again = mine_until_mined(&chain, &client, id).await;
    assert_ne!(again, hash);
    assert_eq!(received(&client, to).await, U256::from(5));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_goes_on_with_what_was_begun() {
    let Some(chain) = controlled().await else {
        return;
    };
    let (journal, to) = (journal(), Address::random());
    let client = || {
        let signer = Arc::new(TestSigner::new(0));
        client_of(chain.rpc.clone(), signer, journal.clone(), config())
    };
    let first = client();
    let mut begun_before = Vec::new();
    for _ in 0..5 {
        begun_before.push(begun(&first, to).await);
    }
    drop(first);
    for (_, hash) in &begun_before[1..] {
        chain.ask("anvil_dropTransaction", json!([hash])).await;
    }
    let second = client();
    for (id, hash) in &begun_before {
        assert_eq!(second.begin(*id, &pay(NATIVE_TOKEN, to, 5)).await, Ok(*hash));
    }
    for (id, hash) in &begun_before {
        assert_eq!(mine_until_mined(&chain, &second, *id).await, *hash);
    }
    assert_eq!(received(&second, to).await, U256::from(25));
}

/// Begins an operation as a caller does: again, where the client says that it has to.
async fn begin_again_and_again(client: &EvmClient, id: OperationId, to: Address) {
    for _ in 0..200 {
        match client.begin(id, &pay(NATIVE_TOKEN, to, 5)).await {
            Ok(_) => return,
            Err(ChainError::Journal(_)) => {}
            Err(error) => panic!("{error}"),
        }
    }
    panic!("never begun");
}

/// Waits as a caller does until the operation is mined.
async fn mined_at_last(client: &EvmClient, id: OperationId) {
    for _ in 0..200 {
        match client.wait(id, Duration::from_secs(10)).await {
            Ok(Some(OperationState::Mined(_))) => return,
            Err(ChainError::Journal(_)) => {}
            other => panic!("not mined: {other:?}"),
        }
    }
    panic!("never mined");
}

#[tokio::test(flavor = "multi_thread")]
async fn instances_with_one_journal_never_use_a_nonce_twice() {
    let chain = TestChain::embedded().await;
    let (journal, to) = (journal(), Address::random());
    let client = || {
        let signer = Arc::new(TestSigner::new(0));
        client_of(chain.rpc.clone(), signer, journal.clone(), quick())
    };
    let instances = [client(), client()];
    let mut begun = Vec::new();
    for _ in 0..8 {
        let ids = [OperationId::random(), OperationId::random()];
        let [first, second] = [0, 1].map(|n| begin_again_and_again(&instances[n], ids[n], to));
        tokio::join!(first, second);
        begun.extend(ids);
    }
    // One that was not asked to begin it knows it as well.
    let last = OperationId::random();
    begin_again_and_again(&instances[0], last, to).await;
    begin_again_and_again(&instances[1], last, to).await;
    begun.push(last);
    for id in &begun {
        mined_at_last(&instances[1], *id).await;
    }
    assert_eq!(received(&instances[1], to).await, U256::from(5 * begun.len()));
    let nonces = chain
        .ask("eth_getTransactionCount", json!([account(0), "latest"]))
        .await;
    assert_eq!(nonces, json!(U64::from(begun.len())));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gap_is_closed() {
    let Some(chain) = controlled().await else {
        return;
    };
    let (client, to) = (chain.client_with(0, config()), Address::random());
    // The node counts a waiting transaction of another program, and then loses it.
    let lost = foreign(&chain, 0).await;
    let (id, _) = begun(&client, to).await;
    chain.ask("anvil_dropTransaction", json!([lost])).await;
    mine_until_mined(&chain, &client, id).await;
    assert_eq!(received(&client, to).await, U256::from(5));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_cannot_pay_begins_nothing() {
    let chain = TestChain::embedded().await;
    let client = chain.client(0);
    let balance = client.native_balance(account(0)).await.unwrap();
    let id = OperationId::random();
    let all = dm_core::operation::Operation::Transfer {
        token: NATIVE_TOKEN,
        to: account(5),
        amount: balance,
    };
    for refusal in [client.check(&all).await.err(), client.begin(id, &all).await.err()] {
        assert!(
            matches!(refusal, Some(ChainError::InsufficientFunds { .. })),
            "{refusal:?}"
        );
    }
    assert_eq!(client.state(id).await, Ok(None));
    let block: Value = chain.ask("eth_blockNumber", json!([])).await;
    assert_eq!(block, json!("0x0"));
}
