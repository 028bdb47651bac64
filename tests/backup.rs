//! A running node is copied, and a node is made of the copy.

use std::{fs, path::Path, process::Output};

use reqwest::{Method, StatusCode};
use serde_json::Value;
use tempfile::tempdir;

use crate::{
    support::{
        FUNDED_KEYS, Node, NodeSetup, bytes,
        copies::{have_copies, watchful},
        data_hash,
        devnet::Devnet,
        eventually,
        http::answer,
        node::dm_node,
    },
    uploads,
};

/// Copies a running node to a file.
async fn create(node: &Node, file: &Path) -> Output {
    let mut command = dm_node();
    command.args(["--json", "backup", "create"]).arg(file).args([
        "--api",
        &node.started.internal_api,
        "--api-key",
        &node.started.api_key,
    ]);
    command.output().await.unwrap()
}

async fn backup(command: &str, file: &Path, more: &[&str]) -> Output {
    let mut process = dm_node();
    process.args(["--json", "backup", command]).arg(file).args(more);
    process.output().await.unwrap()
}

async fn restore(file: &Path, dir: &Path) -> Output {
    backup("restore", file, &["--data-dir", dir.to_str().unwrap()]).await
}

fn document(output: &Output) -> Value {
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).unwrap()
}

fn complaint(output: &Output) -> String {
    assert!(!output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The restored directory of a node, with the password that the operator has kept.
async fn restored(backup: &Path, from: &Path, dir: &Path) -> (Value, NodeSetup) {
    let document = document(&restore(backup, dir).await);
    fs::copy(from.join("dev-password"), dir.join("dev-password")).unwrap();
    (document, NodeSetup::new(dir))
}

async fn is_anchored(node: &Node, data: &str) -> String {
    let (status, shared) = node.share(data, node.address()).await;
    assert_eq!(status, StatusCode::CREATED, "{shared}");
    shared["data_hash"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_node_is_copied_while_it_works_and_another_goes_on_from_the_copy() {
    let home = tempdir().unwrap();
    let place = tempdir().unwrap();
    let file = place.path().join("node.backup");
    let node = Node::start(&home).await;
    let large = bytes(3_000_000, 1);
    let (status, shared) = node.put(large.clone(), node.address()).await;
    assert_eq!(status, StatusCode::CREATED, "{shared}");
    let small = is_anchored(&node, "copied").await;
    let erased = is_anchored(&node, "erased before the copy").await;
    let erasure = node.request(Method::DELETE, &format!("/data/{erased}"));
    assert_eq!(answer(erasure).await.0, StatusCode::OK);

    let busy = async {
        for number in 0..40 {
            is_anchored(&node, &format!("shared meanwhile {number}")).await;
        }
    };
    let (created, ()) = tokio::join!(create(&node, &file), busy);
    let created = document(&created);
    assert_eq!(created["node"], node.address());
    let address = node.address().to_owned();
    drop(node.kill().await);

    let verified = document(&backup("verify", &file, &[]).await);
    assert_eq!(verified["objects"], created["objects"]);
    let dir = place.path().join("restored");
    let (about, setup) = restored(&file, home.path(), &dir).await;
    assert!(about["events"].as_u64().unwrap() >= 4, "{about}");
    let node = setup.start().await;
    assert_eq!(node.address(), address);
    assert!(node.reads(&data_hash(&large)).await == large);
    assert_eq!(node.reads(&small).await, b"copied");
    assert_eq!(node.object(&erased).await.0, StatusCode::NOT_FOUND);
    assert_eq!(node.verifies(&small).await["verified"], true);
    let (_, history) = node.get("/compliance_history?limit=100").await;
    for event in history["history"].as_array().unwrap() {
        if event["event_type"] == "data_share" && event["data_hash"] != *erased {
            let hash = event["data_hash"].as_str().unwrap();
            assert_eq!(node.object(hash).await.0, StatusCode::OK, "{event}");
        }
    }
    let next = is_anchored(&node, "after the restore").await;
    assert_eq!(node.verifies(&next).await["verified"], true);
}

#[tokio::test]
async fn a_restored_node_knows_no_upload_that_was_not_complete_and_has_room_for_a_new_one() {
    let (home, place) = (tempdir().unwrap(), tempdir().unwrap());
    let file = place.path().join("node.backup");
    let bounded = |setup: NodeSetup| setup.env("DM_UPLOADS__MAX_UNFINISHED_PER_KEY", "1");
    let node = bounded(NodeSetup::new(home.path())).start().await;
    let data = bytes(700_000, 4);
    let whole = uploads::begin(&node, data.len()).await;
    uploads::send(&node, &whole, 0, data.clone()).await.unwrap();
    let open = uploads::begin(&node, data.len()).await;
    uploads::send(&node, &open, 0, data[..600_000].to_vec())
        .await
        .unwrap();
    document(&create(&node, &file).await);
    // Uploads belong to the key that began them.
    let key = node.started.api_key.clone();
    drop(node.stop().await);

    let (about, setup) = restored(&file, home.path(), &place.path().join("restored")).await;
    assert_eq!(about["uploads_forgotten"], 1, "{about}");
    let mut node = bounded(setup).start().await;
    node.started.api_key = key;
    let gone = uploads::place(&node, &open).await;
    assert_eq!(gone, Err(StatusCode::NOT_FOUND));
    assert_eq!(node.get(&open).await.0, StatusCode::NOT_FOUND);
    assert_eq!(uploads::place(&node, &whole).await, Ok(data.len()));
    assert_eq!(node.get(&whole).await.1["data_hash"], data_hash(&data));
    let again = uploads::begin(&node, data.len()).await;
    let sent = uploads::send(&node, &again, 0, data.clone()).await;
    assert_eq!(sent, Some(StatusCode::NO_CONTENT));
}

#[tokio::test]
async fn a_restored_node_makes_no_second_history() {
    let (home, chain, place) = (tempdir().unwrap(), tempdir().unwrap(), tempdir().unwrap());
    let file = place.path().join("node.backup");
    let devnet = Devnet::start(chain.path()).await;
    let setup = NodeSetup::new(home.path()).on_chain(&devnet.url, FUNDED_KEYS[0]);
    let node = setup.start().await;
    let before = is_anchored(&node, "before the copy").await;
    document(&create(&node, &file).await);
    is_anchored(&node, "after the copy").await;
    drop(node.stop().await);

    let (_, setup) = restored(&file, home.path(), &place.path().join("restored")).await;
    let node = setup.on_chain(&devnet.url, FUNDED_KEYS[0]).start().await;
    eventually("the node says that its log cannot go on", || async {
        let health = node.internal(Method::GET, "/health");
        (answer(health).await.1["status"] == "unhealthy").then_some(())
    })
    .await;
    let (status, refused) = node.share("a second history", node.address()).await;
    assert!(status.is_server_error(), "{status} {refused}");
    assert_eq!(node.reads(&before).await, b"before the copy");
    assert_eq!(node.verifies(&before).await["verified"], true);
}

#[tokio::test]
async fn a_node_whose_objects_are_lost_gets_its_own_back_from_its_peers_unasked() {
    let (chain_home, home, peer_home) = (tempdir().unwrap(), tempdir().unwrap(), tempdir().unwrap());
    let chain = Devnet::start(chain_home.path()).await;
    let owner = watchful(&home, &chain, FUNDED_KEYS[0]).start().await;
    let peer = watchful(&peer_home, &chain, FUNDED_KEYS[1])
        .peer(&owner)
        .start()
        .await;
    owner.has_peers(1).await;
    let large = bytes(3_000_000, 7);
    let (status, answer) = owner.put(large.clone(), owner.address()).await;
    assert_eq!(status, StatusCode::CREATED, "{answer}");
    // For nobody but its owner: the peer that keeps it cannot read it.
    let small = owner.must_share("only mine", owner.address()).await;
    let hashes = [small, data_hash(&large)];
    have_copies([&owner, &peer], &hashes, 2).await;
    let (setup, ..) = owner.stop().await;
    fs::remove_dir_all(home.path().join("objects")).unwrap();

    let owner = setup.peer(&peer).start().await;
    have_copies([&owner], &hashes, 1).await;
    drop(peer.kill().await);
    assert_eq!(owner.reads(&hashes[0]).await, b"only mine");
    assert!(owner.reads(&hashes[1]).await == large);
    assert_eq!(owner.verifies(&hashes[0]).await["verified"], true);
}

#[tokio::test]
async fn a_bad_backup_is_refused_and_leaves_nothing() {
    let (home, place) = (tempdir().unwrap(), tempdir().unwrap());
    let file = place.path().join("node.backup");
    let node = Node::start(&home).await;
    node.must_share("some data", node.address()).await;
    document(&create(&node, &file).await);
    let again = complaint(&create(&node, &file).await);
    assert!(again.contains("exists already"), "{again}");

    let whole = fs::read(&file).unwrap();
    let (bad, dir) = (place.path().join("bad"), place.path().join("restored"));
    let cut = whole[..whole.len() / 2].to_vec();
    let mut altered = whole.clone();
    let middle = altered.len() / 2;
    altered[middle..middle + 4096].fill(0x55);
    for content in [cut, altered, b"no backup at all".to_vec(), Vec::new()] {
        fs::write(&bad, content).unwrap();
        let refused = complaint(&backup("verify", &bad, &[]).await);
        assert!(
            refused.contains("cut short") || refused.contains("altered") || refused.contains("no backup"),
            "{refused}"
        );
        complaint(&restore(&bad, &dir).await);
        assert!(!dir.exists());
    }
    let left: Vec<_> = fs::read_dir(place.path()).unwrap().collect();
    assert_eq!(left.len(), 2, "{left:?}");

    let occupied = complaint(&restore(&file, home.path()).await);
    assert!(occupied.contains("is not empty"), "{occupied}");
    document(&restore(&file, &dir).await);
}
