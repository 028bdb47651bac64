//! Programs learn what happens: by asking, and by being called.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tempfile::tempdir;
use tokio::io::{AsyncBufReadExt, BufReader};

use crate::support::{
    Node, NodeSetup, SOMEBODY, eventually, http::answer, node::dm_node, receiver::Receiver,
};

/// Lets receivers be on this machine.
pub(crate) fn setup(home: &tempfile::TempDir) -> NodeSetup {
    NodeSetup::new(home.path()).env("DM_EVENTS__ALLOWED_NETWORKS", "127.0.0.0/8")
}

pub(crate) async fn subscribe(node: &Node, url: &str) -> (StatusCode, Value) {
    let asked = json!({"name": "archive", "url": url, "topics": ["data.shared"]});
    answer(node.internal(Method::POST, "/subscriptions").json(&asked)).await
}

fn subjects(events: &[Value]) -> Vec<String> {
    let subjects = events.iter().map(|event| event["subject"].as_str().unwrap());
    subjects.map(str::to_owned).collect()
}

#[tokio::test]
async fn a_receiver_on_this_machine_is_refused_unless_its_network_is_allowed() {
    let home = tempdir().unwrap();
    let node = Node::start(&home).await;
    for url in [
        "http://127.0.0.1:1/",
        "http://2130706433/",
        "http://[::ffff:10.0.0.1]/",
    ] {
        let (status, body) = subscribe(&node, url).await;
        let named = (status, body["field"].as_str());
        assert_eq!(named, (StatusCode::UNPROCESSABLE_ENTITY, Some("url")), "{body}");
    }
}

async fn run(node: &Node, arguments: &[&str]) -> String {
    let output = dm_node()
        .args(arguments)
        .env("DM_API", &node.started.external_api)
        .env("DM_INTERNAL_API_URL", &node.started.internal_api)
        .env("DM_API_KEY", &node.started.api_key)
        .output()
        .await
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test]
async fn subscriptions_are_managed_on_the_command_line() {
    let home = tempdir().unwrap();
    let node = setup(&home).start().await;
    let receiver = Receiver::start().await;
    let url = receiver.url();
    let made = run(
        &node,
        &[
            "subscriptions",
            "add",
            "archive",
            &url,
            "--topics",
            "data.*",
            "--json",
        ],
    )
    .await;
    let made: Value = serde_json::from_str(&made).unwrap();
    let id = made["id"].as_str().unwrap();
    assert!(made["secret"].as_str().unwrap().starts_with("whsec_"));
    let hash = node.must_share("hello", SOMEBODY).await;
    eventually("the event is delivered", async || {
        subjects(&receiver.events()).contains(&hash).then_some(())
    })
    .await;
    run(&node, &["subscriptions", "pause", id]).await;
    let list = run(&node, &["subscriptions"]).await;
    assert!(list.contains("archive") && list.contains("paused"), "{list}");
    run(&node, &["subscriptions", "resume", id]).await;
    let failed = run(&node, &["subscriptions", "failed", id]).await;
    assert!(failed.contains("REASON"), "{failed}");
    let events = run(&node, &["events", "--topics", "data.shared", "--json"]).await;
    let events: Value = serde_json::from_str(&events).unwrap();
    let cursor = events["cursor"].as_str().unwrap();
    run(&node, &["subscriptions", "replay", id, cursor]).await;
    run(&node, &["subscriptions", "remove", id]).await;
    let list = run(&node, &["subscriptions"]).await;
    assert!(!list.contains("archive"), "{list}");
}

#[tokio::test]
async fn events_are_followed_on_the_command_line() {
    let home = tempdir().unwrap();
    let node = Node::start(&home).await;
    let cursor = node.get("/events?cursor=now").await.1["cursor"].clone();
    let mut follow = dm_node()
        .args([
            "events",
            "--follow",
            "--topics",
            "data.shared",
            "--json",
            "--cursor",
        ])
        .arg(cursor.as_str().unwrap())
        .args([
            "--api",
            &node.started.external_api,
            "--api-key",
            &node.started.api_key,
        ])
        .stdout(std::process::Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(follow.stdout.take().unwrap()).lines();
    for data in ["one", "two"] {
        let hash = node.must_share(data, SOMEBODY).await;
        let line = lines.next_line().await.unwrap().unwrap();
        let event: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(event["subject"], hash);
    }
    let table = run(&node, &["events", "--topics", "data.shared"]).await;
    assert!(
        table.contains("data.shared") && table.contains("later ones: --cursor"),
        "{table}"
    );
}
