//! The node's keys are replaced and destroyed while it runs, and nothing is lost.

use std::{fs, path::Path, time::Duration};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tempfile::tempdir;

use crate::support::{
    Node, NodeSetup, eventually,
    http::{Answer, answer},
    node::dm_node,
    process::kill_9,
};

/// The keys as operators see them.
async fn keys(node: &Node) -> Value {
    let (status, keys) = answer(node.internal(Method::GET, "/keys")).await;
    assert_eq!(status, StatusCode::OK, "{keys}");
    keys
}

/// The versions of the key-encryption key that a node, or its key file, holds.
fn versions(keys: &Value) -> Vec<u64> {
    let versions = keys.as_array().unwrap();
    versions
        .iter()
        .map(|key| key["version"].as_u64().unwrap())
        .collect()
}

fn versions_in_file(home: &Path) -> Vec<u64> {
    let file = fs::read(home.join("keys.json")).unwrap();
    let file: Value = serde_json::from_slice(&file).unwrap();
    versions(&file["content"]["data_keys"])
}

/// Waits until nothing is wrapped by this version any more.
async fn is_idle(node: &Node, version: u64) {
    eventually("the content keys are wrapped again", || async {
        let keys = keys(node).await;
        let versions = keys["versions"].as_array().unwrap();
        let known = versions.iter().find(|known| known["version"] == version)?;
        (known["wraps"] == 0).then_some(())
    })
    .await;
}

async fn destroy(node: &Node, version: u64) -> Answer {
    answer(node.internal(Method::DELETE, &format!("/keys/{version}"))).await
}

async fn share_some(node: &Node, round: &str, shared: &mut Vec<(String, String)>) {
    for n in 0..20 {
        let data = format!("{round}, number {n}");
        shared.push((node.must_share(&data, node.address()).await, data));
    }
}

async fn assert_readable(node: &Node, shared: &[(String, String)]) {
    for (hash, data) in shared {
        assert_eq!(node.reads(hash).await, data.as_bytes());
    }
}

#[tokio::test]
async fn everything_stays_readable_through_rotations_and_kill_9() {
    let home = tempdir().unwrap();
    let mut node = Node::start(&home).await;
    let mut shared = Vec::new();
    for round in 1..=3u32 {
        share_some(&node, &format!("round {round}"), &mut shared).await;
        let (status, rotated) = node.order("/keys/rotate", &json!({})).await;
        assert_eq!(status, StatusCode::OK, "{rotated}");
        assert_eq!(rotated["version"], round + 1);
        // Somewhere in the middle of the work in the background.
        kill_9(node.id()).await;
        node = node.kill().await.start().await;
        assert_readable(&node, &shared).await;
    }
    let (_, history) = node.get("/compliance_history?filters=key_rotation").await;
    assert_eq!(history["count"], 3, "{history}");
}

#[tokio::test]
async fn an_old_version_is_destroyed_through_kill_9_at_every_moment_and_nothing_needs_it() {
    let home = tempdir().unwrap();
    let mut node = Node::start(&home).await;
    let mut shared = Vec::new();
    for (old, moment) in (1..).zip([0, 1, 3, 10, 30]) {
        share_some(&node, &format!("under version {old}"), &mut shared).await;
        node.order("/keys/rotate", &json!({})).await;
        // Refused as long as it is needed, which may be over by now.
        let (status, refused) = destroy(&node, old + 1).await;
        assert_eq!(status, StatusCode::CONFLICT, "{refused}");
        is_idle(&node, old).await;
        tokio::join!(
            async {
                let request = node.internal(Method::DELETE, &format!("/keys/{old}"));
                let _ = request.send().await;
            },
            async {
                tokio::time::sleep(Duration::from_millis(moment)).await;
                kill_9(node.id()).await;
            }
        );
        node = node.kill().await.start().await;
        assert_readable(&node, &shared).await;
        // Whoever heard no answer asks again.
        let (status, destroyed) = destroy(&node, old).await;
        let is_done = [StatusCode::OK, StatusCode::NOT_FOUND].contains(&status);
        assert!(is_done, "killed after {moment} ms: {status} {destroyed}");
        assert_eq!(versions(&keys(&node).await["versions"]), [old + 1]);
        assert_eq!(versions_in_file(home.path()), [old + 1]);
        assert!(!home.path().join("keys.json.new").exists());
    }
    let node = node.restart().await;
    assert_readable(&node, &shared).await;
}

#[tokio::test]
async fn old_versions_end_by_themselves_where_that_is_set() {
    let home = tempdir().unwrap();
    let setup = NodeSetup::new(home.path()).env("DM_KEYS__DESTROY_RETIRED", "true");
    let node = setup.start().await;
    let mut shared = Vec::new();
    share_some(&node, "kept", &mut shared).await;
    node.order("/keys/rotate", &json!({})).await;
    eventually("the old version is destroyed", || async {
        (versions_in_file(home.path()) == [2]).then_some(())
    })
    .await;
    assert_readable(&node, &shared).await;
    let node = node.restart().await;
    assert_readable(&node, &shared).await;
}

#[tokio::test]
async fn grants_for_old_and_new_keys_open_through_kill_9_at_every_moment() {
    let homes = [tempdir().unwrap(), tempdir().unwrap()];
    let owner = Node::start(&homes[0]).await;
    let mut reader = NodeSetup::new(homes[1].path()).peer(&owner).start().await;
    owner.has_peers(1).await;
    let mut shared = Vec::new();
    for moment in [0, 5, 20, 60] {
        let data = format!("shared before the kill after {moment} ms");
        shared.push((owner.must_share(&data, reader.address()).await, data));
        tokio::join!(
            async {
                let request = reader.internal(Method::POST, "/keys/hpke/rotate");
                let _ = request.send().await;
            },
            async {
                tokio::time::sleep(Duration::from_millis(moment)).await;
                kill_9(reader.id()).await;
            }
        );
        reader = reader.kill().await.start().await;
        owner.has_peers(1).await;
        let held = keys(&reader).await;
        let newest = held["hpke_keys"].as_array().unwrap().last().unwrap()["public_key"].clone();
        let route = format!("/network/addresses/{}", reader.address());
        eventually("the owner's network knows the newest key", || async {
            let (_, record) = owner.get(&route).await;
            (record["hpke_public_key"] == newest).then_some(())
        })
        .await;
        let data = format!("shared after the kill after {moment} ms");
        shared.push((owner.must_share(&data, reader.address()).await, data));
        assert_readable(&reader, &shared).await;
    }
    let (status, rotated) = reader.order("/keys/hpke/rotate", &json!({})).await;
    assert_eq!(status, StatusCode::OK, "{rotated}");
    assert_readable(&reader, &shared).await;
}

/// `dm-node --json key …` on this data directory: its document, or what it complains of.
async fn key_command(home: &Path, args: &[&str]) -> Result<Value, String> {
    let mut command = dm_node();
    command
        .args(["--json", "key"])
        .args(args)
        .arg("--data-dir")
        .arg(home)
        .env("KEY_MASTER_PASSWORD_FILE", home.join("dev-password"));
    let output = command.output().await.unwrap();
    if output.status.success() {
        return Ok(serde_json::from_slice(&output.stdout).unwrap());
    }
    Err(String::from_utf8_lossy(&output.stderr).into_owned())
}

#[tokio::test]
async fn the_command_works_on_a_stopped_nodes_keys_and_asks_a_running_node() {
    let home = tempdir().unwrap();
    let node = Node::start(&home).await;
    let hash = node.must_share("kept", node.address()).await;
    let place = [
        "--api",
        &node.started.internal_api,
        "--api-key",
        &node.started.api_key,
    ];
    let running = async |args: &[&str]| key_command(home.path(), &[args, &place].concat()).await;
    assert_eq!(running(&["rotate"]).await.unwrap(), json!({"version": 2}));
    let refused = key_command(home.path(), &["destroy", "1", "--yes"])
        .await
        .unwrap_err();
    assert!(refused.contains("--api"), "{refused}");
    is_idle(&node, 1).await;
    running(&["destroy", "1", "--yes"]).await.unwrap();
    let listed = running(&["list"]).await.unwrap();
    assert_eq!(versions(&listed["versions"]), [2]);
    let (setup, _, _) = node.stop().await;

    let stopped = async |args: &[&str]| key_command(home.path(), args).await;
    assert_eq!(stopped(&["rotate"]).await.unwrap(), json!({"version": 3}));
    let rotated = stopped(&["rotate", "--hpke"]).await.unwrap();
    let refused = stopped(&["destroy", "2", "--yes"]).await.unwrap_err();
    assert!(refused.contains("it wraps 1 content keys"), "{refused}");
    let listed = stopped(&["list"]).await.unwrap();
    assert_eq!(versions(&listed["versions"]), [2, 3]);
    assert_eq!(listed["versions"][0]["wraps"], 1);
    assert_eq!(listed["hpke_keys"][1]["public_key"], rotated["public_key"]);

    let node = setup.start().await;
    is_idle(&node, 2).await;
    node.stop().await;
    stopped(&["destroy", "2", "--yes"]).await.unwrap();
    let node = Node::start(&home).await;
    assert_eq!(node.reads(&hash).await, b"kept");
}
