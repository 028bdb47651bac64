//! What a node keeps in its database for all its instances: keys, API keys, namespaces.

use std::process::Output;

use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};
use tempfile::{TempDir, tempdir};

use crate::support::{
    Node, NodeSetup, SOMEBODY, eventually, http::answer, node::dm_node, plugin::install, postgres::Postgres,
};

const PASSWORD: &str = "correct horse battery staple";

/// A node on a data directory of its own, whose keys are in the database.
fn setup(home: &TempDir, postgres: &Postgres) -> NodeSetup {
    settings(postgres)
        .into_iter()
        .fold(NodeSetup::new(home.path()), |setup, (name, value)| {
            setup.env(name, &value)
        })
}

fn settings(postgres: &Postgres) -> [(&'static str, String); 3] {
    let password = postgres.password_file().to_str().unwrap().to_owned();
    [
        ("DM_CATALOG_URL", postgres.url()),
        ("DM_CATALOG__PASSWORD_FILE", password),
        ("KEY_MASTER_PASSWORD", PASSWORD.to_owned()),
    ]
}

/// Runs a command on a data directory.
async fn command(home: &TempDir, postgres: &Postgres, arguments: &[&str]) -> Output {
    dm_node()
        .args(arguments)
        .arg("--data-dir")
        .arg(home.path().join("node"))
        .envs(settings(postgres))
        .output()
        .await
        .unwrap()
}

async fn internal(node: &Node, route: &str) -> Value {
    let (status, body) = answer(node.internal(Method::GET, route)).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    body
}

/// The versions of the key-encryption key, and the public keys for grants.
async fn keys(node: &Node) -> (Vec<u64>, Value) {
    let keys = internal(node, "/keys").await;
    let versions = keys["versions"].as_array().unwrap();
    let versions = versions.iter().map(|key| key["version"].as_u64().unwrap());
    (versions.collect(), keys["hpke_keys"].clone())
}

async fn rotate(node: &Node, route: &str) {
    let (status, rotated) = answer(node.internal(Method::POST, route)).await;
    assert_eq!(status, StatusCode::OK, "{rotated}");
}

/// Bytes that have passed for an API key.
async fn used(node: &Node, id: &str) -> u64 {
    let list = internal(node, "/api_keys").await;
    let keys = list["api_keys"].as_array().unwrap();
    let key = keys.iter().find(|key| key["id"] == id).unwrap();
    key["bytes_used"].as_u64().unwrap()
}

fn peer_id(node: &Node) -> String {
    let address = &node.started.p2p[0];
    address.rsplit('/').next().unwrap().to_owned()
}

#[tokio::test]
async fn a_second_data_directory_goes_on_with_the_node_in_the_database() {
    let Some(postgres) = Postgres::running().await else {
        return;
    };
    let homes = [tempdir().unwrap(), tempdir().unwrap()];
    for home in &homes {
        let manifest = "name = \"broken\"\nversion = \"1\"\nhooks = [\"events\"]\n";
        install(home, "broken", manifest, b"no component at all");
    }
    let first = setup(&homes[0], &postgres).start().await;
    let hash = first.must_share("from the first data directory", SOMEBODY).await;
    rotate(&first, "/keys/rotate").await;
    rotate(&first, "/keys/hpke/rotate").await;
    let request = json!({"name": "narrow", "scopes": ["share"], "bytes_budget": 1_000_000});
    let (status, narrow) = answer(first.internal(Method::POST, "/api_keys").json(&request)).await;
    assert_eq!(status, StatusCode::CREATED, "{narrow}");
    let (id, narrow) = (narrow["id"].as_str().unwrap(), narrow["key"].as_str().unwrap());
    let body = json!({"data": "on a budget", "recipient": SOMEBODY});
    let share = |node: &Node| {
        let url = format!("{}/share_data", node.started.external_api);
        Client::new()
            .post(url)
            .header("X-API-Key", narrow)
            .json(&body)
            .send()
    };
    assert!(share(&first).await.unwrap().status().is_success());
    let (status, body) = answer(first.internal(Method::POST, "/plugins/broken/disable")).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    let (address, known) = (first.address().to_owned(), keys(&first).await);
    let (peer, spent) = (peer_id(&first), used(&first, id).await);
    assert!(spent > 0);
    let (first, status, errors) = first.stop().await;
    assert!(status.success(), "{errors}");
    for file in ["keys.json", "keystore.json", "catalog.sqlite"] {
        assert!(!homes[0].path().join(file).exists(), "{file}");
    }

    let second = setup(&homes[1], &postgres).start().await;
    assert_eq!(second.address(), address);
    assert_eq!(keys(&second).await, known);
    // What was read before the first one stopped may lack its last answer.
    assert!(used(&second, id).await >= spent);
    assert!(share(&second).await.unwrap().status().is_success());
    let plugins = internal(&second, "/plugins").await;
    assert_eq!(plugins["plugins"][0]["state"], "disabled", "{plugins}");
    let (_, history) = second.get("/compliance_history?filters=data_share").await;
    let events = history["history"].as_array().unwrap();
    assert!(
        events.iter().any(|event| event["data_hash"] == *hash),
        "{history}"
    );
    assert_ne!(peer_id(&second), peer);
    rotate(&second, "/keys/rotate").await;
    let (known, (_, status, errors)) = (keys(&second).await, second.stop().await);
    assert!(status.success(), "{errors}");

    let first = first.start().await;
    assert_eq!(keys(&first).await, known);
    assert_eq!(peer_id(&first), peer);
    assert_eq!(first.reads(&hash).await, b"from the first data directory");
}

#[tokio::test]
async fn a_running_node_takes_over_a_rotation_of_the_keys_in_its_database() {
    let Some(postgres) = Postgres::running().await else {
        return;
    };
    let (home, other) = (tempdir().unwrap(), tempdir().unwrap());
    let node = setup(&home, &postgres).start().await;
    let before = node.must_share("before the rotation", SOMEBODY).await;
    for arguments in [&["key", "rotate"][..], &["key", "rotate", "--hpke"]] {
        let rotated = command(&other, &postgres, arguments).await;
        assert!(rotated.status.success(), "{rotated:?}");
    }
    eventually("the node has the new keys", || async {
        let (versions, grants) = keys(&node).await;
        (versions == [1, 2] && grants.as_array().unwrap().len() == 2).then_some(())
    })
    .await;
    let after = node.must_share("after the rotation", SOMEBODY).await;
    rotate(&node, "/keys/rotate").await;
    assert_eq!(keys(&node).await.0, [1, 2, 3]);
    let node = node.restart().await;
    assert_eq!(node.reads(&before).await, b"before the rotation");
    assert_eq!(node.reads(&after).await, b"after the rotation");
}

#[tokio::test]
async fn init_makes_the_keys_in_the_database_once() {
    let Some(postgres) = Postgres::running().await else {
        return;
    };
    let homes = [tempdir().unwrap(), tempdir().unwrap()];
    let made = command(&homes[0], &postgres, &["init", "--json"]).await;
    assert!(made.status.success(), "{made:?}");
    let made: Value = serde_json::from_slice(&made.stdout).unwrap();
    assert!(!homes[0].path().join("node/keys.json").exists());

    let again = command(&homes[1], &postgres, &["init", "--json"]).await;
    let said = String::from_utf8_lossy(&again.stderr).into_owned();
    assert!(
        !again.status.success() && said.contains("holds a node already"),
        "{said}"
    );
    assert!(!homes[1].path().join("node").exists());

    let node = setup(&homes[1], &postgres).start().await;
    assert_eq!(node.address(), made["address"]);
    let url = format!("{}/compliance_history", node.started.external_api);
    let with_first_key = Client::new()
        .get(url)
        .header("X-API-Key", made["api_key"].as_str().unwrap());
    assert_eq!(with_first_key.send().await.unwrap().status(), StatusCode::OK);

    // A password that does not open them is told, and makes no other keys.
    let (setup, _, _) = node.stop().await;
    let refused = setup.env("KEY_MASTER_PASSWORD", "another one").try_start().await;
    let said = refused.err().unwrap();
    assert!(
        said.contains("wrong password for keys.json in the catalog at postgres://"),
        "{said}"
    );
}
