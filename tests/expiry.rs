//! Data that is shared for some time ends by itself, everywhere.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tempfile::tempdir;

use crate::support::{
    Node, bytes,
    copies::quick,
    data_hash, eventually,
    http::{Answer, answer},
};

/// The time in so many seconds, in milliseconds since the Unix epoch.
fn in_seconds(seconds: u64) -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    (now + Duration::from_secs(seconds)).as_millis() as u64
}

async fn put_until(node: &Node, data: Vec<u8>, recipient: &str, expires_at: &str) -> Answer {
    let route = format!("/objects?recipient={recipient}&expires_at={expires_at}");
    answer(node.request(Method::PUT, &route).body(data)).await
}

async fn is_gone(node: &Node, hash: &str) {
    eventually("the data has ended", || async {
        (node.object(hash).await.0 == StatusCode::NOT_FOUND).then_some(())
    })
    .await;
}

/// Bytes that a node keeps of data, whether it can read them or not.
async fn kept(node: &Node, hash: &str) -> u64 {
    let (_, seen) = node.get(&format!("/network/objects/{hash}")).await;
    let objects = seen["objects"].as_array().cloned().unwrap_or_default();
    objects.iter().filter_map(|object| object["size"].as_u64()).sum()
}

#[tokio::test]
async fn data_ends_at_its_owner_its_reader_and_a_replica_whose_owner_is_gone() {
    let homes = [tempdir().unwrap(), tempdir().unwrap(), tempdir().unwrap()];
    let owner = quick(&homes[0]).start().await;
    let reader = quick(&homes[1]).peer(&owner).start().await;
    let replica = quick(&homes[2]).peer(&owner).start().await;
    for node in [&owner, &reader, &replica] {
        node.has_peers(2).await;
    }
    let data = bytes(600_000, 21);
    let hash = data_hash(&data);
    let end = in_seconds(20);
    let (status, shared) = put_until(&owner, data.clone(), reader.address(), &end.to_string()).await;
    assert_eq!(status, StatusCode::CREATED, "{shared}");
    assert_eq!(shared["expires_at"], end, "{shared}");
    assert!(reader.reads(&hash).await == data);
    eventually("the replica has a copy", || async {
        (kept(&replica, &hash).await > 0).then_some(())
    })
    .await;
    let away = owner.kill().await;

    is_gone(&reader, &hash).await;
    eventually("the replica has collected its copy", || async {
        (kept(&replica, &hash).await == 0).then_some(())
    })
    .await;
    let owner = away.start().await;
    is_gone(&owner, &hash).await;
    let (_, history) = eventually("the end is in the log", || async {
        let page = owner.get("/compliance_history?filters=data_delete").await;
        (page.1["count"] == 1).then_some(page)
    })
    .await;
    assert_eq!(history["history"][0]["data_hash"], *hash, "{history}");
    for node in [&reader, &replica] {
        assert_eq!(node.object(&hash).await.0, StatusCode::NOT_FOUND);
    }
}

#[tokio::test]
async fn the_longest_time_counts_and_a_time_that_is_over_is_refused() {
    let home = tempdir().unwrap();
    let node = Node::start(&home).await;
    let share = async |body: Value| {
        let request = node.request(Method::POST, "/share_data").json(&body);
        answer(request).await
    };
    let end = in_seconds(4);
    let until_then = |data: &str| json!({"data": data, "recipient": node.address(), "expires_at": end});
    let (status, shared) = share(until_then("put off")).await;
    assert_eq!(status, StatusCode::CREATED, "{shared}");
    let (status, ending) = share(until_then("not put off")).await;
    assert_eq!(status, StatusCode::CREATED, "{ending}");
    let later = json!({
        "data": "put off", "recipient": node.address(), "expires_at": "2099-01-01T00:00:00Z"
    });
    let (status, prolonged) = share(later).await;
    assert_eq!(status, StatusCode::CREATED, "{prolonged}");
    assert_eq!(prolonged["expires_at"], 4_070_908_800_000_u64, "{prolonged}");
    assert_eq!(prolonged["receipt"], shared["receipt"], "it is the same share");
    is_gone(&node, ending["data_hash"].as_str().unwrap()).await;
    let hash = prolonged["data_hash"].as_str().unwrap().to_owned();
    assert_eq!(node.reads(&hash).await, b"put off");

    for wrong in [json!(1), json!("yesterday"), json!("2020-01-01T00:00:00Z")] {
        let body = json!({"data": "never", "recipient": node.address(), "expires_at": wrong});
        let (status, refused) = share(body).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{refused}");
        assert_eq!(refused["field"], "expires_at", "{refused}");
    }
}
