//! A chain that begins anew in the place of the one before.

use std::sync::Arc;

use alloy::primitives::{Address, U256};
use dm_chain::{
    AccountHealth, ChainAccess, EvmClient,
    embedded::{EmbeddedChain, Genesis},
};
use dm_core::{
    health::Finding,
    operation::OperationId,
    ports::{Anchors, Chain, HealthCheck, OperationState, Operations},
    receipt::Anchor,
    token::NATIVE_TOKEN,
};
use dm_testing::{
    anchors::{ReferenceLog, conformance::request},
    key_value::MemoryKeyValueStore,
    signer::TestSigner,
    waiting::eventually,
};

use crate::support::{
    account, client_of,
    fake_node::FakeNode,
    forward, journal,
    money::{PATIENCE, mined, pay},
    quick,
};

/// A chain with nothing on it but coins.
async fn empty_chain(timestamp: u64) -> EmbeddedChain {
    let mut genesis = Genesis::funding((0..16).map(account));
    genesis.timestamp = Some(timestamp);
    let store = Arc::new(MemoryKeyValueStore::new());
    EmbeddedChain::open(store, genesis).await.unwrap()
}

async fn anchor(client: &EvmClient) -> Anchor {
    let log = ReferenceLog::numbered(20, 1);
    // What is on its way when the chain is found to be another one is refused.
    eventually("the log is anchored", async || {
        let tx_hash = client.submit_anchor(&request(&log, 0, 5)).await.ok()?;
        client.wait_for_anchor(tx_hash).await.ok()
    })
    .await
}

/// Pays, and tries again as long as the chain is being found out about.
async fn pay_at_last(client: &EvmClient, to: Address, amount: u64) {
    let id = OperationId::random();
    eventually("the payment is accepted", async || {
        client.begin(id, &pay(NATIVE_TOKEN, to, amount)).await.ok()
    })
    .await;
    assert!(mined(client, id).await.succeeded);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_that_begins_anew_is_followed_and_nothing_is_paid_there_again() {
    for restarts in [false, true] {
        let (old, new) = (empty_chain(1_700_000_000).await, empty_chain(1_700_000_001).await);
        let node = FakeNode::start(forward(&old)).await;
        let journal = journal();
        let client = || {
            let signer = Arc::new(TestSigner::new(0));
            client_of(ChainAccess::urls([node.url()]), signer, journal.clone(), quick())
        };
        let (mut running, to, paid) = (client(), Address::random(), OperationId::random());
        running.begin(paid, &pay(NATIVE_TOKEN, to, 5)).await.unwrap();
        assert!(mined(&running, paid).await.succeeded);
        let lost = anchor(&running).await;
        assert_eq!(running.has_lost(&lost).await, Ok(false));

        node.now(forward(&new));
        if restarts {
            drop(running);
            running = client();
        }
        let on_new_chain = async {
            pay_at_last(&running, to, 7).await;
            // It may have been under way when the chain began anew, and come there again.
            while running.anchor(lost.tx_hash).await.unwrap().is_none() {
                if running.has_lost(&lost).await == Ok(true) {
                    anchor(&running).await;
                    break;
                }
                // Blocks that came quickly on the old chain lie in the future of the new one.
                pay_at_last(&running, Address::random(), 1).await;
            }
        };
        tokio::time::timeout(PATIENCE, on_new_chain).await.unwrap();
        assert_eq!(running.native_balance(to).await, Ok(U256::from(7)));
        // What came of the payment on the old chain is known still.
        let state = running.state(paid).await.unwrap();
        assert!(matches!(state, Some(OperationState::Mined(_))), "{state:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_chain_is_told_until_it_is_followed() {
    let (old, new) = (empty_chain(1_700_000_000).await, empty_chain(1_700_000_001).await);
    let node = FakeNode::start(forward(&old)).await;
    let signer = Arc::new(TestSigner::new(0));
    let client = Arc::new(client_of(
        ChainAccess::urls([node.url()]),
        signer,
        journal(),
        quick(),
    ));
    let health = AccountHealth::new(client.clone());
    pay_at_last(&client, account(5), 5).await;
    assert_eq!(health.check().await, Finding::Working);
    node.now(forward(&new));
    let paying = pay_at_last(&client, account(5), 5);
    let told = eventually("the new chain is told", async || match health.check().await {
        Finding::Degraded(trouble) => Some(trouble),
        _ => None,
    });
    let (trouble, ()) = tokio::join!(told, paying);
    assert!(trouble.reason.contains("began anew"), "{trouble:?}");
    assert_eq!(health.check().await, Finding::Working);
}
