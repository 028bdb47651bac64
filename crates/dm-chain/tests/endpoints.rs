//! Several ways to one chain.

use std::sync::Arc;

use alloy::primitives::U256;
use dm_chain::{
    ChainAccess, EvmClient, SwitchError,
    embedded::{EmbeddedChain, Genesis},
};
use dm_core::{
    ports::{Chain, ChainError},
    token::NATIVE_TOKEN,
};
use dm_testing::{signer::TestSigner, waiting::eventually};
use serde_json::json;

use crate::support::{
    CHAIN_ID, account, client_of,
    fake_node::{FakeNode, Reply},
    journal,
    money::{done, pay},
    quick, quick_with,
};

/// A node with this chain id, on which everybody has so many wei.
async fn node(chain_id: u64, balance: u64) -> FakeNode {
    FakeNode::start(move |method, _| match method {
        "eth_chainId" => Reply::Result(json!(format!("{chain_id:#x}"))),
        "eth_getBalance" => Reply::Result(json!(format!("{balance:#x}"))),
        _ => Reply::Error(-32601, "method not found"),
    })
    .await
}

fn client(urls: &[String]) -> EvmClient {
    client_of(
        ChainAccess::urls(urls),
        Arc::new(TestSigner::new(0)),
        journal(),
        quick(),
    )
}

async fn balance(client: &EvmClient) -> Result<u64, ChainError> {
    client
        .native_balance(account(1))
        .await
        .map(|balance| balance.to())
}

#[tokio::test]
async fn the_next_endpoint_answers_for_one_that_does_not() {
    let (first, second) = (node(CHAIN_ID, 1).await, node(CHAIN_ID, 2).await);
    let client = client(&[first.url(), second.url()]);
    assert_eq!(balance(&client).await, Ok(1));
    for trouble in [429, 500, 503] {
        first.now(move |_, _| Reply::Http(trouble, b"later".to_vec()));
        assert_eq!(balance(&client).await, Ok(2), "{trouble}");
    }
    first.now(|_, _| Reply::Cut);
    assert_eq!(balance(&client).await, Ok(2));
    let report = client.endpoints();
    assert!(
        report[0].problem.is_some() && report[1].problem.is_none(),
        "{report:?}"
    );
    assert!(!report[0].name.contains("http"), "{report:?}");
}

#[tokio::test]
async fn an_endpoint_that_is_silent_costs_one_wait() {
    let (first, second) = (node(CHAIN_ID, 1).await, node(CHAIN_ID, 2).await);
    first.now(|_, _| Reply::Silence);
    let client = client(&[first.url(), second.url()]);
    assert_eq!(balance(&client).await, Ok(2));
    let asked = first.asked();
    for _ in 0..10 {
        assert_eq!(balance(&client).await, Ok(2));
    }
    assert_eq!(first.asked(), asked);
}

#[tokio::test]
async fn an_endpoint_of_another_chain_is_left_out_and_reported() {
    let (wrong, right) = (node(5, 1).await, node(CHAIN_ID, 2).await);
    let config = quick_with(|config| config.chain_id = Some(CHAIN_ID));
    let signer = Arc::new(TestSigner::new(0));
    let client = client_of(
        ChainAccess::urls([wrong.url(), right.url()]),
        signer,
        journal(),
        config,
    );
    assert_eq!(balance(&client).await, Ok(2));
    assert_eq!(wrong.asked_for("eth_getBalance"), 0);
    let problem = client.endpoints()[0].problem.clone().unwrap();
    assert!(problem.contains("chain 5"), "{problem}");
}

#[tokio::test]
async fn a_client_moves_only_to_its_own_chain() {
    let (here, there, wrong) = (node(CHAIN_ID, 1).await, node(CHAIN_ID, 2).await, node(5, 3).await);
    let client = client(&[here.url()]);
    assert_eq!(balance(&client).await, Ok(1));
    let refusal = client.switch(&[there.url(), wrong.url()]).await;
    let wrong_chain = ChainError::WrongChain {
        expected: CHAIN_ID,
        found: 5,
    };
    assert_eq!(refusal, Err(SwitchError::Chain(wrong_chain)));
    let gone = there.url();
    assert!(matches!(
        client.switch(&["ftp://x"]).await,
        Err(SwitchError::Url(_))
    ));
    assert_eq!(balance(&client).await, Ok(1));
    client.switch(&[&gone]).await.unwrap();
    assert_eq!(balance(&client).await, Ok(2));
    drop(there);
    assert!(matches!(
        client.switch(&[&gone]).await,
        Err(SwitchError::Chain(ChainError::Unavailable(_)))
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_queued_goes_on_at_the_new_endpoint() {
    let genesis = Genesis::funding([account(0)]);
    let chain = EmbeddedChain::open(journal(), genesis).await.unwrap();
    // The first endpoint answers, and loses every transaction that it gets.
    let forgetful = forwarding(&chain, |method| method == "eth_sendRawTransaction").await;
    let good = forwarding(&chain, |_| false).await;
    let client = Arc::new(client(&[forgetful.url()]));
    let paying = tokio::spawn({
        let client = client.clone();
        async move { done(&client, &pay(NATIVE_TOKEN, account(7), 5)).await }
    });
    eventually("the first endpoint gets the transaction", async || {
        (forgetful.asked_for("eth_sendRawTransaction") > 0).then_some(())
    })
    .await;
    client.switch(&[good.url()]).await.unwrap();
    assert_eq!(paying.await.unwrap().unwrap().received, U256::from(5));
    assert_eq!(client.native_balance(account(7)).await, Ok(U256::from(5)));
}

/// A node that passes requests on to the embedded chain, but for those that it
/// swallows with a friendly answer.
async fn forwarding(
    chain: &EmbeddedChain,
    swallows: impl Fn(&str) -> bool + Send + Sync + 'static,
) -> FakeNode {
    let forward = crate::support::forward(chain);
    FakeNode::start(move |method, params| match swallows(method) {
        true => Reply::Result(json!(format!("0x{}", "0".repeat(64)))),
        false => forward(method, params),
    })
    .await
}
