//! Data is erased for good.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::Value;
use tempfile::tempdir;

use crate::support::{
    Node, bytes,
    copies::quick,
    data_hash, eventually,
    http::{Answer, answer},
    process::kill_9,
};

async fn erase(node: &Node, hash: &str) -> Answer {
    answer(node.request(Method::DELETE, &format!("/data/{hash}"))).await
}

async fn has_it(node: &Node, hash: &str) -> bool {
    match node.object(hash).await.0 {
        StatusCode::OK => true,
        StatusCode::NOT_FOUND => false,
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn erased_data_is_gone_at_its_owner_at_its_reader_and_at_replicas_that_were_away() {
    let homes = [tempdir().unwrap(), tempdir().unwrap(), tempdir().unwrap()];
    let owner = quick(&homes[0]).start().await;
    let reader = quick(&homes[1]).peer(&owner).start().await;
    let replica = quick(&homes[2]).peer(&owner).start().await;
    for node in [&owner, &reader, &replica] {
        node.has_peers(2).await;
    }
    let data = bytes(600_000, 7);
    let (status, shared) = owner.put(data.clone(), reader.address()).await;
    assert_eq!(status, StatusCode::CREATED, "{shared}");
    let hash = data_hash(&data);
    assert!(reader.reads(&hash).await == data);
    let (away, _, _) = replica.stop().await;

    let (status, erased) = erase(&owner, &hash).await;
    assert_eq!(status, StatusCode::OK, "{erased}");
    assert_eq!(erased["status"], "anchored", "{erased}");
    assert!(!has_it(&owner, &hash).await);
    let (status, receipt) = owner
        .get(&format!("/receipts/events/{}", erased["receipt"]))
        .await;
    assert_eq!(status, StatusCode::OK, "{receipt}");
    assert_eq!(receipt["event"]["data_hash"], *hash, "{receipt}");
    let (_, history) = owner.get("/compliance_history?filters=data_delete").await;
    assert_eq!(history["history"][0]["data_hash"], *hash, "{history}");
    eventually("the reader's node has heard of it", || async {
        (!has_it(&reader, &hash).await).then_some(())
    })
    .await;

    let back = away.start().await;
    back.has_peers(2).await;
    eventually("the replica that was away has heard of it", || async {
        let (_, seen) = back.get(&format!("/network/objects/{hash}")).await;
        let bytes = seen["objects"][0]["size"].as_u64();
        (bytes == Some(0)).then_some(())
    })
    .await;
    for node in [&owner, &reader, &back] {
        assert!(!has_it(node, &hash).await);
    }
}

#[tokio::test]
async fn an_erasure_lasts_through_a_restart_and_is_the_same_when_asked_again() {
    let home = tempdir().unwrap();
    let node = Node::start(&home).await;
    let hash = node.must_share("a secret to be forgotten", node.address()).await;
    let (status, first) = erase(&node, &hash).await;
    assert_eq!(status, StatusCode::OK, "{first}");
    let node = node.restart().await;
    assert!(!has_it(&node, &hash).await);
    let (status, second) = erase(&node, &hash).await;
    assert_eq!(status, StatusCode::OK, "{second}");
    assert_eq!(second["receipt"], first["receipt"]);
    let unknown = erase(&node, &data_hash(b"nobody has this")).await;
    assert_eq!(unknown.0, StatusCode::NOT_FOUND, "{}", unknown.1);
}

#[tokio::test]
async fn an_erasure_survives_kill_9_at_every_moment() {
    let home = tempdir().unwrap();
    let mut node = Node::start(&home).await;
    for moment in [0, 1, 2, 4, 8, 16] {
        let hash = node
            .must_share(&format!("killed after {moment} ms"), node.address())
            .await;
        tokio::join!(
            async {
                let request = node.request(Method::DELETE, &format!("/data/{hash}"));
                let _ = request.send().await;
            },
            async {
                tokio::time::sleep(Duration::from_millis(moment)).await;
                kill_9(node.id()).await;
            }
        );
        node = node.kill().await.start().await;
        // Whoever heard no answer asks again.
        let (status, erased) = erase(&node, &hash).await;
        assert_eq!(status, StatusCode::OK, "{erased}");
        assert!(!has_it(&node, &hash).await);
        let (_, history) = node
            .get("/compliance_history?filters=data_delete&limit=100")
            .await;
        let of_this = |event: &&Value| event["data_hash"] == *hash;
        let events = history["history"]
            .as_array()
            .unwrap()
            .iter()
            .filter(of_this)
            .count();
        assert_eq!(events, 1, "killed after {moment} ms: {history}");
    }
}
