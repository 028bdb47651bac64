//! Several endpoints of one chain, and the way to others.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tempfile::tempdir;

use crate::support::{Anvil, Devnet, FUNDED_KEYS, Gate, NodeSetup, SOMEBODY, eventually, http::answer};

/// Nobody listens there.
const DEAD: &str = "http://127.0.0.1:1";

#[tokio::test]
async fn a_node_whose_first_endpoint_is_dead_uses_the_second() {
    let (home, chain) = (tempdir().unwrap(), tempdir().unwrap());
    let devnet = Devnet::start(chain.path()).await;
    let urls = format!("{DEAD}, {}", devnet.url);
    let node = NodeSetup::new(home.path())
        .on_chain(&urls, FUNDED_KEYS[0])
        .start()
        .await;
    let (status, shared) = node.share("by way of the second", SOMEBODY).await;
    assert_eq!(status, StatusCode::CREATED, "{shared}");
}

#[tokio::test]
async fn a_running_node_moves_to_another_endpoint_with_what_is_queued() {
    let Some(anvil) = Anvil::start(&[]).await else {
        return;
    };
    let home = tempdir().unwrap();
    let node = NodeSetup::new(home.path())
        .on_chain(&anvil.url, FUNDED_KEYS[0])
        .env("DM_PAYMENTS__PATIENCE_SECS", "1")
        .start()
        .await;
    let token = node.issue(1000).await;
    anvil.rpc("evm_setAutomine", json!([false])).await;
    let (status, queued) = node
        .order("/transfer", &node.transfer_to(SOMEBODY, &token, 5))
        .await;
    assert_eq!(status, StatusCode::ACCEPTED, "{queued}");
    let same_chain = anvil.url.replace("127.0.0.1", "localhost");
    let (status, moved) = node
        .order("/blockchain", &json!({"blockchain_url": same_chain}))
        .await;
    assert_eq!(status, StatusCode::OK, "{moved}");
    anvil.rpc("evm_setAutomine", json!([true])).await;
    anvil.rpc("evm_mine", json!([])).await;
    eventually("the queued transfer is made", || async {
        (node.balance(SOMEBODY, &token).await == 5).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_node_does_not_move_to_another_chain_a_poor_account_or_nowhere() {
    let (home, chain) = (tempdir().unwrap(), tempdir().unwrap());
    let devnet = Devnet::start(chain.path()).await;
    let node = NodeSetup::new(home.path())
        .on_chain(&devnet.url, FUNDED_KEYS[0])
        .start()
        .await;
    let mut refusals = vec![
        (json!({"blockchain_url": DEAD}), "blockchain_url"),
        (json!({"blockchain_url": "nonsense"}), "blockchain_url"),
        (
            json!({"blockchain_url": devnet.url, "private_key": "77".repeat(32)}),
            "private_key",
        ),
        (
            json!({"blockchain_url": devnet.url, "private_key": "12"}),
            "private_key",
        ),
    ];
    let other = Anvil::start(&["--chain-id", "1"]).await;
    if let Some(other) = &other {
        refusals.push((json!({"blockchain_url": other.url}), "blockchain_url"));
    }
    for (body, field) in refusals {
        let (status, refused) = node.order("/blockchain", &body).await;
        assert!(status.is_client_error(), "{status} {refused}");
        assert_eq!(refused["field"], field, "{refused}");
    }
    let same = json!({"blockchain_url": devnet.url, "private_key": FUNDED_KEYS[0]});
    let (status, moved) = node.order("/blockchain", &same).await;
    assert_eq!(status, StatusCode::OK, "{moved}");
    assert_eq!(node.share("still here", SOMEBODY).await.0, StatusCode::CREATED);
}

/// Selector of `decimals()`.
const DECIMALS: &str = "313ce567";

#[tokio::test]
async fn a_token_whose_decimals_meet_a_limit_is_not_supported_without_them() {
    let (home, other_home, chain) = (tempdir().unwrap(), tempdir().unwrap(), tempdir().unwrap());
    let devnet = Devnet::start(chain.path()).await;
    let issuer = NodeSetup::new(other_home.path())
        .on_chain(&devnet.url, FUNDED_KEYS[1])
        .start()
        .await;
    let token = issuer.issue(1000).await;
    let gate = Gate::before(&devnet.url);
    let node = NodeSetup::new(home.path())
        .on_chain(&gate.url, FUNDED_KEYS[0])
        .start()
        .await;
    gate.limit(DECIMALS);
    let add = node
        .internal(Method::POST, "/tokens")
        .json(&json!({"address": token}));
    let refused = add.send().await.unwrap();
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(refused.headers().contains_key("retry-after"));
    let body: Value = refused.json().await.unwrap();
    assert!(
        body["error"]
            .as_str()
            .unwrap()
            .contains("daily request count exceeded"),
        "{body}"
    );
    let (_, tokens) = answer(node.internal(Method::GET, "/tokens")).await;
    assert_eq!(tokens["tokens"].as_array().unwrap().len(), 1, "{tokens}");

    gate.open();
    node.add_token(&token).await;
    let refresh = format!("/tokens/{token}/refresh");
    gate.limit(DECIMALS);
    let (status, body) = node.order(&refresh, &json!({})).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{body}");
    gate.open();
    let (status, body) = node.order(&refresh, &json!({})).await;
    assert_eq!((status, &body["decimals"]), (StatusCode::OK, &json!(2)), "{body}");
}

#[tokio::test]
async fn health_tells_of_an_endpoint_that_answers_the_head_alone() {
    let (home, chain) = (tempdir().unwrap(), tempdir().unwrap());
    let devnet = Devnet::start(chain.path()).await;
    let gate = Gate::before(&devnet.url);
    let node = NodeSetup::new(home.path())
        .on_chain(&gate.url, FUNDED_KEYS[0])
        .start()
        .await;
    let (_, healthy) = answer(node.internal(Method::GET, "/health")).await;
    assert_eq!(healthy["components"]["blockchain"], "connected", "{healthy}");
    let hash = node.must_share("verified by a call", SOMEBODY).await;
    gate.limit("eth_call");
    let (status, verified) = node.get(&format!("/verify_data/{hash}")).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{verified}");
    let health = eventually("health tells of the endpoint", || async {
        let (_, health) = answer(node.internal(Method::GET, "/health")).await;
        (health["components"]["blockchain"] == "disconnected").then_some(health)
    })
    .await;
    assert_eq!(health["status"], "degraded", "{health}");
    let part = &health["parts"]["chain"];
    assert_eq!(part["status"], "unhealthy", "{health}");
    let reason = part["reason"].as_str().unwrap();
    let host = gate.url.replace("http://", "");
    assert!(reason.contains(&host) && reason.contains("eth_call"), "{reason}");
    assert!(part["action"].as_str().unwrap().contains("provider"), "{part}");
    gate.open();
    eventually("the chain is used again", || async {
        let (_, health) = answer(node.internal(Method::GET, "/health")).await;
        (health["components"]["blockchain"] == "connected").then_some(())
    })
    .await;
}
