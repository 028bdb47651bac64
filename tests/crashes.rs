//! What was acknowledged survives the end of the process, whenever it comes.

use std::time::Duration;

use reqwest::StatusCode;
use tempfile::tempdir;

use crate::support::{Node, NodeSetup, SOMEBODY, bytes, process::kill_9};

/// Rounds of load and `kill -9`.
const ROUNDS: u64 = 8;
/// Clients that share at the same time.
const CLIENTS: u64 = 8;

#[tokio::test]
async fn every_acknowledged_share_survives_kill_9_at_random_moments() {
    let home = tempdir().unwrap();
    let mut setup = NodeSetup::new(home.path());
    let mut acknowledged = Vec::new();
    for round in 0..ROUNDS {
        let node = setup.start().await;
        let load = share_until_it_is_gone(&node, round);
        let moment = tokio::time::sleep(Duration::from_millis(150 + 97 * round % 400));
        let (shared, ()) = tokio::join!(load, async {
            moment.await;
            kill_9(node.id()).await;
        });
        acknowledged.extend(shared);
        setup = node.kill().await;
    }
    assert!(
        acknowledged.len() as u64 > ROUNDS,
        "the load was no load: {}",
        acknowledged.len()
    );

    let node = setup.start().await;
    for (text, hash) in &acknowledged {
        let (status, data) = node.object(hash).await;
        assert_eq!(
            (status, data.as_slice()),
            (StatusCode::OK, text.as_bytes()),
            "{hash}"
        );
        let answer = node.verifies(hash).await;
        assert_eq!(answer["verified"], true, "{answer}");
    }
    // Nothing is recorded twice.
    let mut recorded = std::collections::BTreeSet::new();
    let mut cursor = String::new();
    loop {
        let (_, page) = node
            .get(&format!(
                "/compliance_history?filters=data_share&limit=100{cursor}"
            ))
            .await;
        for event in page["history"].as_array().unwrap() {
            let hash = event["data_hash"].as_str().unwrap().to_owned();
            assert!(recorded.insert(hash.clone()), "{hash} is recorded twice");
        }
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    for (_, hash) in &acknowledged {
        assert!(recorded.contains(hash));
    }
}

/// Several clients share until the node does not answer any more; what was
/// acknowledged.
async fn share_until_it_is_gone(node: &Node, round: u64) -> Vec<(String, String)> {
    let clients = (0..CLIENTS).map(|client| async move {
        let mut shared = Vec::new();
        for count in 0.. {
            let text = format!("round {round} client {client} share {count}");
            let body = serde_json::json!({"data": text, "recipient": SOMEBODY});
            let request = node.request(reqwest::Method::POST, "/share_data").json(&body);
            let Ok(response) = request.send().await else { break };
            if !response.status().is_success() {
                break;
            }
            let Ok(answer) = response.json::<serde_json::Value>().await else {
                break;
            };
            shared.push((text, answer["data_hash"].as_str().unwrap().to_owned()));
        }
        shared
    });
    futures::future::join_all(clients).await.concat()
}

#[tokio::test]
async fn a_large_object_survives_kill_9_right_after_its_answer() {
    let home = tempdir().unwrap();
    let node = Node::start(&home).await;
    let data = bytes(3_000_000, 11);
    let (status, answer) = node.put(data.clone(), SOMEBODY).await;
    assert_eq!(status, StatusCode::CREATED, "{answer}");
    let hash = answer["data_hash"].as_str().unwrap().to_owned();
    let node = node.kill().await.start().await;
    assert!(node.object(&hash).await == (StatusCode::OK, data));
}

#[tokio::test]
async fn an_upload_that_is_cut_off_leaves_nothing() {
    let home = tempdir().unwrap();
    let node = Node::start(&home).await;
    let before = disk_usage(home.path());
    let pieces = futures::stream::iter((0..64).map(|seed| bytes(65_536, seed)))
        .map(Ok)
        .chain(futures::stream::once(async {
            Err(std::io::Error::other("the client goes away"))
        }));
    let upload = node
        .request(reqwest::Method::PUT, &format!("/objects?recipient={SOMEBODY}"))
        .body(reqwest::Body::wrap_stream(pieces))
        .send()
        .await;
    assert!(upload.is_err() || !upload.unwrap().status().is_success());
    crate::support::eventually("the partial upload is removed", || async {
        (disk_usage(home.path()) < before + 2_000_000).then_some(())
    })
    .await;
    let (_, history) = node.get("/compliance_history").await;
    assert_eq!(history["count"], 0, "{history}");
}

use futures::StreamExt;

/// Bytes of all files below a folder.
fn disk_usage(dir: &std::path::Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(dir) else {
        return 0;
    };
    entries
        .flatten()
        .map(|entry| match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => disk_usage(&entry.path()),
            Ok(metadata) => metadata.len(),
            Err(_) => 0,
        })
        .sum()
}
