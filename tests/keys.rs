//! The data key is rotated while the node runs.

use reqwest::StatusCode;
use serde_json::json;
use tempfile::tempdir;

use crate::support::{Node, process::kill_9};

#[tokio::test]
async fn everything_stays_readable_through_rotations_and_kill_9() {
    let home = tempdir().unwrap();
    let mut node = Node::start(&home).await;
    let mut shared = Vec::new();
    for round in 1..=3u32 {
        for n in 0..20 {
            let data = format!("round {round}, number {n}");
            shared.push((node.must_share(&data, node.address()).await, data));
        }
        let (status, rotated) = node.order("/keys/rotate", &json!({})).await;
        assert_eq!(status, StatusCode::OK, "{rotated}");
        assert_eq!(rotated["version"], round + 1);
        // Somewhere in the middle of the work in the background.
        kill_9(node.id()).await;
        node = node.kill().await.start().await;
        for (hash, data) in &shared {
            assert_eq!(node.reads(hash).await, data.as_bytes());
        }
    }
    let (_, history) = node.get("/compliance_history?filters=key_rotation").await;
    assert_eq!(history["count"], 3, "{history}");
}
