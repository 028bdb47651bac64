//! Plugins have a say in what others share with a node.

use reqwest::StatusCode;
use serde_json::Value;
use tempfile::tempdir;

use crate::{
    inbox::{listed, share_named},
    plugins::guarded,
    support::{Node, NodeSetup, data_hash, plugin::install_sample},
};

#[tokio::test]
async fn what_a_plugin_refuses_stays_out_of_the_inbox_and_is_not_read() {
    let (home, other_home) = (tempdir().unwrap(), tempdir().unwrap());
    let owner = Node::start(&home).await;
    install_sample(&other_home, "receive");
    let reader = NodeSetup::new(other_home.path())
        .env("DM_PLUGINS__REQUIRED", "sample")
        .env("DM_LOG__FILTER", "info")
        .env("DM_INBOX__ACCEPT", "anyone")
        .peer(&owner)
        .start()
        .await;
    owner.has_peers(1).await;
    // The plugin refuses what has one byte.
    share_named(&owner, "x", reader.address(), "refused.txt").await;
    share_named(&owner, "longer", reader.address(), "welcome.txt").await;
    listed(&reader, "name=welcome.txt", 1).await;
    assert_eq!(reader.reads(&data_hash(b"longer")).await, b"longer");
    let (status, body) = reader.get(&format!("/data/{}", data_hash(b"x"))).await;
    assert_eq!(status, StatusCode::FORBIDDEN, "{body}");
    assert_eq!(body["error"], "plugin sample refuses this: size 1");
    assert_eq!(listed(&reader, "name=refused.txt", 0).await, Vec::<Value>::new());
    let (_, _, log) = reader.stop().await;
    assert!(
        log.contains("a plugin does not let an object into the inbox"),
        "{log}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_guard_examines_what_others_have_shared_where_the_operator_wants_it() {
    let (home, other_home) = (tempdir().unwrap(), tempdir().unwrap());
    let owner = Node::start(&home).await;
    let Some(setup) = guarded(&other_home, "") else {
        return;
    };
    let reader = setup
        .env("DM_PLUGINS__EXAMINE_RECEIVED", "true")
        .env("DM_INBOX__ACCEPT", "anyone")
        .peer(&owner)
        .start()
        .await;
    owner.has_peers(1).await;
    let (good, bad) = ("nothing special", "pay with 4111 1111 1111 1111");
    for data in [good, bad] {
        owner.must_share(data, reader.address()).await;
    }
    assert_eq!(reader.reads(&data_hash(good.as_bytes())).await, good.as_bytes());
    listed(&reader, "", 2).await;
    let (status, body) = reader.get(&format!("/data/{}", data_hash(bad.as_bytes()))).await;
    assert_eq!(status, StatusCode::FORBIDDEN, "{body}");
    assert_eq!(
        body["error"],
        "plugin guard refuses this: the data contains a card number"
    );
    listed(&reader, "state=new", 1).await;
}
