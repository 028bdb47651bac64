//! Another account becomes the operator account, and nothing is lost.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tempfile::tempdir;

use crate::support::{
    Anvil, Devnet, FUNDED_KEYS, Node, NodeSetup, SOMEBODY, eventually, http::answer, process::kill_9,
};

/// The accounts of the first two funded keys.
const FIRST: &str = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266";
const SECOND: &str = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8";

async fn operator(node: &Node) -> String {
    let (_, account) = answer(node.internal(Method::GET, "/account")).await;
    account["operator"].as_str().unwrap().to_owned()
}

/// The changes of the operator account in the node's log.
async fn changes(node: &Node) -> Value {
    let (_, history) = node.get("/compliance_history?filters=key_rotation").await;
    history["count"].clone()
}

/// From and to which account, of each change in the node's log.
async fn recorded(node: &Node) -> Vec<(String, String)> {
    let (_, history) = node.get("/compliance_history?filters=key_rotation").await;
    let mut recorded = Vec::new();
    for line in history["history"].as_array().unwrap() {
        let route = format!("/receipts/events/{}", line["index"]);
        let receipt = eventually("the change is anchored", || async {
            let (status, receipt) = node.get(&route).await;
            (status == StatusCode::OK).then_some(receipt)
        })
        .await;
        let account = |name: &str| receipt["event"]["details"][name].as_str().unwrap().to_owned();
        recorded.push((account("from"), account("to")));
    }
    recorded
}

fn to_second() -> Value {
    json!({"private_key": FUNDED_KEYS[1]})
}

#[tokio::test]
async fn the_log_goes_on_through_the_change_and_a_restart() {
    let (home, chain) = (tempdir().unwrap(), tempdir().unwrap());
    let devnet = Devnet::start(chain.path()).await;
    let setup = NodeSetup::new(home.path()).on_chain(&devnet.url, FUNDED_KEYS[0]);
    let node = setup.start().await;
    let token = node.issue(1000).await;
    let before = node.must_share("before the change", SOMEBODY).await;
    let (status, changed) = node.order("/blockchain", &to_second()).await;
    assert_eq!(status, StatusCode::OK, "{changed}");
    assert_eq!(changed["operator"], SECOND, "{changed}");
    let after = node.must_share("after the change", SOMEBODY).await;

    let node = node.restart().await;
    assert_eq!(
        node.address(),
        FIRST,
        "the node is still found under its own address"
    );
    assert_eq!(operator(&node).await, SECOND);
    let later = node.must_share("after the restart", SOMEBODY).await;
    for (hash, data) in [
        (before, "before the change"),
        (after, "after the change"),
        (later, "after the restart"),
    ] {
        assert_eq!(node.verifies(&hash).await["verified"], true);
        assert_eq!(node.reads(&hash).await, data.as_bytes());
        let (status, receipt) = node.get(&format!("/receipts/{hash}")).await;
        assert_eq!(status, StatusCode::OK, "{receipt}");
        assert_eq!(receipt["event"]["log"], FIRST.to_lowercase(), "{receipt}");
        let check = node.request(Method::POST, "/receipts/verify").json(&receipt);
        let (_, verdict) = answer(check).await;
        assert_eq!(verdict["valid"], true, "{verdict}");
    }
    assert_eq!(changes(&node).await, 1);

    // What the account before has issued is still minted; what it has is not spent.
    let mint = json!({"to": SECOND, "amount": "7"});
    let (status, minted) = node.order(&format!("/tokens/{token}/mint"), &mint).await;
    assert_eq!(status, StatusCode::OK, "{minted}");
    let pay = |from: &str| json!({"from": from, "to": SOMEBODY, "amount": "5", "token": token});
    let (status, refused) = node.order("/transfer", &pay(FIRST)).await;
    assert_eq!(status, StatusCode::PAYMENT_REQUIRED, "{refused}");
    let (status, paid) = node.order("/transfer", &pay(SECOND)).await;
    assert_eq!(status, StatusCode::OK, "{paid}");
    assert_eq!(node.balance(SOMEBODY, &token).await, 5);
    assert_eq!(node.balance(SECOND, &token).await, 2);
    assert_eq!(node.balance(FIRST, &token).await, 1000);
}

#[tokio::test]
async fn the_embedded_chain_takes_another_account_too() {
    let home = tempdir().unwrap();
    let node = Node::start(&home).await;
    let first = operator(&node).await;
    assert_ne!(first, SECOND);
    let (status, changed) = node.order("/blockchain", &to_second()).await;
    assert_eq!(status, StatusCode::OK, "{changed}");
    assert_eq!(operator(&node).await, SECOND);
    let hash = node.must_share("anchored by another", SOMEBODY).await;
    assert_eq!(node.verifies(&hash).await["verified"], true);
}

#[tokio::test]
async fn a_partner_learns_who_acts_on_the_chain() {
    let homes = [tempdir().unwrap(), tempdir().unwrap()];
    let partner = Node::start(&homes[0]).await;
    let node = NodeSetup::new(homes[1].path()).peer(&partner).start().await;
    partner.has_peers(1).await;
    let route = format!("/network/addresses/{}", node.address());
    let known = async |operator: &str| {
        eventually("the partner knows the operator account", || async {
            let (_, record) = partner.get(&route).await;
            (record["operator"] == operator).then_some(())
        })
        .await;
    };
    known(node.address()).await;
    let (status, changed) = node.order("/blockchain", &to_second()).await;
    assert_eq!(status, StatusCode::OK, "{changed}");
    known(SECOND).await;
    let node = node.restart().await;
    known(SECOND).await;
    assert_eq!(operator(&node).await, SECOND);
}

#[tokio::test]
async fn what_was_queued_is_done_by_the_account_that_it_was_asked_of() {
    let Some(anvil) = Anvil::start(&[]).await else {
        return;
    };
    let home = tempdir().unwrap();
    let node = NodeSetup::new(home.path())
        .on_chain(&anvil.url, FUNDED_KEYS[0])
        .env("DM_PAYMENTS__PATIENCE_SECS", "1")
        .start()
        .await;
    let token = node.issue(1000).await;
    anvil.rpc("evm_setAutomine", json!([false])).await;
    let (status, queued) = node
        .order("/transfer", &node.transfer_to(SOMEBODY, &token, 5))
        .await;
    assert_eq!(status, StatusCode::ACCEPTED, "{queued}");
    let change = to_second();
    let (changed, ()) = tokio::join!(node.order("/blockchain", &change), async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        anvil.rpc("evm_setAutomine", json!([true])).await;
        anvil.rpc("evm_mine", json!([])).await;
    });
    assert_eq!(changed.0, StatusCode::OK, "{}", changed.1);
    eventually("the queued transfer is made", || async {
        (node.balance(SOMEBODY, &token).await == 5).then_some(())
    })
    .await;
    assert_eq!(node.balance(FIRST, &token).await, 995);
    node.must_share("after the change", SOMEBODY).await;
}

#[tokio::test]
async fn a_change_survives_kill_9_at_every_moment() {
    for moment in [0, 5, 15, 30, 60, 120] {
        let (home, chain) = (tempdir().unwrap(), tempdir().unwrap());
        let devnet = Devnet::start(chain.path()).await;
        let setup = NodeSetup::new(home.path()).on_chain(&devnet.url, FUNDED_KEYS[0]);
        let node = setup.start().await;
        let before = node.must_share("before the change", SOMEBODY).await;
        let change = to_second();
        tokio::join!(node.try_order("/blockchain", "change", &change), async {
            tokio::time::sleep(Duration::from_millis(moment)).await;
            kill_9(node.id()).await;
        });
        let node = node.kill().await.start().await;
        // Whoever heard no answer asks again.
        let (status, changed) = node.order("/blockchain", &change).await;
        assert_eq!(status, StatusCode::OK, "killed after {moment} ms: {changed}");
        assert_eq!(operator(&node).await, SECOND);
        let after = node.must_share("after the change", SOMEBODY).await;
        for hash in [before, after] {
            assert_eq!(
                node.verifies(&hash).await["verified"],
                true,
                "killed after {moment} ms"
            );
        }
        assert_eq!(
            recorded(&node).await,
            [(FIRST.to_owned(), SECOND.to_owned())],
            "killed after {moment} ms"
        );
    }
}
