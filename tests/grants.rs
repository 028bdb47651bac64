//! Further readers are granted access, and readers lose it.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tempfile::tempdir;

use crate::support::{
    Node, NodeSetup, bytes,
    copies::quick,
    data_hash, eventually,
    http::{Answer, answer},
    process::kill_9,
};

async fn revoke(node: &Node, hash: &str, reader: &str) -> Answer {
    let request = node.request(Method::DELETE, &format!("/data/{hash}/grants"));
    answer(request.json(&json!({"recipient": reader}))).await
}

/// How many events of a kind are about this data.
async fn events(node: &Node, kind: &str, hash: &str) -> usize {
    let (_, history) = node
        .get(&format!("/compliance_history?filters={kind}&limit=100"))
        .await;
    let is_of_this = |event: &&Value| event["data_hash"] == *hash;
    let events = history["history"].as_array().unwrap();
    events.iter().filter(is_of_this).count()
}

#[tokio::test]
async fn a_further_reader_is_granted_access_and_reads() {
    let homes = [tempdir().unwrap(), tempdir().unwrap(), tempdir().unwrap()];
    let owner = Node::start(&homes[0]).await;
    let first = NodeSetup::new(homes[1].path()).peer(&owner).start().await;
    let second = NodeSetup::new(homes[2].path()).peer(&owner).start().await;
    owner.has_peers(2).await;
    let hash = owner.must_share("for one, then for two", first.address()).await;
    assert_eq!(second.object(&hash).await.0, StatusCode::FORBIDDEN);
    let grant = owner
        .request(Method::POST, &format!("/data/{hash}/grants"))
        .json(&json!({"recipient": second.address()}));
    let (status, granted) = answer(grant).await;
    assert_eq!(status, StatusCode::CREATED, "{granted}");
    eventually("the new reader can read", || async {
        (second.object(&hash).await.0 == StatusCode::OK).then_some(())
    })
    .await;
    assert_eq!(second.reads(&hash).await, b"for one, then for two");
    let (_, history) = owner.get("/compliance_history?filters=grant").await;
    assert_eq!(history["count"], 1, "{history}");
}

#[tokio::test]
async fn who_lost_access_reads_no_more_and_neither_do_replicas_that_were_away_bring_it_back() {
    let homes = [tempdir().unwrap(), tempdir().unwrap(), tempdir().unwrap()];
    let owner = quick(&homes[0]).start().await;
    let stays = quick(&homes[1]).peer(&owner).start().await;
    let goes = quick(&homes[2]).peer(&owner).start().await;
    owner.has_peers(2).await;
    let data = bytes(600_000, 11);
    let hash = data_hash(&data);
    for reader in [&stays, &goes] {
        let (status, shared) = owner.put(data.clone(), reader.address()).await;
        assert_eq!(status, StatusCode::CREATED, "{shared}");
    }
    let goes_address = goes.address().to_owned();
    assert!(goes.reads(&hash).await == data);
    let (away, _, _) = goes.stop().await;

    let (status, revoked) = revoke(&owner, &hash, &goes_address).await;
    assert_eq!(status, StatusCode::OK, "{revoked}");
    assert_eq!(revoked["status"], "anchored", "{revoked}");
    assert!(revoked["note"].as_str().unwrap().contains("cannot be taken back"));
    assert!(owner.reads(&hash).await == data);
    assert!(stays.reads(&hash).await == data);

    let back = away.start().await;
    eventually("the node that was away has heard of it", || async {
        (back.object(&hash).await.0 == StatusCode::FORBIDDEN).then_some(())
    })
    .await;
    assert!(stays.reads(&hash).await == data);
    let (_, readers) = owner.get(&format!("/data/{hash}/grants")).await;
    assert_eq!(readers["recipients"], json!([stays.address()]), "{readers}");
    assert_eq!(events(&owner, "revoke", &hash).await, 1);

    let (status, receipt) = owner
        .get(&format!("/receipts/events/{}", revoked["receipt"]))
        .await;
    assert_eq!(status, StatusCode::OK, "{receipt}");
    assert_eq!(receipt["event"]["event_type"], "revoke", "{receipt}");
    let check = owner.request(Method::POST, "/receipts/verify").json(&receipt);
    assert_eq!(answer(check).await.1, json!({"valid": true}));
}

#[tokio::test]
async fn a_revocation_survives_kill_9_at_every_moment() {
    let homes = [tempdir().unwrap(), tempdir().unwrap()];
    let mut owner = Node::start(&homes[0]).await;
    let reader = NodeSetup::new(homes[1].path()).peer(&owner).start().await;
    for (seed, moment) in [0, 2, 5, 10, 20, 40, 80].into_iter().enumerate() {
        owner.has_peers(1).await;
        let data = bytes(3_000_000, seed as u64);
        let hash = data_hash(&data);
        for recipient in [reader.address(), owner.address()] {
            let (status, shared) = owner.put(data.clone(), recipient).await;
            assert!(status.is_success(), "{shared}");
        }
        tokio::join!(
            async {
                let request = owner.request(Method::DELETE, &format!("/data/{hash}/grants"));
                let _ = request.json(&json!({"recipient": reader.address()})).send().await;
            },
            async {
                tokio::time::sleep(Duration::from_millis(moment)).await;
                kill_9(owner.id()).await;
            }
        );
        owner = owner.kill().await.peer(&reader).start().await;
        assert!(owner.reads(&hash).await == data, "killed after {moment} ms");
        // Whoever heard no answer asks again.
        let (status, revoked) = revoke(&owner, &hash, reader.address()).await;
        assert_eq!(status, StatusCode::OK, "{revoked}");
        assert!(owner.reads(&hash).await == data, "killed after {moment} ms");
        let (_, readers) = owner.get(&format!("/data/{hash}/grants")).await;
        assert_eq!(readers["recipients"], json!([owner.address()]), "{readers}");
        assert_eq!(
            events(&owner, "revoke", &hash).await,
            1,
            "killed after {moment} ms"
        );
    }
}
