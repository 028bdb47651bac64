//! A recipient learns of what was shared with it, also when it was away.

use reqwest::StatusCode;
use serde_json::Value;
use tempfile::tempdir;

use crate::support::{
    Devnet, FUNDED_KEYS, Node, NodeSetup,
    copies::{have_copies, watchful},
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
