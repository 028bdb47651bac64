//! A recipient learns of what was shared with it, also when it was away.

use reqwest::{Method, StatusCode};
use serde_json::Value;
use tempfile::tempdir;

use crate::support::{
    Devnet, FUNDED_KEYS, Node, NodeSetup,
    copies::{have_copies, held_version, watchful},
    eventually,
};

async fn items(node: &Node) -> Vec<Value> {
    let (status, answer) = node.get("/inbox").await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    answer["items"].as_array().unwrap().clone()
}

fn setup(home: &tempfile::TempDir, chain: &Devnet, key: &str) -> NodeSetup {
    watchful(home, chain, key).env("DM_INBOX__ACCEPT", "anyone")
}

#[tokio::test]
async fn a_recipient_that_was_away_learns_of_a_share_whose_owner_is_gone() {
    let chain_home = tempdir().unwrap();
    let chain = Devnet::start(chain_home.path()).await;
    let homes = [(); 4].map(|()| tempdir().unwrap());
    let keeper = setup(&homes[0], &chain, FUNDED_KEYS[0]).start().await;
    let second = setup(&homes[1], &chain, FUNDED_KEYS[1])
        .peer(&keeper)
        .start()
        .await;
    let owner = setup(&homes[2], &chain, FUNDED_KEYS[2])
        .peer(&keeper)
        .start()
        .await;
    let reader = setup(&homes[3], &chain, FUNDED_KEYS[3])
        .peer(&keeper)
        .start()
        .await;
    owner.has_peers(3).await;
    // The owner knows the reader's key from its address record.
    let first = owner.must_share("while it is there", reader.address()).await;
    eventually("the first share is listed", async || {
        items(&reader)
            .await
            .iter()
            .any(|item| item["data_hash"] == first)
            .then_some(())
    })
    .await;
    let (address, away) = (reader.address().to_owned(), reader.kill().await);
    let hash = owner.must_share("while it is away", &address).await;
    have_copies([&keeper, &second], std::slice::from_ref(&hash), 2).await;
    drop(owner.kill().await);
    let reader = away.start().await;
    eventually("the second share is listed", async || {
        items(&reader)
            .await
            .iter()
            .any(|item| item["data_hash"] == hash)
            .then_some(())
    })
    .await;
    assert_eq!(
        reader.object(&hash).await,
        (StatusCode::OK, b"while it is away".to_vec())
    );
    drop((keeper, second));
}

/// Account 3 of anvil, whose node does not run while data is shared with it.
const READER: &str = "0x90F79bf6EB2c4f870365E785982E1f101E93b906";

#[tokio::test]
async fn a_recipient_learns_from_replicas_of_a_share_whose_owner_went_before_it_could_tell() {
    let chain_home = tempdir().unwrap();
    let chain = Devnet::start(chain_home.path()).await;
    let homes = [(); 4].map(|()| tempdir().unwrap());
    let keeper = setup(&homes[0], &chain, FUNDED_KEYS[0]).start().await;
    let second = setup(&homes[1], &chain, FUNDED_KEYS[1])
        .peer(&keeper)
        .start()
        .await;
    let owner = setup(&homes[2], &chain, FUNDED_KEYS[2])
        .peer(&keeper)
        .start()
        .await;
    owner.has_peers(2).await;
    for replica in [&keeper, &second] {
        let contact = serde_json::json!({"address": owner.address(), "trust": "accept"});
        let added = replica.internal(Method::PUT, "/contacts/owner").json(&contact);
        assert!(added.send().await.unwrap().status().is_success());
    }
    // Without a key there is no grant, and nobody is told yet: the owner tries again half a
    // minute later.
    let hash = owner.must_share("for somebody unknown", READER).await;
    have_copies([&keeper, &second], std::slice::from_ref(&hash), 2).await;
    let (owner, _, _) = owner.stop().await;
    let reader = setup(&homes[3], &chain, FUNDED_KEYS[3])
        .peer(&keeper)
        .start()
        .await;
    assert_eq!(reader.address(), READER);
    eventually("its address record is there", async || {
        let (status, _) = keeper.get(&format!("/network/addresses/{READER}")).await;
        (status == StatusCode::OK).then_some(())
    })
    .await;
    let reader = reader.kill().await;
    let owner = owner.start().await;
    eventually("the replicas know the reader", async || {
        let (_, shared) = owner.get(&format!("/shares/{hash}")).await;
        let is_granted = shared["readers"].as_array()?.contains(&Value::from(READER));
        let newest = held_version(&owner, &hash).await;
        let known = [
            held_version(&keeper, &hash).await,
            held_version(&second, &hash).await,
        ];
        (is_granted && known == [newest; 2]).then_some(())
    })
    .await;
    drop(owner.kill().await);
    let reader = reader.start().await;
    eventually("the share is listed", async || {
        items(&reader)
            .await
            .iter()
            .any(|item| item["data_hash"] == hash)
            .then_some(())
    })
    .await;
    drop((keeper, second));
}
