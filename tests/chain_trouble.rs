//! A chain that is away, that takes blocks back, or that holds another history.

use std::time::Duration;

use reqwest::StatusCode;
use serde_json::json;
use tempfile::tempdir;

use crate::support::{Anvil, Devnet, FUNDED_KEYS, Node, NodeSetup, SOMEBODY, eventually, eventually_within};

/// As long as all looks at an idle chain and its newest anchor take together.
const FOLLOWING: Duration = Duration::from_secs(180);

#[tokio::test]
async fn a_share_during_a_chain_outage_is_anchored_afterwards_once() {
    let (chain_home, home) = (tempdir().unwrap(), tempdir().unwrap());
    let chain = Devnet::start(chain_home.path()).await;
    let node = NodeSetup::new(home.path())
        .on_chain(&chain.url, FUNDED_KEYS[0])
        .start()
        .await;
    node.must_share("while the chain is there", SOMEBODY).await;

    let unplugged = chain.unplug().await;
    let (status, answer) = node.share("while the chain is away", SOMEBODY).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{answer}");
    assert_eq!(
        (&answer["status"], &answer["tx_hash"]),
        (&json!("pending"), &json!(null))
    );
    let hash = answer["data_hash"].as_str().unwrap().to_owned();
    assert_eq!(node.object(&hash).await.1, b"while the chain is away");

    let _chain = unplugged.plug_in().await;
    node.verifies(&hash).await;
    let (status, again) = node.share("while the chain is away", SOMEBODY).await;
    assert_eq!(status, StatusCode::CREATED, "{again}");
    let (_, history) = node.get("/compliance_history?filters=data_share").await;
    assert_eq!(history["count"], 2, "{history}");
}

#[tokio::test]
async fn a_node_that_starts_without_its_chain_anchors_when_it_appears() {
    let (chain_home, home) = (tempdir().unwrap(), tempdir().unwrap());
    let unplugged = Devnet::start(chain_home.path()).await;
    let url = unplugged.url.clone();
    let unplugged = unplugged.unplug().await;
    let node = NodeSetup::new(home.path())
        .on_chain(&url, FUNDED_KEYS[0])
        .start()
        .await;
    let (_, health) = crate::support::http::answer(node.internal(reqwest::Method::GET, "/health")).await;
    assert_eq!(health["status"], "degraded", "{health}");
    assert_eq!(health["components"]["blockchain"], "disconnected");
    let (status, answer) = node.share("patience", SOMEBODY).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{answer}");
    let _chain = unplugged.plug_in().await;
    node.verifies(answer["data_hash"].as_str().unwrap()).await;
}

#[tokio::test]
async fn a_chain_that_begins_anew_gets_the_whole_log_again() {
    for restarts in [false, true] {
        let homes = [tempdir().unwrap(), tempdir().unwrap(), tempdir().unwrap()];
        let chain = Devnet::start(homes[0].path()).await;
        let mut node = NodeSetup::new(homes[2].path())
            .on_chain(&chain.url, FUNDED_KEYS[0])
            .start()
            .await;
        let mut hashes = Vec::new();
        for n in 0..3 {
            hashes.push(node.must_share(&format!("before {n}"), SOMEBODY).await);
        }
        let unplugged = chain.unplug().await;
        if restarts {
            let setup = node.kill().await;
            let _chain = unplugged.replace(homes[1].path()).await;
            node = setup.start().await;
            follows(&node, hashes).await;
        } else {
            let _chain = unplugged.replace(homes[1].path()).await;
            follows(&node, hashes).await;
        }
    }
}

/// The node anchors its log on the chain that is there now.
async fn follows(node: &Node, mut hashes: Vec<String>) {
    let (status, answer) = node.share("after", SOMEBODY).await;
    assert!(status.is_success(), "{answer}");
    hashes.push(answer["data_hash"].as_str().unwrap().to_owned());
    for hash in hashes {
        eventually_within(FOLLOWING, "the share is verified on the new chain", || async {
            let (_, body) = node.get(&format!("/verify_data/{hash}")).await;
            (body["verified"] == true).then_some(())
        })
        .await;
    }
    eventually("the node says that all is well again", || async {
        let (_, health) = crate::support::http::answer(node.internal(reqwest::Method::GET, "/health")).await;
        let parts = &health["parts"];
        let is_well = parts["account"]["status"] == "healthy" && parts["log"]["status"] == "healthy";
        is_well.then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_reorganised_anchor_is_sent_again() {
    let Some(anvil) = Anvil::start(&[]).await else {
        return;
    };
    let home = tempdir().unwrap();
    let node = NodeSetup::new(home.path())
        .on_chain(&anvil.url, FUNDED_KEYS[0])
        .start()
        .await;
    let hash = node.must_share("on a shaky chain", SOMEBODY).await;
    let before = node.verifies(&hash).await;

    // The block of the anchor, and all after it, are replaced by empty ones.
    let height = anvil.rpc("eth_blockNumber", json!([])).await;
    let height = u64::from_str_radix(height.as_str().unwrap().trim_start_matches("0x"), 16).unwrap();
    let depth = height - before["block"].as_u64().unwrap() + 1;
    anvil.rpc("anvil_reorg", json!([depth, []])).await;
    let after = eventually("the anchor is on the chain again", || async {
        let (_, body) = node.get(&format!("/verify_data/{hash}")).await;
        (body["verified"] == true && body["block"] != before["block"]).then_some(body)
    })
    .await;
    let receipt = anvil
        .rpc("eth_getTransactionReceipt", json!([after["tx_hash"]]))
        .await;
    assert_eq!(receipt["status"], "0x1");
    let (_, history) = node.get("/compliance_history?filters=data_share").await;
    assert_eq!(history["count"], 1, "{history}");
}

#[tokio::test]
async fn two_nodes_with_one_history_in_a_backup_do_not_fork_it_silently() {
    let (chain_home, home, copy_home) = (tempdir().unwrap(), tempdir().unwrap(), tempdir().unwrap());
    let chain = Devnet::start(chain_home.path()).await;
    let node = NodeSetup::new(home.path())
        .on_chain(&chain.url, FUNDED_KEYS[0])
        .start()
        .await;
    node.must_share("before the backup", SOMEBODY).await;
    let (setup, status, errors) = node.stop().await;
    assert!(status.success(), "{errors}");
    let copied = std::process::Command::new("cp")
        .arg("-a")
        .arg(home.path())
        .arg(copy_home.path().join("node"))
        .status();
    assert!(copied.unwrap().success());

    let original = setup.start().await;
    original.must_share("after the backup", SOMEBODY).await;
    let restored = NodeSetup::new(&copy_home.path().join("node"))
        .on_chain(&chain.url, FUNDED_KEYS[0])
        .start()
        .await;
    refuses_to_record(&restored).await;
    // The first node goes on undisturbed.
    let hash = original.must_share("and on it goes", SOMEBODY).await;
    original.verifies(&hash).await;
}

/// The node says that its log has forked, and takes no further share.
async fn refuses_to_record(node: &Node) {
    eventually("the fork is noticed", || async {
        let (status, health) =
            crate::support::http::answer(node.internal(reqwest::Method::GET, "/health")).await;
        let noticed = status == StatusCode::SERVICE_UNAVAILABLE && health["status"] == "unhealthy";
        noticed.then_some(())
    })
    .await;
    let (status, answer) = node.share("another history", SOMEBODY).await;
    assert!(status.is_server_error(), "{status} {answer}");
    assert!(answer["error"].as_str().unwrap().contains("log"), "{answer}");
}
