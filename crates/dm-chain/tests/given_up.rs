//! Operations that the chain refuses for good, and what comes after them.

use std::sync::Arc;

use alloy::{
    consensus::{Transaction, TxEnvelope, TxLegacy},
    eips::eip2718::Decodable2718,
    primitives::{Address, Bytes, TxKind, U64, U256, hex},
};
use dm_chain::{ChainAccess, EvmClient, embedded::EmbeddedChain};
use dm_core::{
    operation::OperationId,
    ports::{Anchors, Chain, OperationState, Operations},
    token::NATIVE_TOKEN,
};
use dm_testing::{
    anchors::{ReferenceLog, conformance::request},
    signer::TestSigner,
};
use serde_json::{Value, json};

use crate::support::{
    CHAIN_ID, TestChain, account, client_of,
    fake_node::{FakeNode, Reply},
    forward, journal,
    money::{PATIENCE, mined, pay},
    quick,
};

/// Code that answers every call with yes, after it has used 14 million gas in a
/// call of itself that fails; with less gas it fails.
const BURNER: [u8; 44] = hex!(
    "333014602a57" // who calls itself ends
    "62da33605a10602a57" // and who has less than 14.3 million gas
    "600060006000600060003062d59f80f150" // 14 million for a call of itself
    "600160005260206000f3" // yes
    "5bfe"
);
/// What the chain of these tests takes at most.
const CAP: u64 = 10_000_000;
/// What a transaction costs at least on a chain that charges more than Ethereum.
const INTRINSIC: u64 = 40_000;

/// Deploys the code for the test account 9.
async fn deploy_burner(chain: &TestChain) -> Address {
    let header = [
        0x60,
        BURNER.len() as u8,
        0x60,
        12,
        0x60,
        0,
        0x39,
        0x60,
        BURNER.len() as u8,
        0x60,
        0,
        0xf3,
    ];
    let signer = TestSigner::new(9);
    let transaction = TxLegacy {
        chain_id: Some(CHAIN_ID),
        nonce: 0,
        gas_price: 100_000_000_000,
        gas_limit: 200_000,
        to: TxKind::Create,
        value: U256::ZERO,
        input: Bytes::from([header.as_slice(), &BURNER].concat()),
    };
    chain.send_signed(&signer, transaction).await;
    let burner = account(9).create(0);
    while chain.ask("eth_getCode", json!([burner, "latest"])).await == json!("0x") {
        tokio::task::yield_now().await;
    }
    burner
}

async fn anchors_go_on(client: &EvmClient) {
    let log = ReferenceLog::numbered(20, 1);
    let tx_hash = client.submit_anchor(&request(&log, 0, 5)).await.unwrap();
    client.wait_for_anchor(tx_hash).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_fits_into_a_transaction_is_not_refused_for_its_reserve() {
    let chain = TestChain::embedded().await;
    let (burner, client) = (deploy_burner(&chain).await, chain.client(0));
    let id = OperationId::random();
    client.begin(id, &pay(burner, account(5), 1)).await.unwrap();
    let mined = mined(&client, id).await;
    assert!(mined.succeeded && mined.received == U256::ZERO, "{mined:?}");
    anchors_go_on(&client).await;
}

/// An endpoint that refuses large transactions, as a chain with a lower cap does,
/// and those with too little gas.
async fn with_limits(chain: &EmbeddedChain, least: u64) -> FakeNode {
    let forward = forward(chain);
    FakeNode::start(move |method, params| match gas_limit(method, params) {
        Some(limit) if limit > CAP => Reply::Error(-32000, "transaction gas limit too high"),
        Some(limit) if limit < least => Reply::Error(-32000, "intrinsic gas too low"),
        _ => forward(method, params),
    })
    .await
}

fn gas_limit(method: &str, params: &Value) -> Option<u64> {
    if method != "eth_sendRawTransaction" {
        return None;
    }
    let raw: Bytes = serde_json::from_value(params[0].clone()).unwrap();
    Some(TxEnvelope::decode_2718_exact(&raw).unwrap().gas_limit())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_chain_refuses_for_good_fails_with_the_reason_and_what_comes_after_goes_on() {
    for restarts in [false, true] {
        let chain = TestChain::embedded().await;
        let burner = deploy_burner(&chain).await;
        let node = with_limits(chain.guard.downcast_ref().unwrap(), 0).await;
        let journal = journal();
        let client = || {
            let signer = Arc::new(TestSigner::new(0));
            client_of(ChainAccess::urls([node.url()]), signer, journal.clone(), quick())
        };
        let (refused, paid, to) = (OperationId::random(), OperationId::random(), Address::random());
        let mut running = client();
        let tx_hash = running.begin(refused, &pay(burner, to, 1)).await.unwrap();
        running.begin(paid, &pay(NATIVE_TOKEN, to, 5)).await.unwrap();
        if restarts {
            drop(running);
            running = client();
        }
        let state = running.wait(refused, PATIENCE).await.unwrap().unwrap();
        let OperationState::Refused {
            tx_hash: told,
            reason,
            ..
        } = state
        else {
            panic!("{state:?}");
        };
        assert!(reason.contains("gas limit too high"), "{reason}");
        assert_eq!(told, tx_hash);
        assert!(mined(&running, paid).await.succeeded);
        assert_eq!(running.native_balance(to).await, Ok(U256::from(5)));
        anchors_go_on(&running).await;
        // Nobody can bring it in afterwards: its nonce is used up.
        let count: U64 = serde_json::from_value(
            chain
                .ask("eth_getTransactionCount", json!([account(0), "latest"]))
                .await,
        )
        .unwrap();
        assert!(count >= U64::from(4), "{count}");
        let receipt = chain.ask("eth_getTransactionReceipt", json!([tx_hash])).await;
        assert!(receipt.is_null(), "{receipt}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_given_up_makes_room_on_a_chain_where_every_transaction_costs_more_gas() {
    let chain = TestChain::embedded().await;
    let burner = deploy_burner(&chain).await;
    let node = with_limits(chain.guard.downcast_ref().unwrap(), INTRINSIC).await;
    let signer = Arc::new(TestSigner::new(0));
    let client = client_of(ChainAccess::urls([node.url()]), signer, journal(), quick());
    let refused = OperationId::random();
    client.begin(refused, &pay(burner, account(5), 1)).await.unwrap();
    let state = client.wait(refused, PATIENCE).await.unwrap().unwrap();
    assert!(matches!(state, OperationState::Refused { .. }), "{state:?}");
    anchors_go_on(&client).await;
}
