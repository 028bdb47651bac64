//! A node whose large objects are in the bucket of an S3 store.

use std::fs;

use dm_testing::s3::{FaultProxy, Moto, S3Double};
use reqwest::{Method, StatusCode};
use serde_json::Value;
use tempfile::{TempDir, tempdir};

use crate::support::{Node, NodeSetup, SOMEBODY, bytes, eventually, http::answer};

/// Bytes of the large objects: more than two parts.
pub(crate) const LARGE: usize = 20 << 20;

fn setup(home: &TempDir, endpoint: &str, bucket: &str) -> NodeSetup {
    in_bucket(NodeSetup::new(home.path()), endpoint, bucket)
}

/// With large objects in this bucket.
pub(crate) fn in_bucket(setup: NodeSetup, endpoint: &str, bucket: &str) -> NodeSetup {
    setup
        .env("DM_STORAGE__OBJECTS_URL", &format!("s3://{bucket}/node"))
        .env("DM_STORAGE__S3__ENDPOINT", endpoint)
        .env("DM_STORAGE__S3__ALLOW_HTTP", "true")
        .env("DM_STORAGE__S3__RETRY_TIMEOUT_SECS", "2")
        .env("AWS_ACCESS_KEY_ID", "test")
        .env("AWS_SECRET_ACCESS_KEY", "test")
}

/// Stores data, as a client does that is told to try again later: a machine that does much else may
/// not store a part within the time that the node has for it here.
pub(crate) async fn must_put(node: &Node, data: &[u8]) -> String {
    eventually("the bucket takes the data", || async {
        let (status, body) = node.put(data.to_vec(), SOMEBODY).await;
        if status == StatusCode::SERVICE_UNAVAILABLE {
            return None;
        }
        assert_eq!(status, StatusCode::CREATED, "{body}");
        Some(body["data_hash"].as_str().unwrap().to_owned())
    })
    .await
}

/// Waits until the object store has this status; what `/health` says of it.
async fn object_store_is(node: &Node, status: &str) -> Value {
    eventually(&format!("the object store is {status}"), || async {
        let (_, health) = answer(node.internal(Method::GET, "/health")).await;
        let found = health["parts"]["object_store"].clone();
        (found["status"] == status).then_some(found)
    })
    .await
}

#[tokio::test]
async fn a_large_object_in_a_bucket_survives_kill_and_is_erased() {
    let Some(moto) = Moto::running() else { return };
    let (home, bucket) = (tempdir().unwrap(), moto.make_bucket());
    let bodies = async || {
        let url = format!("{}/{bucket}?list-type=2&prefix=node/bodies/", moto.url());
        let listing = reqwest::get(url).await.unwrap().text().await.unwrap();
        listing.matches("<Key>").count()
    };
    let node = setup(&home, moto.url(), &bucket).start().await;
    let data = bytes(LARGE, 1);
    let hash = must_put(&node, &data).await;
    assert_eq!(bodies().await, 1);
    let files = home.path().join("objects/files");
    assert_eq!(fs::read_dir(files).unwrap().count(), 0);

    let node = node.kill().await.start().await;
    assert!(node.reads(&hash).await == data);
    let verified = node.verifies(&hash).await;
    assert_eq!(verified["verified"], true, "{verified}");
    let (status, body) = answer(node.request(Method::DELETE, &format!("/data/{hash}"))).await;
    assert!(status.is_success(), "{status} {body}");
    assert_eq!(node.object(&hash).await.0, StatusCode::NOT_FOUND);
    eventually("the bucket has no body", async || {
        (bodies().await == 0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn while_the_bucket_is_away_large_data_is_refused_and_the_node_lives() {
    let store = S3Double::start(None);
    let proxy = FaultProxy::before(&store.url());
    let home = tempdir().unwrap();
    let node = setup(&home, &proxy.url(), "bucket").start().await;
    let data = bytes(LARGE, 1);
    let hash = must_put(&node, &data).await;
    let small = node.must_share("small", SOMEBODY).await;

    proxy.cut_off();
    let (status, body) = node.put(bytes(LARGE, 2), SOMEBODY).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{body}");
    assert_eq!(node.object(&hash).await.0, StatusCode::SERVICE_UNAVAILABLE);
    let part = object_store_is(&node, "unhealthy").await;
    assert!(
        part["reason"].as_str().unwrap().contains("s3://bucket/node"),
        "{part}"
    );
    assert_eq!(node.object(&small).await.1, b"small");
    node.must_share("while it is away", SOMEBODY).await;

    proxy.clear();
    object_store_is(&node, "healthy").await;
    assert!(node.reads(&hash).await == data);
    let later = bytes(LARGE, 2);
    let hash = must_put(&node, &later).await;
    assert!(node.reads(&hash).await == later);
}
