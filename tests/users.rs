//! Authorised users order shares by their signatures.

use std::fs;

use dm_core::receipt::Receipt;
use dm_keys::UserPublicKey;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tempfile::{TempDir, tempdir};
use tokio::process::Command;

use crate::support::{
    Devnet, FUNDED_KEYS, Node, NodeSetup, SOMEBODY, data_hash,
    http::{Answer, answer},
    node::dm_node,
    process::kill_9,
};

/// A node that shares only what users order.
fn strict(home: &TempDir) -> NodeSetup {
    NodeSetup::new(home.path()).env("DM_AUTHORIZATION__REQUIRED", "true")
}

/// What a command prints on standard output, or the error that it ends with.
pub(crate) async fn run(command: &mut Command) -> Result<String, String> {
    let done = command.output().await.unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    match done.status.success() {
        true => Ok(text(done.stdout)),
        false => Err(text(done.stderr)),
    }
}

/// `dm-node` as a client of this node.
pub(crate) fn client(node: &Node, args: &[&str]) -> Command {
    let mut command = dm_node();
    command
        .args(args)
        .env("DM_API", &node.started.external_api)
        .env("DM_INTERNAL_API_URL", &node.started.internal_api)
        .env("DM_API_KEY", &node.started.api_key);
    command
}

fn path(dir: &TempDir, name: &str) -> String {
    dir.path().join(name).to_str().unwrap().to_owned()
}

async fn openssl(args: &[&str]) {
    run(Command::new("openssl").args(args))
        .await
        .expect("OpenSSL does it");
}

/// A private and a public key that OpenSSL makes; the names of the files.
async fn key_pair(dir: &TempDir, name: &str, algorithm: &[&str]) -> (String, String) {
    let (private, public) = (
        path(dir, &format!("{name}.key")),
        path(dir, &format!("{name}.pub")),
    );
    openssl(&[&["genpkey", "-out", &private], algorithm].concat()).await;
    openssl(&["pkey", "-in", &private, "-pubout", "-out", &public]).await;
    (private, public)
}

pub(crate) async fn ed25519_user(node: &Node, dir: &TempDir, id: &str) -> (String, String) {
    let (private, public) = key_pair(dir, id, &["-algorithm", "ED25519"]).await;
    run(&mut client(node, &["user", "add", id, "--key", &public]))
        .await
        .unwrap();
    (private, public)
}

async fn receipt(node: &Node, hash: &str) -> Receipt {
    let (status, body) = node.get(&format!("/receipts/{hash}")).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    serde_json::from_value(body).unwrap()
}

/// What an auditor does who has the receipt and the user's public key alone.
fn was_ordered_by(receipt: &Receipt, public_key: &str) -> bool {
    UserPublicKey::parse(public_key)
        .unwrap()
        .check_order(&receipt.event, receipt.anchor.chain_id)
        .is_ok()
}

fn text(file: &str) -> String {
    fs::read_to_string(file).unwrap()
}

/// Arguments with which alice orders that a file is shared with somebody.
fn order_of_alice<'a>(file: &'a str, private: &'a str) -> [&'a str; 8] {
    [
        "share",
        file,
        "--to",
        SOMEBODY,
        "--user",
        "alice",
        "--user-key",
        private,
    ]
}

#[tokio::test]
async fn users_with_every_kind_of_key_order_shares_and_the_receipts_prove_it() {
    let (home, dir) = (tempdir().unwrap(), tempdir().unwrap());
    let node = strict(&home).start().await;
    let kinds: [(&str, &[&str]); 3] = [
        ("rsa", &["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:3072"]),
        ("ed25519", &["-algorithm", "ED25519"]),
        (
            "p256",
            &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"],
        ),
    ];
    let mut users = Vec::new();
    for (kind, algorithm) in kinds {
        let (private, public) = key_pair(&dir, kind, algorithm).await;
        run(&mut client(&node, &["user", "add", kind, "--key", &public]))
            .await
            .unwrap();
        users.push((kind, private, text(&public)));
    }
    let account = path(&dir, "account");
    fs::write(&account, FUNDED_KEYS[3]).unwrap();
    let address = "0x90F79bf6EB2c4f870365E785982E1f101E93b906";
    run(&mut client(
        &node,
        &["user", "add", "ethereum", "--address", address],
    ))
    .await
    .unwrap();
    users.push(("ethereum", account, address.to_owned()));

    for (kind, private, public) in users {
        let file = path(&dir, &format!("{kind}.txt"));
        fs::write(&file, format!("ordered with {kind}")).unwrap();
        let share = ["share", &file, "--to", SOMEBODY, "--json"];
        let refused = run(&mut client(&node, &share)).await.unwrap_err();
        assert!(refused.contains("signed statement"), "{refused}");
        let ordered = [&share[..], &["--user", kind, "--user-key", &private]].concat();
        let shared = run(&mut client(&node, &ordered)).await.unwrap();
        let shared: Value = serde_json::from_str(&shared).unwrap();
        let receipt = receipt(&node, shared["data_hash"].as_str().unwrap()).await;
        assert!(was_ordered_by(&receipt, &public), "{kind}");
        assert!(!was_ordered_by(&receipt, SOMEBODY), "{kind}");
    }
    let listed = run(&mut client(&node, &["user", "list"])).await.unwrap();
    assert_eq!(listed.lines().count(), 5, "{listed}");
}

#[tokio::test]
async fn a_statement_is_signed_by_openssl_and_good_once() {
    let (home, dir) = (tempdir().unwrap(), tempdir().unwrap());
    let node = strict(&home).start().await;
    let (private, _) = ed25519_user(&node, &dir, "alice").await;
    let (file, statement, signature) = (
        path(&dir, "data"),
        path(&dir, "statement"),
        path(&dir, "signature"),
    );
    fs::write(&file, "signed elsewhere").unwrap();
    let printed = ["statement", &file, "--to", SOMEBODY, "--user", "alice"];
    fs::write(&statement, run(&mut client(&node, &printed)).await.unwrap()).unwrap();
    openssl(&[
        "pkeyutl", "-sign", "-rawin", "-inkey", &private, "-in", &statement, "-out", &signature,
    ])
    .await;
    let base64 = run(Command::new("openssl").args(["base64", "-A", "-in", &signature]))
        .await
        .unwrap();
    let order = [
        "share",
        &file,
        "--to",
        SOMEBODY,
        "--user",
        "alice",
        "--statement",
        &statement,
        "--signature",
        &base64,
    ];
    run(&mut client(&node, &order)).await.unwrap();
    // Again it is the same share, for other data it is none, and after an erasure neither.
    run(&mut client(&node, &order)).await.unwrap();
    let hash = data_hash(b"signed elsewhere");
    let other = path(&dir, "other");
    fs::write(&other, "something else").unwrap();
    let refused = run(&mut client(&node, &[&["share", &other], &order[2..]].concat()))
        .await
        .unwrap_err();
    assert!(
        refused.contains(&format!("statement is for data {hash}")),
        "{refused}"
    );
    run(&mut client(&node, &["erase", &hash, "--yes"])).await.unwrap();
    let refused = run(&mut client(&node, &order)).await.unwrap_err();
    assert!(refused.contains("was used already"), "{refused}");
    let (_, history) = node.get("/compliance_history?filters=data_share").await;
    assert_eq!(history["count"], 1, "{history}");
}

#[tokio::test]
async fn a_statement_for_another_node_or_chain_is_refused() {
    let (homes, dir) = ([tempdir().unwrap(), tempdir().unwrap()], tempdir().unwrap());
    let (one, other) = (strict(&homes[0]).start().await, strict(&homes[1]).start().await);
    let (private, public) = ed25519_user(&one, &dir, "alice").await;
    run(&mut client(&other, &["user", "add", "alice", "--key", &public]))
        .await
        .unwrap();
    let file = path(&dir, "data");
    fs::write(&file, "for one node").unwrap();
    let printed = ["statement", &file, "--to", SOMEBODY, "--user", "alice"];
    let statement = run(&mut client(&one, &printed)).await.unwrap();
    let share = async |node: &Node, statement: &str| -> Answer {
        let (unsigned, signature) = (path(&dir, "statement"), path(&dir, "signature"));
        fs::write(&unsigned, statement).unwrap();
        openssl(&[
            "pkeyutl", "-sign", "-rawin", "-inkey", &private, "-in", &unsigned, "-out", &signature,
        ])
        .await;
        let base64 = run(Command::new("openssl").args(["base64", "-A", "-in", &signature]))
            .await
            .unwrap();
        let body = json!({
            "data": "for one node", "recipient": SOMEBODY,
            "user_id": "alice", "statement": statement, "signature": base64,
        });
        answer(node.request(Method::POST, "/share_data").json(&body)).await
    };
    let (status, body) = share(&other, &statement).await;
    assert_eq!(status, StatusCode::FORBIDDEN, "{body}");
    assert!(
        body["error"].as_str().unwrap().contains("is for the log of"),
        "{body}"
    );
    let elsewhere = statement.replace("\"chain_id\":31337", "\"chain_id\":1");
    let (status, body) = share(&one, &elsewhere).await;
    assert_eq!(status, StatusCode::FORBIDDEN, "{body}");
    assert_eq!(body["error"], "statement is for chain 1, not 31337");
    let (status, body) = share(&one, &statement).await;
    assert!(status.is_success(), "{body}");
}

#[tokio::test]
async fn an_ordered_share_keeps_its_order_through_kill_9_and_a_removed_user_orders_nothing() {
    let (home, dir) = (tempdir().unwrap(), tempdir().unwrap());
    let mut node = strict(&home).start().await;
    let (private, public) = ed25519_user(&node, &dir, "alice").await;
    for moment in [0_u64, 2, 5, 10, 20, 40] {
        let file = path(&dir, &format!("{moment}"));
        fs::write(&file, format!("killed after {moment} ms")).unwrap();
        let order = order_of_alice(&file, &private);
        let mut interrupted = client(&node, &order);
        tokio::join!(async { drop(run(&mut interrupted).await) }, async {
            tokio::time::sleep(std::time::Duration::from_millis(20 + moment)).await;
            kill_9(node.id()).await;
        });
        node = node.kill().await.start().await;
        // Whoever heard no answer orders again.
        run(&mut client(&node, &order)).await.unwrap();
        let hash = data_hash(format!("killed after {moment} ms").as_bytes());
        assert!(
            was_ordered_by(&receipt(&node, &hash).await, &text(&public)),
            "{moment}"
        );
    }
    run(&mut client(&node, &["user", "remove", "alice"]))
        .await
        .unwrap();
    let file = path(&dir, "late");
    fs::write(&file, "too late").unwrap();
    let order = order_of_alice(&file, &private);
    let refused = run(&mut client(&node, &order)).await.unwrap_err();
    assert!(refused.contains("alice is no authorised user"), "{refused}");
}

#[tokio::test]
async fn an_auditor_with_a_receipt_a_public_key_and_the_chain_sees_who_ordered_it() {
    let (chain_home, home, dir) = (tempdir().unwrap(), tempdir().unwrap(), tempdir().unwrap());
    let chain = Devnet::start(chain_home.path()).await;
    let node = strict(&home).on_chain(&chain.url, FUNDED_KEYS[0]).start().await;
    let (private, public) = ed25519_user(&node, &dir, "alice").await;
    let (_, stranger) = key_pair(&dir, "stranger", &["-algorithm", "ED25519"]).await;
    let (file, kept) = (path(&dir, "data"), path(&dir, "receipt.json"));
    fs::write(&file, "to be audited").unwrap();
    let order = order_of_alice(&file, &private);
    run(&mut client(&node, &order)).await.unwrap();
    let receipt = receipt(&node, &data_hash(b"to be audited")).await;
    node.kill().await;

    let verify = async |receipt: &Receipt, key: &str| {
        fs::write(&kept, serde_json::to_string(receipt).unwrap()).unwrap();
        let args = [
            "verify",
            "--chain",
            &chain.url,
            "--receipt",
            &kept,
            "--user-key",
            key,
            "--json",
        ];
        let done = dm_node().args(args).output().await.unwrap();
        let verdict: Value = serde_json::from_slice(&done.stdout).unwrap();
        assert_eq!(done.status.success(), verdict["verified"] == true, "{verdict}");
        verdict
    };
    let verdict = verify(&receipt, &public).await;
    assert_eq!(
        (&verdict["verified"], &verdict["user_id"]),
        (&json!(true), &json!("alice"))
    );
    let verdict = verify(&receipt, &stranger).await;
    assert!(
        verdict["reason"]
            .as_str()
            .unwrap()
            .contains("signed with the key"),
        "{verdict}"
    );
    // The mandate is part of the leaf: it can be neither changed nor left out.
    let mut changed = receipt.clone();
    changed.event.mandate.as_mut().unwrap().user_id = "bob".parse().unwrap();
    let mut left_out = receipt;
    left_out.event.mandate = None;
    for forged in [changed, left_out] {
        assert_eq!(verify(&forged, &public).await["verified"], false);
    }
}
