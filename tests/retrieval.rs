//! Fetching what is large, and being told how it went.

use std::process::Stdio;

use futures::StreamExt;
use reqwest::{Method, StatusCode};
use serde_json::Value;
use tempfile::tempdir;

use crate::support::{Devnet, FUNDED_KEYS, Node, NodeSetup, bytes, data_hash, node::dm_node};

/// 40 chunks.
const SIZE: usize = 10 << 20;

/// What the retrieval of an answer with this header took.
async fn trace_of(node: &Node, response: &reqwest::Response) -> Value {
    let id = response.headers()["X-Retrieval"].to_str().unwrap();
    node.get(&format!("/retrievals/{id}")).await.1
}

fn chunks_asked_for(trace: &Value) -> u64 {
    let peers = trace["peers"].as_array().unwrap();
    let chunks = peers.iter().filter(|peer| peer["asked_for"] == "chunks");
    chunks.map(|peer| peer["items"].as_u64().unwrap()).sum()
}

#[tokio::test]
async fn a_download_that_was_cut_off_asks_only_for_the_rest_also_after_a_restart() {
    let (chain_home, owner_home, reader_home) = (tempdir().unwrap(), tempdir().unwrap(), tempdir().unwrap());
    let chain = Devnet::start(chain_home.path()).await;
    let owner = NodeSetup::new(owner_home.path())
        .on_chain(&chain.url, FUNDED_KEYS[0])
        .start()
        .await;
    // Keeps no copies for others, so that it has to fetch what it reads. What
    // was interrupted is kept all the same.
    let reader = NodeSetup::new(reader_home.path())
        .on_chain(&chain.url, FUNDED_KEYS[1])
        .env("DM_NETWORK__MAX_FOREIGN_OBJECT", "1")
        .peer(&owner)
        .start()
        .await;
    owner.has_peers(1).await;
    let data = bytes(SIZE, 1);
    let hash = data_hash(&data);
    let (status, answer) = owner.put(data.clone(), reader.address()).await;
    assert_eq!(status, StatusCode::CREATED, "{answer}");

    let download = reader.request(Method::GET, &format!("/objects/{hash}?explain=true"));
    let response = download.send().await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    let mut pieces = response.bytes_stream();
    let mut received = 0;
    while received < SIZE / 2 {
        received += pieces.next().await.unwrap().unwrap().len();
    }
    drop(pieces);

    let setup = reader.kill().await;
    let reader = setup.start().await;
    reader.has_peers(1).await;
    let download = reader.request(Method::GET, &format!("/objects/{hash}?explain=true"));
    let response = download.send().await.unwrap();
    let asked = reader.request(
        Method::GET,
        &format!(
            "/retrievals/{}",
            response.headers()["X-Retrieval"].to_str().unwrap()
        ),
    );
    assert!(response.bytes().await.unwrap() == data);
    let trace: Value = asked.send().await.unwrap().json().await.unwrap();
    let kept = trace["chunks_kept"].as_u64().unwrap();
    assert_eq!(trace["complete"], true, "{trace}");
    assert!(kept >= 10, "{trace}");
    assert_eq!(chunks_asked_for(&trace), 40 - kept, "{trace}");
    assert_eq!(trace["peers"][0]["paths"][0]["relayed"], false, "{trace}");

    // It is all here now, and nobody is asked for it.
    let download = reader.request(Method::GET, &format!("/objects/{hash}?explain=true"));
    let response = download.send().await.unwrap();
    let trace = trace_of(&reader, &response).await;
    assert_eq!(trace["source"], "store", "{trace}");
    assert_eq!(chunks_asked_for(&trace), 0);
    command_line_explains(&reader, &hash).await;
}

/// `dm-node get --explain` says the same.
async fn command_line_explains(reader: &Node, hash: &str) {
    let output = dm_node()
        .args(["get", hash, "--explain", "--api", &reader.started.external_api])
        .env("DM_API_KEY", &reader.started.api_key)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .output()
        .await
        .unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{told}");
    assert_eq!(output.stdout.len(), SIZE);
    assert!(told.contains("40 chunks from the store"), "{told}");
}
