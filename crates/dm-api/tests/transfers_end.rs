//! What is under way for a key or a user ends with them, and nobody holds more than a share.

use std::sync::Arc;

use dm_core::{
    api_key::{Rights, Scope},
    clock::now_ms,
    config::UploadsConfig,
    ports::{ApiKeys, NewApiKey, NewApiKeyRequest},
};
use reqwest::Method;
use serde_json::json;
use tokio::{io::AsyncWriteExt, net::TcpStream};

use crate::common::{
    Answer, NO_DATA, RECIPIENT, TestConfig, TestNode, raw, start, start_with, watched_store::WatchedStore,
};

async fn key(node: &TestNode, expires_at: Option<u64>) -> NewApiKey {
    let request = NewApiKeyRequest {
        name: "client".to_owned(),
        rights: Arc::new(Rights::of([Scope::Share, Scope::Read])),
        expires_at,
    };
    node.api_keys.create(request).await.unwrap()
}

/// An upload of which all but the end has come.
async fn upload(node: &TestNode, key: &str) -> TcpStream {
    let mut socket = raw::connect(&node.external).await;
    let head = format!(
        "PUT /objects?recipient={RECIPIENT} HTTP/1.1\r\nHost: x\r\nX-API-Key: {key}\r\n\
         Content-Length: 100\r\n\r\nsome"
    );
    socket.write_all(head.as_bytes()).await.unwrap();
    socket
}

async fn is_gone(node: &TestNode) {
    WatchedStore::until(&node.store.writers, |open| *open == 0).await;
    assert_eq!(node.get("/compliance_history").await.body["count"], 0);
}

#[actix_web::test]
async fn an_upload_ends_with_its_key() {
    let node = start().await;
    let revoked = key(&node, None).await;
    let mut socket = upload(&node, &revoked.key).await;
    WatchedStore::until(&node.store.writers, |open| *open == 1).await;
    node.api_keys.revoke(&revoked.record.id).await.unwrap();
    let answer = raw::read_answer(&mut socket).await;
    assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
    is_gone(&node).await;
    let expiring = key(&node, Some(now_ms() + 300)).await;
    let answer = raw::read_answer(&mut upload(&node, &expiring.key).await).await;
    assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
    is_gone(&node).await;
}

#[actix_web::test]
async fn a_download_ends_with_its_key() {
    let node = start().await;
    let size = 64 * 1024 * 1024;
    let hash = node.put(vec![7; size]).await;
    let new = key(&node, None).await;
    let url = format!("{}/objects/{hash}", node.external);
    let request = node.bare(Method::GET, &url).header("X-API-Key", &new.key);
    let mut response = request.send().await.unwrap();
    assert_eq!(response.status(), 200);
    let mut received = response.chunk().await.unwrap().unwrap().len();
    node.store.stuck.send_replace(true);
    node.api_keys.revoke(&new.record.id).await.unwrap();
    // It ends although the store gives nothing more.
    let broken = loop {
        match response.chunk().await {
            Ok(Some(piece)) => received += piece.len(),
            Ok(None) => break false,
            Err(_) => break true,
        }
    };
    assert!(broken && received < size, "{received} of {size}");
    node.store.stuck.send_replace(false);
}

#[actix_web::test]
async fn a_question_that_waits_for_its_answer_ends_with_its_key() {
    let node = start().await;
    let hash = node.put(b"hello".to_vec()).await;
    let new = key(&node, None).await;
    node.store.stuck.send_replace(true);
    let url = format!("{}/data/{hash}", node.external);
    let request = node.bare(Method::GET, &url).header("X-API-Key", &new.key);
    let asking = tokio::task::spawn_local(Answer::of(request));
    WatchedStore::until(&node.store.waiting, |waiting| *waiting == 1).await;
    node.api_keys.revoke(&new.record.id).await.unwrap();
    assert_eq!(asking.await.unwrap().status, 401);
    node.store.stuck.send_replace(false);
}

fn with_uploads(uploads: UploadsConfig) -> TestConfig {
    TestConfig {
        uploads,
        ..TestConfig::default()
    }
}

#[actix_web::test]
async fn a_key_has_no_more_uploads_at_once_than_it_may_and_neither_has_the_node() {
    let node = start_with(with_uploads(UploadsConfig {
        max_at_once: 3,
        max_at_once_per_key: 2,
        ..UploadsConfig::default()
    }))
    .await;
    let (one, other) = (key(&node, None).await.key, key(&node, None).await.key);
    let mut open = Vec::new();
    for (key, so_far) in [(&one, 1), (&one, 2), (&other, 3)] {
        open.push(upload(&node, key).await);
        WatchedStore::until(&node.store.writers, |open| *open == so_far).await;
    }
    let try_one = |key: &str| {
        let url = format!("{}/objects?recipient={RECIPIENT}", node.external);
        Answer::of(node.bare(Method::PUT, &url).header("X-API-Key", key).body("data"))
    };
    let refused = try_one(&one).await;
    refused.is_error(429, "Too many uploads of this API key are under way", None);
    assert_eq!(refused.header("retry-after"), "5");
    let refused = try_one(&other).await;
    refused.is_error(503, "the node takes no more uploads at the moment", None);
    assert_eq!(refused.header("retry-after"), "5");
    drop(open);
    WatchedStore::until(&node.store.writers, |open| *open == 0).await;
    assert_eq!(try_one(&one).await.status, 201);
}

#[actix_web::test]
async fn an_upload_that_trickles_is_given_up() {
    let mut setup = with_uploads(UploadsConfig {
        min_bytes_per_second: 1024,
        ..UploadsConfig::default()
    });
    setup.external.idle_timeout_secs = 1;
    let node = start_with(setup).await;
    let new = key(&node, None).await;
    let (mut reading, mut writing) = upload(&node, &new.key).await.into_split();
    let trickle = tokio::task::spawn_local(async move {
        while writing.write_all(b"x").await.is_ok() {
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    });
    let mut answer = Vec::new();
    let _ = tokio::io::AsyncReadExt::read_to_end(&mut reading, &mut answer).await;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    trickle.abort();
    is_gone(&node).await;
}

#[actix_web::test]
async fn a_key_that_ends_makes_no_key_that_outlives_it() {
    let node = start().await;
    let end = now_ms() + 3_600_000;
    let request = NewApiKeyRequest {
        name: "for an hour".to_owned(),
        rights: Arc::new(Rights::of([Scope::Admin])),
        expires_at: Some(end),
    };
    let maker = node.api_keys.create(request).await.unwrap().key;
    let make = |expires_at: serde_json::Value| {
        let body = json!({"name": "next", "scopes": ["admin"], "expires_at": expires_at});
        let request = node.bare(Method::POST, &format!("{}/api_keys", node.internal));
        Answer::of(request.header("X-API-Key", &maker).json(&body))
    };
    for later in [json!(null), json!(end + 1)] {
        let refused = make(later).await;
        assert_eq!(
            (refused.status, &refused.body["field"]),
            (403, &"expires_at".into())
        );
    }
    assert_eq!(make(json!(end)).await.status, 201);
    assert_eq!(node.get(&format!("/data/{NO_DATA}")).await.status, 404);
}
