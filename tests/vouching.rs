//! An authorised user vouches for a node.

use std::fs;

use dm_keys::UserPublicKey;
use reqwest::StatusCode;
use tempfile::tempdir;

use crate::{
    support::{Node, NodeSetup, eventually},
    users::{client, ed25519_user, run},
};

/// The value of `node_signature` that the user's key makes for this node.
async fn signature(node: &Node, user: &str, key: &str) -> String {
    let vouch = ["vouch", "--user", user, "--user-key", key];
    run(&mut client(node, &vouch)).await.unwrap().trim().to_owned()
}

#[tokio::test]
async fn others_see_who_vouches_for_a_node_and_whoever_has_the_key_can_check_it() {
    let (homes, dir) = ([tempdir().unwrap(), tempdir().unwrap()], tempdir().unwrap());
    let node = Node::start(&homes[0]).await;
    let (private, public) = ed25519_user(&node, &dir, "alice").await;
    let setting = signature(&node, "alice", &private).await;
    let (setup, ..) = node.stop().await;
    let node = setup.env("NODE_SIGNATURE", &setting).start().await;
    let other = NodeSetup::new(homes[1].path()).peer(&node).start().await;
    other.has_peers(1).await;
    let route = format!("/network/addresses/{}", node.address());
    let record = eventually("the address record is found", || async {
        let (status, record) = other.get(&route).await;
        (status == StatusCode::OK).then_some(record)
    })
    .await;
    let vouching = &record["vouching"];
    let (_, context) = node.get("/authorization").await;
    assert_eq!(vouching["user_id"], "alice", "{record}");
    assert_eq!(vouching["node_id"], context["node_id"], "{record}");
    let text = |field: &str| vouching[field].as_str().unwrap();
    let key = UserPublicKey::parse(&fs::read_to_string(public).unwrap()).unwrap();
    assert_eq!(key.fingerprint(), text("key"));
    assert_eq!(key.verify(text("statement"), text("signature")), Ok(()));
    for field in ["address", "peer_id"] {
        let named = record[field].as_str().unwrap().to_lowercase();
        assert!(text("statement").to_lowercase().contains(&named), "{record}");
    }
    let (_, own) = other
        .get(&format!("/network/addresses/{}", other.address()))
        .await;
    assert!(own["vouching"].is_null(), "{own}");
}

#[tokio::test]
async fn a_node_does_not_start_on_the_word_of_nobody_or_for_another_node() {
    let (homes, dir) = ([tempdir().unwrap(), tempdir().unwrap()], tempdir().unwrap());
    let (node, other) = (Node::start(&homes[0]).await, Node::start(&homes[1]).await);
    let (private, public) = ed25519_user(&node, &dir, "alice").await;
    run(&mut client(&other, &["user", "add", "alice", "--key", &public]))
        .await
        .unwrap();
    let good = signature(&node, "alice", &private).await;
    let of_other = signature(&other, "alice", &private).await;
    let (setup, ..) = node.stop().await;
    for (setting, complaint) in [
        (of_other, "node_signature: is not by the ed25519 key"),
        (
            good.replace("alice", "bob"),
            "node_signature: bob is no authorised user",
        ),
        (
            "alice:c2ln".to_owned(),
            "node_signature: is not by the ed25519 key",
        ),
        ("alice:?".to_owned(), "node_signature: must be base64"),
        (
            "alice".to_owned(),
            "node_signature: must be the id of an authorised user",
        ),
    ] {
        let Err(failure) = setup.clone().env("NODE_SIGNATURE", &setting).try_start().await else {
            panic!("the node starts with {setting}");
        };
        let complaints: Vec<&str> = failure
            .lines()
            .filter(|line| line.contains("node_signature"))
            .collect();
        assert!(
            complaints.len() == 1 && complaints[0].contains(complaint),
            "{failure}"
        );
    }
    let renamed = setup
        .clone()
        .env("NODE_SIGNATURE", &good)
        .env("NODE_ID", "another");
    assert!(renamed.try_start().await.is_err());
    setup.env("NODE_SIGNATURE", &good).start().await;
}
