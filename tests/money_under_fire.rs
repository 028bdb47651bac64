//! Money moves exactly once: through kills, and on chains whose blocks take their time.

use std::time::Duration;

use futures::future::join_all;
use reqwest::StatusCode;
use serde_json::{Value, json};
use tempfile::tempdir;

use crate::support::{Anvil, Devnet, FUNDED_KEYS, Node, NodeSetup, SOMEBODY, eventually, process::kill_9};

/// Rounds of load and `kill -9`.
const ROUNDS: u64 = 6;
/// Orders of a round, given at the same time.
const ORDERS: u64 = 16;

/// Sends each order until the node has done it, or is gone.
async fn give(node: &Node, route: &str, round: u64, bodies: &[Value]) {
    let orders = bodies.iter().enumerate().map(|(number, body)| async move {
        let key = format!("round-{round}-order-{number}");
        while let Some((status, answer)) = node.try_order(route, &key, body).await {
            match status {
                StatusCode::OK => return,
                StatusCode::ACCEPTED | StatusCode::SERVICE_UNAVAILABLE => {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                other => panic!("{other}: {answer}"),
            }
        }
    });
    join_all(orders).await;
}

#[tokio::test]
async fn every_transfer_is_made_once_through_kill_9_at_random_moments() {
    let (home, chain) = (tempdir().unwrap(), tempdir().unwrap());
    let devnet = Devnet::start(chain.path()).await;
    let setup = NodeSetup::new(home.path()).on_chain(&devnet.url, FUNDED_KEYS[0]);
    let mut node = setup.start().await;
    let token = node.issue(1_000_000).await;
    for round in 0..ROUNDS {
        let bodies: Vec<Value> = (0..ORDERS)
            .map(|number| node.transfer_to(SOMEBODY, &token, 1 + number))
            .collect();
        let moment = Duration::from_millis(10 + 37 * round);
        tokio::join!(give(&node, "/transfer", round, &bodies), async {
            tokio::time::sleep(moment).await;
            kill_9(node.id()).await;
        });
        node = node.kill().await.start().await;
        // The client does not know what became of its orders, and gives them again.
        give(&node, "/transfer", round, &bodies).await;
        let expected = u128::from((round + 1) * ORDERS * (ORDERS + 1) / 2);
        assert_eq!(node.balance(SOMEBODY, &token).await, expected, "round {round}");
    }
}

#[tokio::test]
async fn every_share_is_paid_for_once_through_kill_9_at_random_moments() {
    const PRICE: u64 = 3;
    let homes = [tempdir().unwrap(), tempdir().unwrap(), tempdir().unwrap()];
    let devnet = Devnet::start(homes[0].path()).await;
    let setup = |n: usize| NodeSetup::new(homes[n + 1].path()).on_chain(&devnet.url, FUNDED_KEYS[n]);
    let mut seller = setup(0).start().await;
    let buyer = setup(1).start().await;
    let token = buyer.issue(1_000_000).await;
    seller.add_token(&token).await;
    buyer.allow(&token, seller.address(), 1_000_000).await;
    for round in 0..ROUNDS {
        let bodies: Vec<Value> = (0..ORDERS)
            .map(|number| {
                json!({
                    "data": format!("round {round} share {number}"), "recipient": buyer.address(),
                    "payment_token": token, "payment_amount": PRICE,
                })
            })
            .collect();
        let moment = Duration::from_millis(10 + 53 * round);
        tokio::join!(share_all(&seller, &bodies), async {
            tokio::time::sleep(moment).await;
            kill_9(seller.id()).await;
        });
        seller = seller.kill().await.start().await;
        share_all(&seller, &bodies).await;
        let expected = u128::from((round + 1) * ORDERS * PRICE);
        assert_eq!(
            buyer.balance(seller.address(), &token).await,
            expected,
            "round {round}"
        );
    }
}

/// Shares until everything is shared, or the node is gone.
async fn share_all(node: &Node, bodies: &[Value]) {
    let shares = bodies.iter().map(|body| async move {
        loop {
            let request = node.request(reqwest::Method::POST, "/share_data").json(body);
            let Ok(response) = request.send().await else {
                return;
            };
            match response.status() {
                StatusCode::CREATED | StatusCode::ACCEPTED => return,
                StatusCode::SERVICE_UNAVAILABLE => tokio::time::sleep(Duration::from_millis(100)).await,
                other => panic!("{other}: {:?}", response.text().await),
            }
        }
    });
    join_all(shares).await;
}

#[tokio::test]
async fn many_transfers_at_once_are_all_made_on_a_chain_with_slow_blocks() {
    const TRANSFERS: u64 = 300;
    let Some(anvil) = Anvil::start(&["--block-time", "2"]).await else {
        return;
    };
    let home = tempdir().unwrap();
    let setup = NodeSetup::new(home.path()).on_chain(&anvil.url, FUNDED_KEYS[0]);
    let node = setup.start().await;
    let token = node.issue(1_000_000).await;
    let bodies: Vec<Value> = (0..TRANSFERS)
        .map(|_| node.transfer_to(SOMEBODY, &token, 1))
        .collect();
    give(&node, "/transfer", 0, &bodies).await;
    assert_eq!(node.balance(SOMEBODY, &token).await, u128::from(TRANSFERS));
    eventually("every transfer is recorded once", || async {
        let (_, page) = node.get("/compliance_history?filters=transfer&limit=1000").await;
        (page["count"] == TRANSFERS).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_transfer_that_a_reorganisation_took_back_is_made_again() {
    let Some(anvil) = Anvil::start(&[]).await else {
        return;
    };
    let home = tempdir().unwrap();
    let setup = NodeSetup::new(home.path())
        .on_chain(&anvil.url, FUNDED_KEYS[0])
        .env("DM_PAYMENTS__PATIENCE_SECS", "2");
    let node = setup.start().await;
    let token = node.issue(1000).await;
    let (status, moved) = node
        .order("/transfer", &node.transfer_to(SOMEBODY, &token, 5))
        .await;
    assert_eq!(status, StatusCode::OK, "{moved}");
    // After the anchor of its event nothing more is sent.
    eventually("the transfer's event is anchored", || async {
        let (_, page) = node.get("/compliance_history?filters=transfer").await;
        page["history"][0]["tx_hash"].is_string().then_some(())
    })
    .await;
    let newest = anvil.rpc("eth_blockNumber", json!([])).await;
    let newest = u64::from_str_radix(newest.as_str().unwrap().trim_start_matches("0x"), 16).unwrap();
    let depth = newest + 1 - moved["block"].as_u64().unwrap();
    anvil.rpc("evm_setAutomine", json!([false])).await;
    anvil.rpc("anvil_reorg", json!([depth, []])).await;
    assert_eq!(
        node.balance(SOMEBODY, &token).await,
        0,
        "the chain has taken it back"
    );
    anvil.rpc("evm_setAutomine", json!([true])).await;
    eventually("the transfer is made again", || async {
        (node.balance(SOMEBODY, &token).await == 5).then_some(())
    })
    .await;
}
