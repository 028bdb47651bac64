//! Receipts convince whoever has the chain.

use reqwest::{Method, StatusCode};
use serde_json::Value;
use tempfile::tempdir;

use crate::support::{Devnet, FUNDED_KEYS, NodeSetup, SOMEBODY, auditor::verify_offline, http::answer};

#[tokio::test]
async fn a_receipt_convinces_a_verifier_who_has_only_the_chain() {
    let (chain_home, home, files) = (tempdir().unwrap(), tempdir().unwrap(), tempdir().unwrap());
    let chain = Devnet::start(chain_home.path()).await;
    let node = NodeSetup::new(home.path())
        .on_chain(&chain.url, FUNDED_KEYS[0])
        .start()
        .await;
    let hash = node.must_share("to be audited", SOMEBODY).await;
    for other in 0..5 {
        node.must_share(&format!("and {other} more"), SOMEBODY).await;
    }
    let (status, receipt) = node.get(&format!("/receipts/{hash}")).await;
    assert_eq!(status, StatusCode::OK, "{receipt}");
    assert_eq!(receipt["event"]["data_hash"], hash);
    node.kill().await;

    let file = files.path().join("receipt.json");
    let (verified, printed) = verify_offline(&file, &receipt, &chain.url).await;
    assert!(verified, "{printed}");

    let forgeries: [(&str, Value); 6] = [
        ("/event/timestamp", 1.into()),
        (
            "/event/recipient",
            "0x70997970c51812dc3a010c7d01b50e0d17dc79c8".into(),
        ),
        ("/leaf_index", 1.into()),
        ("/checkpoint/size", 99.into()),
        ("/anchor/block", 1_000_000.into()),
        ("/anchor/timestamp", 1.into()),
    ];
    for (field, value) in forgeries {
        let mut forged = receipt.clone();
        *forged.pointer_mut(field).unwrap() = value;
        let (verified, printed) = verify_offline(&file, &forged, &chain.url).await;
        assert!(!verified, "{field}: {printed}");
    }
}

#[tokio::test]
async fn a_node_says_whether_a_receipt_holds_and_why_not() {
    let home = tempdir().unwrap();
    let node = NodeSetup::new(home.path()).start().await;
    let hash = node.must_share("checked by a node", SOMEBODY).await;
    let (_, receipt) = node.get(&format!("/receipts/{hash}")).await;
    let check = |receipt: Value| answer(node.request(Method::POST, "/receipts/verify").json(&receipt));
    let (status, verdict) = check(receipt.clone()).await;
    assert_eq!(
        (status, &verdict["valid"]),
        (StatusCode::OK, &true.into()),
        "{verdict}"
    );
    let mut forged = receipt;
    forged["event"]["nonce"] = "00".repeat(16).into();
    let (status, verdict) = check(forged).await;
    assert_eq!(
        (status, &verdict["valid"]),
        (StatusCode::OK, &false.into()),
        "{verdict}"
    );
    assert!(!verdict["reason"].as_str().unwrap().is_empty());
}

#[tokio::test]
async fn without_a_key_nobody_learns_who_shared_what_a_node_was_given() {
    let (chain_home, homes) = (tempdir().unwrap(), [tempdir().unwrap(), tempdir().unwrap()]);
    let chain = Devnet::start(chain_home.path()).await;
    let owner = NodeSetup::new(homes[0].path())
        .on_chain(&chain.url, FUNDED_KEYS[0])
        .start()
        .await;
    let reader = NodeSetup::new(homes[1].path())
        .on_chain(&chain.url, FUNDED_KEYS[1])
        .peer(&owner)
        .start()
        .await;
    reader.has_peers(1).await;
    let hash = owner.must_share("from whom?", reader.address()).await;
    let with_key = reader.verifies(&hash).await;
    assert!(
        with_key["tx_hash"].is_string() && with_key["block"].is_u64(),
        "{with_key}"
    );
    for key in [None, Some("dm_wrong_key")] {
        let mut request =
            reqwest::Client::new().get(format!("{}/verify_data/{hash}", reader.started.external_api));
        if let Some(key) = key {
            request = request.header("X-API-Key", key);
        }
        let (status, told) = answer(request).await;
        assert_eq!(status, StatusCode::OK, "{told}");
        assert_eq!(told["verified"], true, "{told}");
        for place in ["tx_hash", "block", "anchored_at"] {
            assert!(told[place].is_null(), "{place} leads to the log: {told}");
        }
        for account in [owner.address(), reader.address()] {
            assert!(!told.to_string().to_lowercase().contains(&account.to_lowercase()));
        }
    }
}

#[tokio::test]
async fn verification_needs_no_key_and_does_not_tell_who_shared_with_whom() {
    let home = tempdir().unwrap();
    let node = NodeSetup::new(home.path()).start().await;
    let hash = node.must_share("who is it for?", SOMEBODY).await;
    let url = format!("{}/verify_data/{hash}", node.started.external_api);
    let text = reqwest::get(&url)
        .await
        .unwrap()
        .text()
        .await
        .unwrap()
        .to_lowercase();
    assert!(text.contains("\"verified\":true"), "{text}");
    assert!(!text.contains(&SOMEBODY.to_lowercase()), "{text}");
    let receipt = reqwest::get(format!("{}/receipts/{hash}", node.started.external_api))
        .await
        .unwrap();
    assert_eq!(receipt.status(), StatusCode::UNAUTHORIZED);
    let unknown = "0".repeat(64);
    let (status, answer) = node.get(&format!("/verify_data/{unknown}")).await;
    assert_eq!(
        (status, &answer["verified"]),
        (StatusCode::OK, &false.into()),
        "{answer}"
    );
}
