//! What narrows an API key: routes, recipients and a budget of bytes; and what
//! becomes of those who try keys.

use std::sync::Arc;

use dm_core::{
    api_key::{Rights, Scope},
    ports::{ApiKeys, NewApiKeyRequest},
};
use dm_testing::waiting::eventually;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use crate::common::{Answer, NO_DATA, OTHER, RECIPIENT, TestConfig, TestNode, start, start_with};

/// Makes a key over HTTP, as an operator does.
async fn make(node: &TestNode, body: Value) -> String {
    let mut body = body;
    body["name"] = json!("narrowed");
    let made = node.post_internal("/api_keys", &body).await;
    assert_eq!(made.status, 201, "{:?}", made.body);
    made.body["key"].as_str().unwrap().to_owned()
}

fn with(node: &TestNode, key: &str, method: Method, path: &str) -> RequestBuilder {
    node.bare(method, &format!("{}{path}", node.external))
        .header("X-API-Key", key)
}

fn inside(node: &TestNode, key: &str, method: Method, path: &str) -> RequestBuilder {
    node.bare(method, &format!("{}{path}", node.internal))
        .header("X-API-Key", key)
}

#[actix_web::test]
async fn a_key_opens_only_the_routes_that_it_names() {
    let node = start().await;
    let hash = node.put(b"hello".to_vec()).await;
    let key = make(
        &node,
        json!({"scopes": ["read"], "routes": ["GET /objects/{data_hash}", "GET /data/{data_hash}"]}),
    )
    .await;
    for (method, path, status) in [
        (Method::GET, format!("/objects/{hash}"), 200),
        (Method::HEAD, format!("/objects/{hash}"), 200),
        (Method::GET, format!("/data/{hash}"), 200),
        (Method::GET, format!("/data/{NO_DATA}"), 404),
        (Method::GET, format!("/receipts/{hash}"), 403),
        (Method::GET, "/compliance_history".to_owned(), 403),
        (Method::GET, format!("/data/{hash}/grants"), 403),
        (Method::DELETE, format!("/data/{hash}"), 403),
    ] {
        let answer = Answer::of(with(&node, &key, method.clone(), &path)).await;
        assert_eq!(answer.status, status, "{method} {path}: {:?}", answer.body);
    }
    let refused = Answer::of(with(&node, &key, Method::GET, "/network/stats")).await;
    refused.is_error(
        403,
        "Forbidden. The API key is not for `GET /network/stats`.",
        None,
    );
    let refused = Answer::of(with(&node, &key, Method::PUT, "/objects")).await;
    refused.is_error(
        403,
        "Forbidden. The API key does not have the scope `share`.",
        None,
    );
}

#[actix_web::test]
async fn a_key_has_data_rights_and_money_go_only_to_its_recipients() {
    let node = start().await;
    let hash = node.put(b"hello".to_vec()).await;
    let key = make(&node, json!({"scopes": ["share"], "recipients": [RECIPIENT]})).await;
    let share = |recipient: &str| {
        with(&node, &key, Method::POST, "/share_data").json(&json!({"data": "x", "recipient": recipient}))
    };
    let put = |recipient: &str| {
        with(
            &node,
            &key,
            Method::PUT,
            &format!("/objects?recipient={recipient}"),
        )
        .body("y")
    };
    let grant = |recipient: &str| {
        let path = format!("/data/{hash}/grants");
        with(&node, &key, Method::POST, &path).json(&json!({"recipient": recipient}))
    };
    for request in [share(RECIPIENT), put(RECIPIENT), grant(&RECIPIENT.to_lowercase())] {
        let answer = Answer::of(request).await;
        assert!(matches!(answer.status, 201 | 202), "{:?}", answer.body);
    }
    let before = node.get("/compliance_history").await.body["count"].clone();
    for request in [share(OTHER), put(OTHER), grant(OTHER)] {
        let sentence = format!("Forbidden. The API key is not for the recipient {OTHER}.");
        Answer::of(request)
            .await
            .is_error(403, &sentence, Some("recipient"));
    }
    assert_eq!(node.get("/compliance_history").await.body["count"], before);

    let money = make(
        &node,
        json!({
            "scopes": ["admin"],
            "routes": ["POST /transfer", "POST /tokens/{address}/mint", "POST /tokens/{address}/approve"],
            "recipients": [RECIPIENT],
        }),
    )
    .await;
    for (path, field) in [
        ("/transfer".to_owned(), "to"),
        (format!("/tokens/{OTHER}/mint"), "to"),
        (format!("/tokens/{OTHER}/approve"), "spender"),
    ] {
        let body = json!({
            "from": node.address.to_string(), "to": OTHER, "spender": OTHER, "amount": "1", "token": OTHER,
        });
        let answer = Answer::of(inside(&node, &money, Method::POST, &path).json(&body)).await;
        let sentence = format!("Forbidden. The API key is not for the {field} {OTHER}.");
        answer.is_error(403, &sentence, Some(field));
    }
}

#[actix_web::test]
async fn a_narrowed_key_makes_no_keys() {
    let node = start().await;
    for narrow in [
        json!({"routes": ["GET /api_keys"]}),
        json!({"bytes_budget": 1_000_000}),
    ] {
        let mut body = narrow;
        body["scopes"] = json!(["admin"]);
        let key = make(&node, body).await;
        let asked = json!({"name": "wide", "scopes": ["admin"]});
        let answer = Answer::of(inside(&node, &key, Method::POST, "/api_keys").json(&asked)).await;
        assert_eq!(answer.status, 403, "{:?}", answer.body);
        let list = Answer::of(inside(&node, &key, Method::GET, "/api_keys")).await;
        assert_eq!(list.status, 200);
    }
}

#[actix_web::test]
async fn what_cannot_narrow_a_key_is_refused_with_its_field() {
    let node = start().await;
    let too_many: Vec<String> = (0..101).map(|n| format!("0x{n:040x}")).collect();
    for (narrow, field, reason) in [
        (
            json!({"routes": "GET /objects"}),
            "routes",
            "must be a list of names",
        ),
        (json!({"routes": ["/objects"]}), "routes", "method and path"),
        (json!({"routes": ["GET /none"]}), "routes", "does not serve"),
        (json!({"routes": ["GET /health"]}), "routes", "needs no key"),
        (
            json!({"routes": ["POST /transfer"]}),
            "routes",
            "needs the scope admin",
        ),
        (
            json!({"recipients": ["0x12"]}),
            "recipients",
            "valid Ethereum address",
        ),
        (json!({"recipients": 5}), "recipients", "must be a list of names"),
        (json!({"recipients": too_many}), "recipients", "at most 100"),
        (
            json!({"scopes": ["admin"], "recipients": [RECIPIENT]}),
            "recipients",
            "need routes",
        ),
        (json!({"bytes_budget": 0}), "bytes_budget", "from 1 to"),
        (json!({"bytes_budget": -1}), "bytes_budget", "number of bytes"),
        (json!({"bytes_budget": "much"}), "bytes_budget", "number of bytes"),
        (json!({"bytes_budget": u64::MAX}), "bytes_budget", "from 1 to"),
    ] {
        let mut body = json!({"name": "n", "scopes": ["share"]});
        body.as_object_mut()
            .unwrap()
            .extend(narrow.as_object().unwrap().clone());
        let answer = node.post_internal("/api_keys", &body).await;
        assert_eq!(
            (answer.status, &answer.body["field"]),
            (422, &json!(field)),
            "{body}"
        );
        let sentence = answer.body["error"].as_str().unwrap();
        assert!(sentence.contains(reason), "{sentence}");
    }
}

async fn usage(node: &TestNode, key: &str) -> Value {
    let id = key.split('_').nth(1).unwrap();
    let list = node.get_internal("/api_keys").await;
    let keys = list.body["api_keys"].as_array().unwrap();
    keys.iter().find(|listed| listed["id"] == id).unwrap().clone()
}

#[actix_web::test]
async fn the_list_shows_what_narrows_a_key_and_what_it_was_used_for() {
    let node = start().await;
    let hash = node.put(vec![7; 1000]).await;
    let key = make(
        &node,
        json!({
            "scopes": ["share", "read"],
            "routes": ["GET /objects/{data_hash}"],
            "recipients": [RECIPIENT.to_lowercase()],
            "bytes_budget": 5000,
        }),
    )
    .await;
    let listed = usage(&node, &key).await;
    assert_eq!(listed["routes"], json!(["GET /objects/{data_hash}"]));
    assert_eq!(listed["recipients"], json!([RECIPIENT]));
    assert_eq!(listed["bytes_budget"], 5000);
    assert_eq!(listed["bytes_used"], 0);
    assert_eq!(listed["last_used_at"], Value::Null);
    let answer = with(&node, &key, Method::GET, &format!("/objects/{hash}"));
    assert_eq!(answer.send().await.unwrap().bytes().await.unwrap().len(), 1000);
    let listed = usage(&node, &key).await;
    assert_eq!(listed["bytes_used"], 1000);
    assert!(listed["last_used_at"].is_u64());
}

#[actix_web::test]
async fn a_budget_counts_what_comes_in_and_what_goes_out() {
    let node = start().await;
    let hash = node.put(vec![7; 300_000]).await;
    let key = make(
        &node,
        json!({"scopes": ["share", "read"], "bytes_budget": 1_000_000}),
    )
    .await;
    let get = || with(&node, &key, Method::GET, &format!("/objects/{hash}"));
    for used in [300_000, 600_000] {
        assert_eq!(get().send().await.unwrap().bytes().await.unwrap().len(), 300_000);
        assert_eq!(usage(&node, &key).await["bytes_used"], used);
    }
    // A part, and a look at the head, count as what they are.
    let part = get().header("Range", "bytes=0-99999").send().await.unwrap();
    assert_eq!(part.bytes().await.unwrap().len(), 100_000);
    let head = with(&node, &key, Method::HEAD, &format!("/objects/{hash}"))
        .send()
        .await
        .unwrap();
    assert_eq!(head.status(), 200);
    assert_eq!(usage(&node, &key).await["bytes_used"], 700_000);
    let put = with(
        &node,
        &key,
        Method::PUT,
        &format!("/objects?recipient={RECIPIENT}"),
    );
    assert_eq!(Answer::of(put.body(vec![8; 200_000])).await.status, 201);
    let used = usage(&node, &key).await["bytes_used"].as_u64().unwrap();
    assert!((900_001..901_000).contains(&used), "{used}");

    let left = 1_000_000 - used;
    let sentence = format!(
        "Forbidden. What was asked for does not fit: the API key has {left} bytes left of its budget."
    );
    Answer::of(get()).await.is_error(403, &sentence, None);
    let put = with(
        &node,
        &key,
        Method::PUT,
        &format!("/objects?recipient={RECIPIENT}"),
    );
    Answer::of(put.body(vec![9; 200_000]))
        .await
        .is_error(403, &sentence, None);
    assert_eq!(
        usage(&node, &key).await["bytes_used"],
        used,
        "what is refused costs nothing"
    );
    assert_eq!(
        Answer::of(with(&node, &key, Method::GET, "/network/stats"))
            .await
            .status,
        200
    );
}

#[actix_web::test]
async fn a_body_that_does_not_say_how_long_it_is_ends_with_the_budget() {
    let node = start().await;
    let key = make(&node, json!({"scopes": ["share"], "bytes_budget": 250_000})).await;
    let before = node.get("/compliance_history").await.body["count"].clone();
    let pieces = (0..10).map(|_| Ok::<_, std::io::Error>(vec![1_u8; 50_000]));
    let body = reqwest::Body::wrap_stream(futures::stream::iter(pieces));
    let put = with(
        &node,
        &key,
        Method::PUT,
        &format!("/objects?recipient={RECIPIENT}"),
    );
    let answer = Answer::of(put.body(body)).await;
    assert_eq!(answer.status, 403, "{:?}", answer.body);
    let used = usage(&node, &key).await["bytes_used"].as_u64().unwrap();
    assert!(used < 251_000, "what came, and the refusal: {used}");
    assert_eq!(node.get("/compliance_history").await.body["count"], before);
}

#[actix_web::test]
async fn a_used_up_budget_ends_a_key() {
    let node = start().await;
    let key = make(&node, json!({"scopes": ["share"], "bytes_budget": 100})).await;
    let share = || {
        let body = json!({"data": "x", "recipient": RECIPIENT});
        with(&node, &key, Method::POST, "/share_data").json(&body)
    };
    // What was done is answered, though the answer overdraws the budget.
    assert_eq!(Answer::of(share()).await.status, 201);
    let used = usage(&node, &key).await["bytes_used"].as_u64().unwrap();
    assert!(used > 100, "{used}");
    let refused = Answer::of(share()).await;
    assert_eq!(refused.status, 403, "{:?}", refused.body);
    assert!(refused.body["error"].as_str().unwrap().contains("0 bytes left"));
}

async fn guarded(max_wrong: u32) -> TestNode {
    let mut setup = TestConfig::default();
    setup.api_keys.max_wrong = max_wrong;
    setup.external.trusted_proxies = vec![[127, 0, 0, 1].into()];
    start_with(setup).await
}

fn from(node: &TestNode, key: &str, address: &str) -> RequestBuilder {
    with(node, key, Method::GET, "/network/stats").header("X-Forwarded-For", address)
}

#[actix_web::test]
async fn who_tries_keys_has_to_wait_and_is_reported() {
    let node = guarded(3).await;
    let mut statuses = Vec::new();
    for number in 0..8 {
        let guess = format!("dm_{number:012}_{}", "0".repeat(64));
        statuses.push(Answer::of(from(&node, &guess, "10.0.0.1")).await);
    }
    let codes: Vec<u16> = statuses.iter().map(|answer| answer.status).collect();
    assert_eq!(codes, [401, 401, 401, 401, 429, 429, 429, 429]);
    let refused = &statuses[4];
    refused.is_error(429, "Too many wrong API keys came from this address", None);
    assert!(refused.body["retry_after"].as_f64().unwrap() <= 1.0);
    assert_eq!(refused.header("retry-after"), "1");
    // Not even the right key is looked at, unless it is known already.
    assert_eq!(
        Answer::of(from(&node, &node.keys.read, "10.0.0.1")).await.status,
        429
    );
    assert_eq!(
        Answer::of(from(&node, &node.keys.read, "10.0.0.2")).await.status,
        200
    );
    assert_eq!(
        Answer::of(from(&node, &node.keys.read, "10.0.0.1")).await.status,
        200
    );
    let health = Answer::of(node.bare(Method::GET, &format!("{}/health", node.internal))).await;
    assert_eq!(health.body["wrong_api_keys"], 4);
    let events: Vec<Value> = node.bus.history(100).iter().map(|event| json!(event)).collect();
    let reported: Vec<&Value> = events
        .iter()
        .filter(|event| event["type"] == "security.wrong_api_keys")
        .collect();
    assert_eq!(reported.len(), 1, "{events:?}");
    assert_eq!(reported[0]["data"], json!({"address": "10.0.0.1", "attempts": 4}));
}

#[actix_web::test]
async fn a_wait_ends_and_a_request_without_a_key_tries_none() {
    let node = guarded(0).await;
    let bare = |address: &str| {
        node.bare(Method::GET, &format!("{}/network/stats", node.external))
            .header("X-Forwarded-For", address)
    };
    for _ in 0..5 {
        assert_eq!(Answer::of(bare("10.0.0.1")).await.status, 401);
    }
    assert_eq!(Answer::of(from(&node, "dm_wrong", "10.0.0.1")).await.status, 401);
    eventually("the client has waited long enough", async || {
        let answer = Answer::of(from(&node, &node.keys.read, "10.0.0.1")).await;
        assert!([200, 429].contains(&answer.status), "{}", answer.status);
        (answer.status == 200).then_some(())
    })
    .await;
}

#[actix_web::test]
async fn a_revoked_key_that_was_known_counts_as_a_wrong_one() {
    let node = guarded(100).await;
    let request = NewApiKeyRequest {
        name: "n".to_owned(),
        rights: Arc::new(Rights::of([Scope::Read])),
        expires_at: None,
    };
    let made = node.api_keys.create(request).await.unwrap();
    assert_eq!(Answer::of(from(&node, &made.key, "10.0.0.1")).await.status, 200);
    node.api_keys.revoke(&made.record.id).await.unwrap();
    assert_eq!(Answer::of(from(&node, &made.key, "10.0.0.1")).await.status, 401);
    let health = Answer::of(node.bare(Method::GET, &format!("{}/health", node.internal))).await;
    assert_eq!(health.body["wrong_api_keys"], 1);
}
