//! Requests of every kind against the running node.

use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};
use tempfile::tempdir;

use crate::support::{Node, NodeSetup, SOMEBODY, bytes, data_hash, eventually, http::answer};

#[tokio::test]
async fn bad_requests_get_a_clear_error_and_change_nothing() {
    let home = tempdir().unwrap();
    let node = Node::start(&home).await;
    let good = data_hash(b"nothing");
    let cases: [(Value, StatusCode, &str); 7] = [
        (
            json!({"data": "", "recipient": SOMEBODY}),
            StatusCode::UNPROCESSABLE_ENTITY,
            "data",
        ),
        (
            json!({"recipient": SOMEBODY}),
            StatusCode::UNPROCESSABLE_ENTITY,
            "data",
        ),
        (
            json!({"data": "x"}),
            StatusCode::UNPROCESSABLE_ENTITY,
            "recipient",
        ),
        (
            json!({"data": "x", "recipient": "0x12"}),
            StatusCode::UNPROCESSABLE_ENTITY,
            "recipient",
        ),
        (
            json!({"data": 7, "recipient": SOMEBODY}),
            StatusCode::UNPROCESSABLE_ENTITY,
            "data",
        ),
        (
            json!({"data": "x", "recipient": "0xF39fd6e51aad88F6F4ce6aB8827279cffFb92266"}),
            StatusCode::UNPROCESSABLE_ENTITY,
            "recipient",
        ),
        (
            json!({"data": "x", "recipient": SOMEBODY, "payment_amount": "5"}),
            StatusCode::UNPROCESSABLE_ENTITY,
            "payment_token",
        ),
    ];
    for (body, expected, field) in cases {
        let (status, reply) = answer(node.request(Method::POST, "/share_data").json(&body)).await;
        assert_eq!(
            (status, reply["field"].as_str()),
            (expected, Some(field)),
            "{body}: {reply}"
        );
    }
    let too_long = json!({"data": "x".repeat(1_048_577), "recipient": SOMEBODY});
    let (status, reply) = answer(node.request(Method::POST, "/share_data").json(&too_long)).await;
    assert!(status.is_client_error(), "{status} {reply}");
    for body in ["", "{", "[1]", "\u{0}"] {
        let request = node
            .request(Method::POST, "/share_data")
            .header("Content-Type", "application/json");
        let (status, reply) = answer(request.body(body)).await;
        assert!(
            status.is_client_error() && reply["error"].is_string(),
            "{body:?}: {status} {reply}"
        );
    }
    for (route, expected) in [
        ("/data/xyz", StatusCode::UNPROCESSABLE_ENTITY),
        (&*format!("/data/{good}"), StatusCode::NOT_FOUND),
        (&*format!("/objects/{good}"), StatusCode::NOT_FOUND),
        ("/no/such/route", StatusCode::NOT_FOUND),
        ("/share_data", StatusCode::METHOD_NOT_ALLOWED),
        (
            "/compliance_history?filters=a%20b",
            StatusCode::UNPROCESSABLE_ENTITY,
        ),
    ] {
        let (status, reply) = node.get(route).await;
        assert_eq!(status, expected, "{route}: {reply}");
        assert!(reply["error"].is_string(), "{route}: {reply}");
    }
    let (_, history) = node.get("/compliance_history").await;
    assert_eq!(history["count"], 0, "{history}");
}

#[tokio::test]
async fn nothing_but_health_and_verification_works_without_a_key() {
    let home = tempdir().unwrap();
    let node = Node::start(&home).await;
    let hash = node.must_share("locked", SOMEBODY).await;
    let client = Client::new();
    for (api, method, route) in [
        (&node.started.external_api, Method::POST, "/share_data".to_owned()),
        (
            &node.started.external_api,
            Method::PUT,
            format!("/objects?recipient={SOMEBODY}"),
        ),
        (&node.started.external_api, Method::GET, format!("/data/{hash}")),
        (
            &node.started.external_api,
            Method::GET,
            format!("/objects/{hash}"),
        ),
        (
            &node.started.external_api,
            Method::GET,
            format!("/receipts/{hash}"),
        ),
        (
            &node.started.external_api,
            Method::GET,
            "/compliance_history".to_owned(),
        ),
        (
            &node.started.external_api,
            Method::GET,
            "/network/peers".to_owned(),
        ),
        (
            &node.started.internal_api,
            Method::GET,
            format!("/balance/{SOMEBODY}"),
        ),
        (&node.started.internal_api, Method::GET, "/tokens".to_owned()),
        (&node.started.internal_api, Method::GET, "/api_keys".to_owned()),
    ] {
        for key in [None, Some("dm_wrong_key")] {
            let mut request = client.request(method.clone(), format!("{api}{route}"));
            if let Some(key) = key {
                request = request.header("X-API-Key", key);
            }
            let (status, body) = answer(request).await;
            assert_eq!(status, StatusCode::UNAUTHORIZED, "{method} {route}");
            assert_eq!(body["error"], "Unauthorized. Provide valid X-API-Key header.");
        }
    }
}

#[tokio::test]
async fn a_key_opens_what_its_scopes_say_and_nothing_after_its_revocation() {
    let home = tempdir().unwrap();
    let mut node = Node::start(&home).await;
    let hash = node.must_share("scoped", SOMEBODY).await;
    let request = node
        .internal(Method::POST, "/api_keys")
        .json(&json!({"name": "reader", "scopes": ["read"]}));
    let (status, made) = answer(request).await;
    assert_eq!(status, StatusCode::CREATED, "{made}");
    let admin = std::mem::replace(
        &mut node.started.api_key,
        made["key"].as_str().unwrap().to_owned(),
    );
    assert_eq!(node.object(&hash).await.0, StatusCode::OK);
    assert_eq!(node.share("no", SOMEBODY).await.0, StatusCode::FORBIDDEN);
    assert_eq!(
        answer(node.internal(Method::GET, "/api_keys")).await.0,
        StatusCode::FORBIDDEN
    );

    let reader = std::mem::replace(&mut node.started.api_key, admin);
    let route = format!("/api_keys/{}", made["id"].as_str().unwrap());
    let (status, body) = answer(node.internal(Method::DELETE, &route)).await;
    assert!(status.is_success(), "{status} {body}");
    node.started.api_key = reader;
    assert_eq!(node.object(&hash).await.0, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn an_idempotency_key_stands_for_one_share() {
    let home = tempdir().unwrap();
    let node = Node::start(&home).await;
    let share = |data: &str| {
        let body = json!({"data": data, "recipient": SOMEBODY});
        answer(
            node.request(Method::POST, "/share_data")
                .header("Idempotency-Key", "order-4711")
                .json(&body),
        )
    };
    let (status, first) = share("the order").await;
    assert_eq!(status, StatusCode::CREATED, "{first}");
    let (status, again) = share("the order").await;
    assert_eq!(
        (status, &again["tx_hash"]),
        (StatusCode::CREATED, &first["tx_hash"])
    );
    let (status, other) = share("another order").await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{other}");
}

#[tokio::test]
async fn too_many_requests_are_told_when_to_come_again() {
    let home = tempdir().unwrap();
    let node = NodeSetup::new(home.path())
        .env("DM_EXTERNAL_API__RATE_LIMIT__PER_SECOND", "1")
        .env("DM_EXTERNAL_API__RATE_LIMIT__BURST", "2")
        .start()
        .await;
    let mut refused = None;
    for _ in 0..5 {
        let response = node.request(Method::GET, "/network/stats").send().await.unwrap();
        if response.status() == StatusCode::TOO_MANY_REQUESTS {
            refused = Some(response);
        }
    }
    let refused = refused.expect("five requests at once are more than two");
    assert!(
        refused.headers()["retry-after"]
            .to_str()
            .unwrap()
            .parse::<u64>()
            .unwrap()
            >= 1
    );
    let body: Value = refused.json().await.unwrap();
    assert_eq!(body["error"], "Rate limit exceeded");
    assert!(body["retry_after"].as_f64().unwrap() > 0.0, "{body}");
    for _ in 0..5 {
        assert_eq!(node.get("/health").await.0, StatusCode::OK);
    }
}

#[tokio::test]
async fn parts_of_an_object_are_what_http_says() {
    let home = tempdir().unwrap();
    let node = Node::start(&home).await;
    let data = bytes(600_000, 5);
    let (status, shared) = node.put(data.clone(), SOMEBODY).await;
    assert_eq!(status, StatusCode::CREATED, "{shared}");
    let route = format!("/objects/{}", shared["data_hash"].as_str().unwrap());
    let head = node.request(Method::HEAD, &route).send().await.unwrap();
    assert_eq!(head.headers()["content-length"], "600000");
    for (range, part) in [
        ("bytes=0-0", &data[..1]),
        ("bytes=262143-262144", &data[262_143..=262_144]),
        ("bytes=599999-", &data[599_999..]),
        ("bytes=-5", &data[599_995..]),
        ("bytes=100-9999999", &data[100..]),
    ] {
        let response = node
            .request(Method::GET, &route)
            .header("Range", range)
            .send()
            .await
            .unwrap();
        assert_eq!(response.status(), StatusCode::PARTIAL_CONTENT, "{range}");
        assert!(response.bytes().await.unwrap() == part, "{range}");
    }
    let response = node
        .request(Method::GET, &route)
        .header("Range", "bytes=600000-")
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), StatusCode::RANGE_NOT_SATISFIABLE);
    assert_eq!(response.headers()["content-range"], "bytes */600000");
}

#[tokio::test]
async fn nothing_secret_and_no_payload_is_in_the_log() {
    let home = tempdir().unwrap();
    let secret = "a payload that nobody else may see";
    let node = NodeSetup::new(home.path())
        .env("DM_LOG__FILTER", "trace")
        .env("DM_LOG__FORMAT", "json")
        .start()
        .await;
    let hash = node.must_share(secret, SOMEBODY).await;
    node.object(&hash).await;
    let api_key = node.started.api_key.clone();
    let password = std::fs::read_to_string(home.path().join("dev-password")).unwrap();
    let (_, _, log) = node.stop().await;
    assert!(log.contains("/share_data"), "the log shows requests");
    for hidden in [secret, api_key.as_str(), password.trim()] {
        assert!(!log.contains(hidden), "the log contains `{hidden}`");
    }
}

#[tokio::test]
async fn the_log_level_changes_while_the_node_runs() {
    let home = tempdir().unwrap();
    let node = Node::start(&home).await;
    let (status, body) = answer(
        node.internal(Method::PUT, "/log_filter")
            .json(&json!({"filter": "debug"})),
    )
    .await;
    assert_eq!(status, StatusCode::OK, "{body}");
    let (_, body) = answer(node.internal(Method::GET, "/log_filter")).await;
    assert_eq!(body["filter"], "debug");
    let (status, _) = answer(
        node.internal(Method::PUT, "/log_filter")
            .json(&json!({"filter": "[[["})),
    )
    .await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
}

#[tokio::test]
async fn a_node_that_is_told_to_stop_is_not_ready_and_serves_on() {
    let home = tempdir().unwrap();
    let node = NodeSetup::new(home.path())
        .env("DM_DRAIN_SECS", "3600")
        .start()
        .await;
    assert_eq!(
        node.get("/readyz").await,
        (StatusCode::OK, json!({"ready": true}))
    );
    node.signal("-TERM").await;
    eventually("it is not ready", async || {
        let (status, _) = node.get("/readyz").await;
        (status == StatusCode::SERVICE_UNAVAILABLE).then_some(())
    })
    .await;
    let (status, internal) = answer(node.internal(Method::GET, "/readyz")).await;
    assert_eq!(
        (status, internal),
        (StatusCode::SERVICE_UNAVAILABLE, json!({"ready": false}))
    );
    assert_eq!(node.get("/livez").await, (StatusCode::OK, json!({"alive": true})));
    node.must_share("while it drains", SOMEBODY).await;
    // Who is in a hurry says it once more.
    let (_, status, errors) = node.stop().await;
    assert!(status.success(), "{status}: {errors}");
}
