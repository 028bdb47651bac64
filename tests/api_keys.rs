//! API keys that are narrowed, and those who try keys.

use reqwest::{Client, Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use tempfile::tempdir;

use crate::support::{
    Node, NodeSetup, SOMEBODY, bytes,
    http::{Answer, answer},
    node::dm_node,
    process::kill_9,
};

const SOMEBODY_ELSE: &str = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8";

/// Runs `dm-node api-key create`; the key, or what it says.
async fn create(node: &Node, flags: &[&str]) -> Result<String, String> {
    let output = dm_node()
        .args(["api-key", "create", "--name", "narrowed"])
        .args(flags)
        .arg("--data-dir")
        .arg(&node.setup.data_dir)
        .output()
        .await
        .unwrap();
    if output.status.success() {
        Ok(String::from_utf8(output.stdout).unwrap().trim().to_owned())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

/// Sends a request with another key than the node's first one.
async fn send_as(key: &str, request: RequestBuilder) -> Answer {
    let mut request = request.build().unwrap();
    request.headers_mut().insert("X-API-Key", key.parse().unwrap());
    let response = Client::new().execute(request).await.unwrap();
    (response.status(), response.json().await.unwrap_or_default())
}

async fn put(node: &Node, key: &str, data: Vec<u8>, recipient: &str) -> Answer {
    let request = node.request(Method::PUT, &format!("/objects?recipient={recipient}"));
    send_as(key, request.body(data)).await
}

async fn used(node: &Node, key: &str) -> Value {
    let (_, list) = answer(node.internal(Method::GET, "/api_keys")).await;
    let id = key.split('_').nth(1).unwrap();
    let keys = list["api_keys"].as_array().unwrap();
    keys.iter().find(|listed| listed["id"] == id).unwrap().clone()
}

#[tokio::test]
async fn a_narrowed_key_does_nothing_beyond_what_it_is_for() {
    let home = tempdir().unwrap();
    let node = Node::start(&home).await;
    let flags = [
        "--scopes",
        "share",
        "--route",
        "PUT /objects",
        "--recipient",
        SOMEBODY,
    ];
    let key = create(&node, &flags).await.unwrap();
    assert_eq!(
        put(&node, &key, bytes(100, 1), SOMEBODY).await.0,
        StatusCode::CREATED
    );
    let (status, refused) = put(&node, &key, bytes(100, 2), SOMEBODY_ELSE).await;
    assert_eq!(
        (status, &refused["field"]),
        (StatusCode::FORBIDDEN, &json!("recipient"))
    );
    let body = json!({"data": "x", "recipient": SOMEBODY});
    let share = node.request(Method::POST, "/share_data").json(&body);
    assert_eq!(send_as(&key, share).await.0, StatusCode::FORBIDDEN);
    let (_, history) = node.get("/compliance_history").await;
    assert_eq!(history["count"], 1, "{history}");

    for (flags, reason) in [
        (["--scopes", "share", "--route", "GET /objects"], "does not serve"),
        (["--scopes", "share", "--route", "objects"], "method and path"),
        (["--scopes", "share", "--recipient", "0x12"], "Ethereum address"),
        (["--scopes", "share", "--bytes-budget", "10GB"], "number of bytes"),
        (["--scopes", "admin", "--recipient", SOMEBODY], "need routes"),
        (["--scopes", "root", "--expires", "1d"], "is no scope"),
    ] {
        let said = create(&node, &flags).await.unwrap_err();
        assert!(said.contains(reason), "{flags:?}: {said}");
    }
}

#[tokio::test]
async fn a_budget_outlives_kill_9() {
    const MIB: usize = 1 << 20;
    let home = tempdir().unwrap();
    let mut node = Node::start(&home).await;
    let key = create(&node, &["--scopes", "share", "--bytes-budget", "8MiB"])
        .await
        .unwrap();
    let mut stored = 0;
    for round in 0..3 {
        for number in 0..2 {
            let data = bytes(MIB, 10 * round + number);
            let (status, body) = put(&node, &key, data, SOMEBODY).await;
            assert_eq!(status, StatusCode::CREATED, "{body}");
            stored += MIB;
        }
        kill_9(node.id()).await;
        node = node.kill().await.start().await;
        let used = used(&node, &key).await["bytes_used"].as_u64().unwrap() as usize;
        // Each kill may have given back less than a MiB; answers count as well.
        let rounds = round as usize + 1;
        assert!(
            used + rounds * MIB > stored && used < stored + 10_000,
            "{used} of {stored}"
        );
    }
    let (status, refused) = put(&node, &key, bytes(6 * MIB, 99), SOMEBODY).await;
    assert_eq!(status, StatusCode::FORBIDDEN, "{refused}");
    let output = dm_node()
        .args(["api-key", "list", "--data-dir"])
        .arg(home.path())
        .output()
        .await
        .unwrap();
    let list = String::from_utf8(output.stdout).unwrap();
    assert!(list.contains("of 8388608"), "{list}");
}

#[tokio::test]
async fn who_tries_keys_has_to_wait_and_known_clients_do_not() {
    let home = tempdir().unwrap();
    let node = NodeSetup::new(home.path())
        .env("DM_API_KEYS__MAX_WRONG", "2")
        .start()
        .await;
    let mut statuses = Vec::new();
    assert_eq!(node.get("/network/stats").await.0, StatusCode::OK);
    for _ in 0..4 {
        let guess = node.request(Method::GET, "/network/stats");
        statuses.push(send_as("dm_guess", guess).await.0.as_u16());
    }
    assert_eq!(statuses, [401, 401, 401, 429]);
    assert_eq!(node.get("/network/stats").await.0, StatusCode::OK);
    let (_, health) = answer(node.internal(Method::GET, "/health")).await;
    assert_eq!(health["wrong_api_keys"], 3, "{health}");
}
