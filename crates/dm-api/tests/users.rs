//! `/users`, `/authorization`, and shares that users order.

use dm_core::{clock::now_ms, hash::DataHash, ports::Signer};
use dm_testing::{signer::TestSigner, user_keys::signed};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;

use crate::common::{
    Answer, OTHER, RECIPIENT, TestConfig, TestNode, raw, start, start_with, watched_store::WatchedStore,
};

fn alice() -> TestSigner {
    TestSigner::new(77)
}

async fn strict() -> TestNode {
    let node = start_with(TestConfig {
        authorization_required: true,
        ..TestConfig::default()
    })
    .await;
    let body = json!({"user_id": "alice", "public_key": alice().address().to_string()});
    assert_eq!(node.post_internal("/users", &body).await.status, 201);
    node
}

/// What alice says: that this data is for this recipient.
async fn statement(node: &TestNode, data: &str, recipient: &str) -> Value {
    let context = node.get("/authorization").await;
    assert_eq!(context.status, 200);
    json!({
        "chain_id": context.body["chain_id"],
        "data_hash": DataHash::of(data.as_bytes()),
        "expires_at": now_ms() + 60_000,
        "log": context.body["log"],
        "node_id": context.body["node_id"],
        "payment": null,
        "recipient": recipient.to_lowercase(),
        "statement": context.body["statement"],
        "user_id": "alice",
    })
}

/// The fields of a request that alice orders. Keys of `serde_json` objects are
/// sorted, so that the text is canonical.
fn ordered(body: &Value, statement: &Value) -> Value {
    let text = statement.to_string();
    let mut body = body.clone();
    body["user_id"] = json!("alice");
    body["signature"] = json!(signed(&alice(), &text));
    body["statement"] = json!(text);
    body
}

async fn put(node: &TestNode, data: &str, order: &Value) -> Answer {
    let mut request = node.external(Method::PUT, &format!("/objects?recipient={RECIPIENT}"));
    for (header, field) in [
        ("X-User-Id", "user_id"),
        ("X-User-Statement", "statement"),
        ("X-User-Signature", "signature"),
    ] {
        if let Some(value) = order[field].as_str() {
            request = request.header(header, value);
        }
    }
    Answer::of(request.body(data.to_owned())).await
}

#[actix_web::test]
async fn users_are_added_listed_in_pages_and_removed() {
    let node = start().await;
    let key = alice().address().to_string();
    for id in ["b", "a", "c"] {
        let added = node
            .post_internal(
                "/users",
                &json!({"user_id": id, "public_key": key.to_lowercase()}),
            )
            .await;
        assert_eq!(added.status, 201, "{:?}", added.body);
        assert_eq!(
            (&added.body["user_id"], &added.body["kind"]),
            (&json!(id), &json!("ethereum"))
        );
        assert_eq!(added.body["fingerprint"], key);
    }
    let page = node.get_internal("/users?limit=2").await.body;
    assert_eq!(page["users"][1]["user_id"], "b");
    let rest = node.get_internal("/users?limit=2&cursor=b").await.body;
    assert_eq!(
        (&page["next_cursor"], &rest["next_cursor"]),
        (&json!("b"), &Value::Null)
    );
    assert_eq!(rest["users"].as_array().unwrap().len(), 1);
    let remove = || Answer::of(node.internal(Method::DELETE, "/users/b"));
    assert_eq!(remove().await.status, 200);
    remove().await.is_error(404, "Authorised user not found", None);
    let left = node.get_internal("/users").await.body;
    assert_eq!(left["users"].as_array().unwrap().len(), 2);
}

#[actix_web::test]
async fn what_is_no_user_is_refused_and_the_field_named() {
    let node = strict().await;
    let key = alice().address().to_string();
    for (body, status, field) in [
        (json!({"user_id": "alice", "public_key": key}), 409, "user_id"),
        (json!({"user_id": "al ice", "public_key": key}), 422, "user_id"),
        (json!({"public_key": key}), 422, "user_id"),
        (json!({"user_id": "bob"}), 422, "public_key"),
        (
            json!({"user_id": "bob", "public_key": "rubbish"}),
            422,
            "public_key",
        ),
        (json!({"user_id": 5, "public_key": key}), 422, "user_id"),
    ] {
        let refused = node.post_internal("/users", &body).await;
        assert_eq!(
            (refused.status, refused.body["field"].as_str()),
            (status, Some(field)),
            "{body}"
        );
    }
    for path in ["/users?limit=0", "/users?cursor=a%20b"] {
        assert_eq!(node.get_internal(path).await.status, 422, "{path}");
    }
    assert_eq!(
        node.get_internal("/users").await.body["users"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
}

#[actix_web::test]
async fn users_are_managed_with_the_scope_admin_alone() {
    let node = start().await;
    for key in [&node.keys.share, &node.keys.read] {
        for (method, path) in [
            (Method::GET, "/users"),
            (Method::POST, "/users"),
            (Method::DELETE, "/users/a"),
        ] {
            let request = node
                .bare(method, &format!("{}{path}", node.internal))
                .header("X-API-Key", key);
            assert_eq!(Answer::of(request.json(&json!({}))).await.status, 403);
        }
    }
}

#[actix_web::test]
async fn an_ordered_share_is_made_in_every_way_that_shares_are() {
    let node = strict().await;
    let body = json!({"data": "hello", "recipient": RECIPIENT});
    let order = ordered(&body, &statement(&node, "hello", RECIPIENT).await);
    let shared = node.share(&order).await;
    assert_eq!(shared.status, 201, "{:?}", shared.body);
    let repeated = node.share(&order).await;
    assert_eq!(repeated.body["receipt"], shared.body["receipt"]);

    let uploaded = ordered(&json!({}), &statement(&node, "bytes", RECIPIENT).await);
    assert_eq!(put(&node, "bytes", &uploaded).await.status, 201);

    let hash = shared.body["data_hash"].as_str().unwrap();
    let order = ordered(
        &json!({"recipient": OTHER}),
        &statement(&node, "hello", OTHER).await,
    );
    let granted = Answer::of(
        node.external(Method::POST, &format!("/data/{hash}/grants"))
            .json(&order),
    )
    .await;
    assert_eq!(granted.status, 201, "{:?}", granted.body);

    let history = node.get("/compliance_history").await.body;
    let users: Vec<&Value> = history["history"]
        .as_array()
        .unwrap()
        .iter()
        .map(|line| &line["user_id"])
        .collect();
    assert_eq!(users, ["alice"; 3]);
    let receipt = node
        .get(&format!("/receipts/{hash}?recipient={RECIPIENT}"))
        .await
        .body;
    assert_eq!(receipt["event"]["mandate"]["key"], alice().address().to_string());
}

#[actix_web::test]
async fn where_an_order_is_required_every_way_to_share_refuses_one_that_is_missing() {
    let node = strict().await;
    let body = json!({"data": "hello", "recipient": RECIPIENT});
    let shared = node
        .share(&ordered(&body, &statement(&node, "hello", RECIPIENT).await))
        .await;
    let hash = shared.body["data_hash"].as_str().unwrap();
    let grant = node.external(Method::POST, &format!("/data/{hash}/grants"));
    for refused in [
        node.share(&json!({"data": "x", "recipient": RECIPIENT})).await,
        put(&node, "x", &json!({})).await,
        Answer::of(grant.json(&json!({"recipient": OTHER}))).await,
    ] {
        assert_eq!(refused.status, 401);
        assert_eq!(refused.body["field"], "user_id");
        assert!(
            refused.body["error"]
                .as_str()
                .unwrap()
                .contains("signed statement")
        );
    }
}

#[actix_web::test]
async fn an_order_for_something_else_is_403_and_one_that_nobody_signed_401() {
    let node = strict().await;
    let body = json!({"data": "hello", "recipient": RECIPIENT});
    let good = statement(&node, "hello", RECIPIENT).await;
    for (part, value, sentence) in [
        ("chain_id", json!(1), "statement is for chain 1, not 31337"),
        ("node_id", json!("other"), "statement is for node other, not test"),
        ("user_id", json!("bob"), "statement is for user bob, not alice"),
        (
            "recipient",
            json!(OTHER.to_lowercase()),
            "statement is for recipient",
        ),
        ("data_hash", json!(DataHash::of(b"x")), "statement is for data"),
        ("expires_at", json!(1), "statement has ended"),
        (
            "payment",
            json!({"amount": "1", "token": OTHER.to_lowercase()}),
            "statement is for the payment of 1",
        ),
    ] {
        let mut other = good.clone();
        other[part] = value;
        for refused in [
            node.share(&ordered(&body, &other)).await,
            put(&node, "hello", &ordered(&json!({}), &other)).await,
        ] {
            assert_eq!(
                (refused.status, refused.body["field"].as_str()),
                (403, Some("statement"))
            );
            let error = refused.body["error"].as_str().unwrap();
            assert!(error.starts_with(sentence), "{error}");
        }
    }
    let mut forged = ordered(&body, &good);
    forged["signature"] = json!(signed(&TestSigner::new(78), &good.to_string()));
    let refused = node.share(&forged).await;
    assert_eq!(
        (refused.status, refused.body["field"].as_str()),
        (401, Some("signature"))
    );
    let mut malformed = ordered(&body, &good);
    malformed["signature"] = json!("c2ln");
    let refused = node.share(&malformed).await;
    assert_eq!(
        (refused.status, refused.body["field"].as_str()),
        (422, Some("signature"))
    );
    let mut spaced = ordered(&body, &good);
    spaced["statement"] = json!(format!("{good} "));
    let refused = node.share(&spaced).await;
    assert_eq!(
        (refused.status, refused.body["field"].as_str()),
        (422, Some("statement"))
    );
    assert_eq!(node.get("/compliance_history").await.body["count"], 0);
    assert_eq!(node.share(&ordered(&body, &good)).await.status, 201);
}

#[actix_web::test]
async fn a_removed_user_orders_nothing_from_the_next_request_on() {
    let node = strict().await;
    let body = json!({"data": "hello", "recipient": RECIPIENT});
    let order = ordered(&body, &statement(&node, "hello", RECIPIENT).await);
    assert_eq!(
        Answer::of(node.internal(Method::DELETE, "/users/alice"))
            .await
            .status,
        200
    );
    let refused = node.share(&order).await;
    refused.is_error(
        401,
        "user_id alice is no authorised user of this node",
        Some("user_id"),
    );
}

#[actix_web::test]
async fn an_upload_ends_with_the_user_who_ordered_it() {
    let node = strict().await;
    let statement = statement(&node, "some data", RECIPIENT).await.to_string();
    let head = format!(
        "PUT /objects?recipient={RECIPIENT} HTTP/1.1\r\nHost: x\r\nX-API-Key: {}\r\n\
         Content-Length: 9\r\nX-User-Id: alice\r\nX-User-Statement: {statement}\r\n\
         X-User-Signature: {}\r\n\r\nsome",
        node.keys.share,
        signed(&alice(), &statement),
    );
    let mut socket = raw::connect(&node.external).await;
    socket.write_all(head.as_bytes()).await.unwrap();
    WatchedStore::until(&node.store.writers, |open| *open == 1).await;
    let removed = Answer::of(node.internal(Method::DELETE, "/users/alice")).await;
    assert_eq!(removed.status, 200);
    let answer = raw::read_answer(&mut socket).await;
    assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
    assert!(answer.contains("alice is no authorised user"), "{answer}");
    WatchedStore::until(&node.store.writers, |open| *open == 0).await;
}
