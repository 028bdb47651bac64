//! The master password is changed, with the node running and stopped.

use std::{path::Path, process::Output, time::Duration};

use dm_core::secret::SecretString;
use dm_keys::{KEYSTORE_FILE, KeyError, LocalAccount};
use reqwest::StatusCode;
use serde_json::json;
use tempfile::tempdir;

use crate::support::{Node, NodeSetup, node::dm_node, process::kill_9};

fn setup(home: &Path, password: &str) -> NodeSetup {
    NodeSetup::new(home).env("KEY_MASTER_PASSWORD", password)
}

/// Starts the node with this password, or says why it does not start.
async fn start(home: &Path, password: &str) -> Result<Node, String> {
    setup(home, password).try_start().await
}

async fn change(node: &Node, old: &str, new: &str) -> StatusCode {
    let passwords = json!({"old_password": old, "new_password": new});
    node.order("/keys/password", &passwords).await.0
}

/// Whether the password opens the operator account's own file.
fn opens_keystore(home: &Path, password: &str) -> bool {
    let keystore = home.join(KEYSTORE_FILE);
    match LocalAccount::open_keystore(&keystore, &SecretString::new(password)) {
        Ok(_) => true,
        Err(KeyError::WrongPassword(_)) => false,
        Err(error) => panic!("{error}"),
    }
}

#[tokio::test]
async fn a_running_node_goes_on_with_the_new_password_and_a_wrong_one_changes_nothing() {
    let home = tempdir().unwrap();
    let node = start(home.path(), "first").await.unwrap();
    let hash = node.must_share("kept", node.address()).await;
    assert_eq!(
        change(&node, "wrong", "second").await,
        StatusCode::UNPROCESSABLE_ENTITY
    );
    let node = node.restart().await;
    assert_eq!(change(&node, "first", "second").await, StatusCode::OK);
    // What is changed now is kept under the new password.
    let (status, rotated) = node.order("/keys/rotate", &json!({})).await;
    assert_eq!(status, StatusCode::OK, "{rotated}");
    assert_eq!(node.reads(&hash).await, b"kept");
    node.stop().await;
    let refusal = start(home.path(), "first").await.err().unwrap();
    assert!(refusal.contains("wrong password for"), "{refusal}");
    assert!(opens_keystore(home.path(), "second") && !opens_keystore(home.path(), "first"));
    let node = start(home.path(), "second").await.unwrap();
    assert_eq!(node.reads(&hash).await, b"kept");
    let (_, history) = node.get("/compliance_history?filters=key_rotation").await;
    assert_eq!(history["count"], 2, "{history}");
}

#[tokio::test]
async fn killed_at_any_moment_one_of_both_passwords_opens_everything() {
    let home = tempdir().unwrap();
    let mut password = "password 0".to_owned();
    let mut node = start(home.path(), &password).await.unwrap();
    let address = node.address().to_owned();
    let hash = node.must_share("kept", node.address()).await;
    for moment in [0, 200, 400, 600, 800, 1100, 1500] {
        let next = format!("password after {moment} ms");
        let passwords = json!({"old_password": password, "new_password": next});
        tokio::join!(node.try_order("/keys/password", "change", &passwords), async {
            tokio::time::sleep(Duration::from_millis(moment)).await;
            kill_9(node.id()).await;
        });
        node.kill().await;
        let (opened_by, started) = match start(home.path(), &next).await {
            Ok(started) => (next, started),
            Err(_) => (password.clone(), start(home.path(), &password).await.unwrap()),
        };
        assert!(
            opens_keystore(home.path(), &opened_by),
            "killed after {moment} ms"
        );
        if opened_by != password {
            assert!(
                !opens_keystore(home.path(), &password),
                "killed after {moment} ms"
            );
        }
        assert_eq!(started.address(), address);
        assert_eq!(started.reads(&hash).await, b"kept");
        (password, node) = (opened_by, started);
    }
}

async fn change_by_command(home: &Path, old: &str, new: &str, more: &[&str]) -> Output {
    let mut command = dm_node();
    command
        .args(["key", "change-password", "--data-dir"])
        .arg(home)
        .args(more)
        .env("KEY_MASTER_PASSWORD", old)
        .env("NEW_KEY_MASTER_PASSWORD", new);
    command.output().await.unwrap()
}

fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[tokio::test]
async fn the_command_changes_it_in_the_directory_or_through_the_running_node() {
    let home = tempdir().unwrap();
    let node = start(home.path(), "first").await.unwrap();
    let hash = node.must_share("kept", node.address()).await;

    let refused = change_by_command(home.path(), "first", "second", &[]).await;
    assert!(!refused.status.success());
    assert!(errors(&refused).contains("--api"), "{}", errors(&refused));
    let place = [
        "--api",
        &node.started.internal_api,
        "--api-key",
        &node.started.api_key,
    ];
    let refused = change_by_command(home.path(), "wrong", "second", &place).await;
    assert!(!refused.status.success());
    let changed = change_by_command(home.path(), "first", "second", &place).await;
    assert!(changed.status.success(), "{}", errors(&changed));
    assert_eq!(node.reads(&hash).await, b"kept");
    node.stop().await;

    let refused = change_by_command(home.path(), "first", "third", &[]).await;
    assert!(
        errors(&refused).contains("wrong password for"),
        "{}",
        errors(&refused)
    );
    let changed = change_by_command(home.path(), "second", "third", &[]).await;
    assert!(changed.status.success(), "{}", errors(&changed));
    let node = start(home.path(), "third").await.unwrap();
    assert_eq!(node.reads(&hash).await, b"kept");
}
