//! Chains that are away, slow, wrong or hostile.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use alloy::primitives::U256;
use dm_chain::{
    ChainAccess, ClientConfig, ClientDeps, EvmClient, InvalidUrl, ReceiptVerifier, anchor_contract,
};
use dm_core::{
    event::NewEvent,
    hash::DataHash,
    ports::{Anchors, Chain, ChainError},
    receipt::{Anchor, Receipt},
};
use dm_testing::{
    anchors::{ReferenceLog, conformance::request},
    signer::TestSigner,
};
use serde_json::{Value, json};

use crate::support::{
    CHAIN_ID, account, client_of,
    fake_node::{FakeNode, Reply},
    journal, quick, quick_with,
};

fn client(url: &str, config: ClientConfig) -> EvmClient {
    client_of(
        ChainAccess::urls([url]),
        Arc::new(TestSigner::new(0)),
        journal(),
        config,
    )
}

/// A node that has the right id, and one coin for everybody.
fn healthy(method: &str, _: &Value) -> Reply {
    match method {
        "eth_chainId" => Reply::Result(json!("0x7a69")),
        "eth_getBalance" => Reply::Result(json!("0x1")),
        _ => Reply::Error(-32601, "method not found"),
    }
}

fn is_unavailable<T>(result: &Result<T, ChainError>) -> bool {
    matches!(result, Err(ChainError::Unavailable(_)))
}

#[tokio::test]
async fn a_chain_that_is_away_is_noticed_and_used_again_when_it_is_back() {
    let node = FakeNode::start(|_, _| Reply::Cut).await;
    let client = client(&node.url(), quick());
    assert!(is_unavailable(&client.native_balance(account(1)).await));
    node.now(healthy);
    assert_eq!(client.native_balance(account(1)).await, Ok(U256::ONE));
    node.now(|_, _| Reply::Cut);
    assert!(is_unavailable(&client.native_balance(account(1)).await));
}

#[tokio::test]
async fn a_closed_port_is_a_chain_that_is_away() {
    let node = FakeNode::start(healthy).await;
    let url = node.url();
    drop(node);
    let client = client(&url, quick());
    assert!(is_unavailable(&client.chain_id().await));
    let log = ReferenceLog::numbered(1, 1);
    assert!(is_unavailable(&client.submit_anchor(&request(&log, 0, 1)).await));
}

#[tokio::test(start_paused = true)]
async fn a_chain_that_never_answers_costs_no_more_than_the_patience() {
    let node = FakeNode::start(|_, _| Reply::Silence).await;
    let config = quick();
    let patience = config.patience;
    let client = client(&node.url(), config);
    let started = tokio::time::Instant::now();
    assert!(is_unavailable(&client.chain_id().await));
    assert!(
        started.elapsed() <= patience * 2,
        "the paused clock went on by {:?}",
        started.elapsed()
    );
}

#[tokio::test]
async fn reads_are_repeated_after_errors_that_pass() {
    for trouble in [429, 500, 503] {
        let asked = AtomicUsize::new(0);
        let node = FakeNode::start(move |method, params| {
            let is_balance = method == "eth_getBalance";
            if is_balance && asked.fetch_add(1, Ordering::SeqCst).is_multiple_of(2) {
                return Reply::Http(trouble, b"later".to_vec());
            }
            healthy(method, params)
        })
        .await;
        let client = client(&node.url(), quick());
        assert_eq!(
            client.native_balance(account(1)).await,
            Ok(U256::ONE),
            "{trouble}"
        );
        assert_eq!(node.asked_for("eth_getBalance"), 2);
    }
}

#[tokio::test]
async fn another_chain_at_the_same_place_is_refused() {
    let node = FakeNode::start(healthy).await;
    let client = client(&node.url(), quick());
    assert_eq!(client.chain_id().await, Ok(CHAIN_ID));
    node.now(|_, _| Reply::Cut);
    assert!(is_unavailable(&client.native_balance(account(1)).await));
    node.now(|method, params| match method {
        "eth_chainId" => Reply::Result(json!("0x1")),
        _ => healthy(method, params),
    });
    let wrong = ChainError::WrongChain {
        expected: CHAIN_ID,
        found: 1,
    };
    assert_eq!(client.native_balance(account(1)).await, Err(wrong.clone()));
    assert_eq!(client.chain_id().await, Err(wrong.clone()));
    node.now(healthy);
    assert_eq!(client.native_balance(account(1)).await, Ok(U256::ONE));
}

#[tokio::test]
async fn a_configured_chain_id_must_be_that_of_the_chain() {
    let node = FakeNode::start(healthy).await;
    let config = quick_with(|config| config.chain_id = Some(5));
    let client = client(&node.url(), config);
    let wrong = ChainError::WrongChain {
        expected: 5,
        found: CHAIN_ID,
    };
    assert_eq!(client.native_balance(account(1)).await, Err(wrong));
}

/// Every method of both ports, and whether each ended in an error.
async fn all_fail(client: &EvmClient) -> bool {
    let log = ReferenceLog::numbered(3, 1);
    let head = dm_core::ports::AnchorHead {
        size: 3,
        block: 1,
        timestamp: 1,
    };
    client.native_balance(account(1)).await.is_err()
        && client.head().await.is_err()
        && client.anchor_head(account(0)).await.is_err()
        && client
            .is_anchored(account(0), &log.checkpoint(3), &head)
            .await
            .is_err()
        && client.submit_anchor(&request(&log, 0, 3)).await.is_err()
        && client.anchor(log.leaf(0)).await.is_err()
        && client.anchor_of_head(account(0), &head).await.is_err()
        && client.proves(&receipt(), log.leaf(0)).await.is_err()
}

fn receipt() -> Receipt {
    let log = ReferenceLog::numbered(3, 1);
    Receipt {
        version: 1,
        event: NewEvent::data_share(DataHash::of(b"x"), account(1)).into_event(account(0), 1),
        leaf_index: 0,
        inclusion_proof: log.inclusion(0, 3),
        checkpoint: log.checkpoint(3),
        anchor: Anchor {
            chain_id: CHAIN_ID,
            contract: anchor_contract(),
            tx_hash: log.leaf(1),
            block: 1,
            timestamp: 1,
        },
    }
}

#[tokio::test]
async fn answers_that_make_no_sense_are_errors_and_nothing_worse() {
    let results = [
        json!(null),
        json!(true),
        json!(-1),
        json!("0x"),
        json!("0xzz"),
        json!("latest"),
        json!([[[[]]]]),
        json!({"number": "0x1", "timestamp": {}, "logs": 3, "status": "0x1"}),
        json!(format!("0x{}", "f".repeat(100_000))),
    ];
    for result in results {
        let answer = result.clone();
        let node = FakeNode::start(move |method, params| match method {
            "eth_chainId" => healthy(method, params),
            _ => Reply::Result(answer.clone()),
        })
        .await;
        let client = client(&node.url(), quick());
        // Nothing at all is an answer to some of the questions, and no digits are read as zero.
        let may_succeed = result.is_null() || result == json!("0x");
        assert!(may_succeed || all_fail(&client).await, "{result}");
        let proves = client.proves(&receipt(), account(0).into_word()).await;
        assert_ne!(proves, Ok(true), "{result}");
    }
}

#[tokio::test]
async fn bytes_that_are_no_json_rpc_are_errors() {
    let bodies: [Vec<u8>; 6] = [
        Vec::new(),
        b"<html>".to_vec(),
        b"{".to_vec(),
        b"[]".to_vec(),
        vec![b'['; 100_000],
        (0..=255).collect(),
    ];
    for body in bodies {
        for status in [200, 404] {
            let answer = body.clone();
            let node = FakeNode::start(move |_, _| Reply::Http(status, answer.clone())).await;
            assert!(all_fail(&client(&node.url(), quick())).await, "{status} {body:?}");
        }
    }
}

#[tokio::test]
async fn an_endless_answer_is_cut_off() {
    let node = FakeNode::start(|method, params| match method {
        "eth_chainId" => healthy(method, params),
        _ => Reply::Http(200, vec![b' '; 64 << 20]),
    })
    .await;
    let result = client(&node.url(), quick()).native_balance(account(1)).await;
    assert_eq!(
        result,
        Err(ChainError::Unavailable("the answer is too long".to_owned()))
    );
    assert_eq!(node.asked_for("eth_getBalance"), 1, "it is not asked for again");
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let elsewhere = FakeNode::start(healthy).await;
    let target = elsewhere.url();
    let node = FakeNode::start(move |_, _| Reply::Redirect(target.clone())).await;
    assert!(client(&node.url(), quick()).chain_id().await.is_err());
    assert_eq!(elsewhere.asked(), 0);
}

#[tokio::test]
async fn no_error_shows_the_key_in_the_url() {
    let node = FakeNode::start(|_, _| Reply::Cut).await;
    let error = client(&format!("{}/v3/SECRET", node.url()), quick())
        .chain_id()
        .await;
    assert!(!error.unwrap_err().to_string().contains("SECRET"));
    let error = EvmClient::start(
        quick(),
        ClientDeps::new(
            ChainAccess::urls(["ftp://host/SECRET"]),
            Arc::new(TestSigner::new(0)),
            journal(),
        ),
    )
    .err();
    assert_eq!(error, Some(InvalidUrl::Scheme("ftp".to_owned())));
}

#[tokio::test]
async fn a_chain_without_deployment_proxy_is_told_so() {
    let node = FakeNode::start(|method, params| match method {
        "eth_getCode" => Reply::Result(json!("0x")),
        _ => healthy(method, params),
    })
    .await;
    let log = ReferenceLog::numbered(1, 1);
    let refusal = client(&node.url(), quick())
        .submit_anchor(&request(&log, 0, 1))
        .await;
    let Err(ChainError::Refused(reason)) = refusal else {
        panic!("{refusal:?}");
    };
    assert!(reason.contains("deployment proxy"), "{reason}");
}

#[tokio::test]
async fn a_verifier_needs_no_account() {
    let node = FakeNode::start(|method, params| match method {
        "eth_call" => Reply::Result(json!(format!("0x{:064x}", 1))),
        _ => healthy(method, params),
    })
    .await;
    let verifier = ReceiptVerifier::new(&quick(), ChainAccess::urls([node.url()])).unwrap();
    assert_eq!(verifier.chain_id().await, Ok(CHAIN_ID));
    assert_eq!(
        verifier.proves(&receipt(), account(0).into_word()).await,
        Ok(true)
    );
    let asked = node.asked();
    verifier.proves(&receipt(), account(0).into_word()).await.unwrap();
    assert_eq!(node.asked(), asked + 1, "one read for each receipt");
}
