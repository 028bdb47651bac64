//! Operations through endpoints that answer wrongly, and now and then not at all.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use alloy::primitives::{Address, U256};
use dm_chain::{
    ChainAccess,
    embedded::{EmbeddedChain, Genesis},
};
use dm_core::{
    operation::OperationId,
    ports::{Chain, Operations},
    token::NATIVE_TOKEN,
};
use dm_testing::{signer::TestSigner, waiting::eventually};
use serde_json::{Value, json};

use crate::support::{
    account, client_of,
    fake_node::{FakeNode, Reply},
    journal,
    money::{PATIENCE, pay},
    quick, quick_with,
};

const PAYMENTS: u64 = 30;

/// Whether it is time for trouble again: irregularly, once in so many requests.
/// At regular times it could always meet the same request of a repeated row.
fn now_and_then(number: usize, every: u64) -> bool {
    let mixed = (number as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed >> 32).is_multiple_of(every)
}

/// Pays through a node that passes requests on to the embedded chain, unless
/// `spoil` has another answer to one; the second argument is its number.
async fn all_are_paid(spoil: impl Fn(&str, usize) -> Option<Reply> + Send + Sync + 'static) {
    let genesis = Genesis::funding([account(0)]);
    let chain = EmbeddedChain::open(journal(), genesis).await.unwrap();
    let (asked, forward) = (AtomicUsize::new(0), crate::support::forward(&chain));
    let node = FakeNode::start(move |method, params| {
        let number = asked.fetch_add(1, Ordering::SeqCst);
        spoil(method, number).unwrap_or_else(|| forward(method, params))
    })
    .await;
    let config = quick_with(|config| config.request_timeout = Duration::from_millis(300));
    let signer = Arc::new(TestSigner::new(0));
    let client = client_of(ChainAccess::urls([node.url()]), signer, journal(), config);
    let to = Address::random();
    let ids: Vec<_> = (0..PAYMENTS).map(|_| OperationId::random()).collect();
    let payments = ids.iter().map(|id| async {
        // Whoever hears that the chain is away asks again under the same name.
        eventually("the payment is accepted", async || {
            client.begin(*id, &pay(NATIVE_TOKEN, to, 1)).await.ok()
        })
        .await;
        client.wait(*id, PATIENCE).await.unwrap().unwrap()
    });
    futures::future::join_all(payments).await;
    let direct = client_of(chain.client(), Arc::new(TestSigner::new(1)), journal(), quick());
    assert_eq!(direct.native_balance(to).await, Ok(U256::from(PAYMENTS)));
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_that_pass_cost_time_and_nothing_else() {
    for trouble in [429, 500, 503] {
        all_are_paid(move |_, number| {
            now_and_then(number, 5).then(|| Reply::Http(trouble, b"later".to_vec()))
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn cut_connections_cost_time_and_nothing_else() {
    all_are_paid(|_, number| now_and_then(number, 4).then_some(Reply::Cut)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn silence_costs_time_and_nothing_else() {
    all_are_paid(|method, number| {
        (method != "eth_chainId" && now_and_then(number, 11)).then_some(Reply::Silence)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_costs_time_and_nothing_else() {
    all_are_paid(|_, number| {
        let garbage = [json!(null), json!({"a": []}), json!("0xzz"), json!(-1)];
        now_and_then(number, 5).then(|| Reply::Result(garbage[number % garbage.len()].clone()))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_answers_pay_nothing_twice() {
    let genesis = Genesis::funding([account(0)]);
    let chain = EmbeddedChain::open(journal(), genesis).await.unwrap();
    let forward: Arc<crate::support::Forward> = crate::support::forward(&chain).into();
    all_sends_are_lost(chain, forward).await;
}

/// A node takes every transaction and says nothing.
async fn all_sends_are_lost(chain: EmbeddedChain, forward: Arc<crate::support::Forward>) {
    let node = FakeNode::start(move |method, params| {
        let answer = forward(method, params);
        match method {
            "eth_sendRawTransaction" => Reply::Cut,
            _ => answer,
        }
    })
    .await;
    let signer = Arc::new(TestSigner::new(0));
    let client = client_of(ChainAccess::urls([node.url()]), signer, journal(), quick());
    let to = Address::random();
    for _ in 0..5 {
        let id = OperationId::random();
        for _ in 0..3 {
            client.begin(id, &pay(NATIVE_TOKEN, to, 1)).await.unwrap();
        }
        client.wait(id, PATIENCE).await.unwrap().unwrap();
    }
    let count: Value = serde_json::from_slice(
        &dm_core::ports::JsonRpc::call(
            &chain,
            json!({"jsonrpc": "2.0", "id": 1, "method": "eth_getTransactionCount", "params": [account(0), "latest"]})
                .to_string()
                .as_bytes(),
        )
        .await,
    )
    .unwrap();
    assert_eq!(count["result"], "0x5");
}
