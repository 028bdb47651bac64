//! Plugins as operators and clients see them.

use std::sync::Arc;

use dm_testing::plugins::SamplePlugin;
use reqwest::Method;
use serde_json::{Value, json};

use crate::common::{Answer, RECIPIENT, TestConfig, TestNode, start_with};

/// A node with the sample, which answers by the size of what it is asked.
async fn start() -> TestNode {
    start_with(TestConfig {
        plugins: vec![Arc::new(SamplePlugin::default())],
        ..TestConfig::default()
    })
    .await
}

async fn state(node: &TestNode) -> Value {
    let answer = node.get_internal("/plugins").await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.body["plugins"][0]["name"], "sample");
    answer.body["plugins"][0]["state"].clone()
}

async fn tell(node: &TestNode, what: &str) -> Answer {
    node.post_internal(&format!("/plugins/{what}"), &json!({})).await
}

#[actix_web::test]
async fn operators_switch_plugins_off_and_on_and_load_them_anew() {
    let node = start().await;
    assert_eq!(state(&node).await, "running");
    let refused = node.share(&json!({"data": "1", "recipient": RECIPIENT})).await;
    refused.is_error(403, "plugin sample refuses this: size 1", None);
    assert_eq!(tell(&node, "sample/disable").await.body["state"], "disabled");
    assert_eq!(state(&node).await, "disabled");
    let shared = node.share(&json!({"data": "1", "recipient": RECIPIENT})).await;
    assert!(shared.status < 300, "{}", shared.body);
    assert_eq!(tell(&node, "sample/enable").await.body["state"], "running");
    assert_eq!(tell(&node, "sample/reload").await.body["state"], "running");
    let hash = shared.body["data_hash"].as_str().unwrap();
    node.get(&format!("/data/{hash}"))
        .await
        .is_error(403, "plugin sample refuses this: size 1", None);
    tell(&node, "other/enable")
        .await
        .is_error(404, "there is no plugin other", None);
}

#[actix_web::test]
async fn a_note_on_a_retrieval_is_part_of_the_answer() {
    let node = start().await;
    for (data, notes) in [("12", json!({"sample": "size 2"})), ("12345", Value::Null)] {
        let shared = node.share(&json!({"data": data, "recipient": RECIPIENT})).await;
        let hash = shared.body["data_hash"].as_str().unwrap();
        let answer = node.get(&format!("/data/{hash}")).await;
        assert_eq!(answer.body["data"], data);
        assert_eq!(answer.body["notes"], notes);
    }
}

#[actix_web::test]
async fn a_note_on_a_download_is_in_its_head() {
    let node = start().await;
    let noted = node.put(b"12".to_vec()).await;
    let unnoted = node.put(b"12345".to_vec()).await;
    let parts = [
        (Method::GET, None),
        (Method::HEAD, None),
        (Method::GET, Some("bytes=1-")),
    ];
    for (method, range) in parts {
        for (hash, notes) in [(&noted, Some(r#"{"sample":"size 2"}"#)), (&unnoted, None)] {
            let mut request = node.external(method.clone(), &format!("/objects/{hash}"));
            if let Some(range) = range {
                request = request.header("Range", range);
            }
            let response = request.send().await.unwrap();
            assert!(response.status().is_success(), "{}", response.status());
            let header = response.headers().get("X-Notes");
            assert_eq!(
                header.map(|value| value.to_str().unwrap()),
                notes,
                "{method} {range:?}"
            );
            assert!(!response.headers().contains_key("X-Notes-Left-Out"));
        }
    }
}

#[actix_web::test]
async fn a_failed_plugin_shows_in_the_health() {
    let node = start().await;
    let health = node.get_internal("/health").await;
    assert_eq!(health.body["status"], "healthy");
    assert_eq!(health.body["plugins"], json!({"sample": "running"}));
    // At this size the sample fails, and as nobody requires it the share goes on.
    let shared = node.share(&json!({"data": "123", "recipient": RECIPIENT})).await;
    assert!(shared.status < 300, "{}", shared.body);
    let health = node.get_internal("/health").await;
    assert_eq!(health.body["status"], "degraded");
    assert_eq!(health.body["plugins"], json!({"sample": "failed"}));
    let plugin = node.get_internal("/plugins").await.body["plugins"][0].clone();
    assert_eq!(plugin["failures"], 1);
    assert_eq!(plugin["last_error"], "size 3");
}

#[actix_web::test]
async fn only_operators_see_and_switch_plugins() {
    let node = start().await;
    for (method, path) in [
        (Method::GET, "/plugins"),
        (Method::POST, "/plugins/sample/enable"),
        (Method::POST, "/plugins/sample/disable"),
        (Method::POST, "/plugins/sample/reload"),
    ] {
        let url = format!("{}{path}", node.internal);
        let bare = Answer::of(node.bare(method.clone(), &url)).await;
        assert_eq!(bare.status, 401, "{path}");
        for key in [&node.keys.share, &node.keys.read] {
            let request = node.bare(method.clone(), &url).header("X-API-Key", key);
            assert_eq!(Answer::of(request).await.status, 403, "{path}");
        }
    }
    assert_eq!(state(&node).await, "running");
}
