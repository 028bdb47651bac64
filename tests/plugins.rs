//! A node with plugins, the guard of `examples/guard` among them.

use std::{
    fs,
    path::{Path, PathBuf},
};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{
    NodeSetup, SOMEBODY, bytes, data_hash, eventually,
    http::{Answer, answer},
    node::{Node, dm_node},
    plugin::install,
};

/// A number of a payment card that no bank gives out.
const CARD: &str = "4111 1111 1111 1111";

fn example() -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/guard")).to_owned()
}

/// The component of the guard, if it was built.
fn guard() -> Option<Vec<u8>> {
    let component = fs::read(example().join("plugin.wasm")).ok();
    if component.is_none() {
        assert!(
            std::env::var_os("REQUIRE_GUARD").is_none(),
            "examples/guard is not built"
        );
        eprintln!("skipped: examples/guard is not built (npm ci && npm run build)");
    }
    component
}

/// A node that does nothing without the guard, if that was built.
pub(crate) fn guarded(home: &TempDir, settings: &str) -> Option<NodeSetup> {
    let manifest = fs::read_to_string(example().join("plugin.toml")).unwrap();
    install(home, "guard", &format!("{manifest}{settings}"), &guard()?);
    let setup = NodeSetup::new(home.path())
        .env("DM_PLUGINS__GRANTED__GUARD", "content")
        .env("DM_PLUGINS__REQUIRED", "guard");
    Some(setup)
}

async fn plugin(node: &Node) -> Value {
    let (status, body) = answer(node.internal(Method::GET, "/plugins")).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    body["plugins"][0].clone()
}

fn refused((status, body): Answer, what: &str) {
    assert_eq!(status, StatusCode::FORBIDDEN, "{body}");
    let expected = format!("plugin guard refuses this: the data contains {what}");
    assert_eq!(body["error"], expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_guard_refuses_card_numbers_and_secrets_and_nothing_else() {
    let home = tempfile::tempdir().unwrap();
    let further = "[[settings.patterns]]\nname = \"a project name\"\npattern = \"Project (Falcon|Heron)\"\n";
    let Some(setup) = guarded(&home, further) else {
        return;
    };
    let node = setup.start().await;
    let running = plugin(&node).await;
    assert_eq!(
        (&running["state"], &running["required"]),
        (&json!("running"), &json!(true))
    );
    for (data, what) in [
        (format!("pay with {CARD}, please"), "a card number"),
        ("5500-0000-0000-0004".to_owned(), "a card number"),
        ("-----BEGIN RSA PRIVATE KEY-----\nMII".to_owned(), "a private key"),
        (
            format!("export AWS_ACCESS_KEY_ID={}{}", "AKIA", "IOSFODNN7EXAMPLE"),
            "an AWS access key",
        ),
        ("about Project Heron".to_owned(), "a project name"),
    ] {
        refused(node.share(&data, SOMEBODY).await, what);
        let (status, _) = node.get(&format!("/data/{}", data_hash(data.as_bytes()))).await;
        assert_eq!(status, StatusCode::NOT_FOUND, "{data}");
    }
    for data in [
        "a number of sixteen digits without its check digit: 4111 1111 1111 1112",
        "a long number: 41111111111111111111111111",
        "0000 0000 0000 0000",
        "Project Sparrow",
    ] {
        node.must_share(data, SOMEBODY).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_guard_finds_what_lies_across_the_borders_of_pieces_of_an_upload() {
    let home = tempfile::tempdir().unwrap();
    let Some(setup) = guarded(&home, "") else { return };
    let node = setup.start().await;
    let border = 256 * 1024;
    let clean = bytes(3 * border + 17, 1);
    let (status, body) = node.put(clean.clone(), SOMEBODY).await;
    assert!(status.is_success(), "{body}");
    for start in [border - 7, 2 * border - 1, clean.len() - CARD.len()] {
        let mut data = clean.clone();
        data[start - 1] = b' ';
        data[start..start + CARD.len()].copy_from_slice(CARD.as_bytes());
        if let Some(after) = data.get_mut(start + CARD.len()) {
            *after = b' ';
        }
        refused(node.put(data, SOMEBODY).await, "a card number");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_that_is_none_keeps_no_node_from_its_work_and_is_reported() {
    let home = tempfile::tempdir().unwrap();
    let manifest = "name = \"broken\"\nversion = \"1\"\nhooks = [\"share\"]\n";
    install(&home, "broken", manifest, b"no component at all");
    let node = Node::start(&home).await;
    let broken = plugin(&node).await;
    assert_eq!(broken["state"], "failed");
    let error = broken["last_error"].as_str().unwrap();
    assert!(error.starts_with("plugin.wasm is no component"), "{error}");
    let (status, health) = answer(node.internal(Method::GET, "/health")).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(health["status"], "degraded");
    assert_eq!(health["plugins"]["broken"], "failed");
    node.must_share("all the same", SOMEBODY).await;

    // It is started again, and again, until somebody switches it off.
    eventually("it is tried again", || async {
        (plugin(&node).await["failures"].as_u64() > Some(1)).then_some(())
    })
    .await;
    let output = plugins_command(&node, &["disable", "broken"]).await;
    assert!(output.contains("The plugin broken is disabled"), "{output}");
    let node = node.restart().await;
    assert_eq!(plugin(&node).await["state"], "disabled");
    let table = plugins_command(&node, &[]).await;
    assert!(table.starts_with("PLUGIN"), "{table}");
    assert!(table.contains("disabled"), "{table}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_shares_nothing_while_a_required_plugin_does_not_run() {
    let home = tempfile::tempdir().unwrap();
    let node = NodeSetup::new(home.path())
        .env("DM_PLUGINS__REQUIRED", "guard")
        .start()
        .await;
    let (status, body) = node.share("anything", SOMEBODY).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{body}");
    let (status, body) = answer(node.internal(Method::POST, "/plugins/guard/disable")).await;
    assert_eq!(status, StatusCode::CONFLICT, "{body}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_that_is_put_there_later_is_loaded_without_a_restart() {
    let Some(component) = guard() else { return };
    let home = tempfile::tempdir().unwrap();
    let node = NodeSetup::new(home.path())
        .env("DM_PLUGINS__GRANTED__GUARD", "content")
        .start()
        .await;
    node.must_share(&format!("before: {CARD}"), SOMEBODY).await;
    let manifest = fs::read_to_string(example().join("plugin.toml")).unwrap();
    install(&home, "guard", &manifest, &component);
    let output = plugins_command(&node, &["reload", "guard"]).await;
    assert!(output.contains("The plugin guard is running"), "{output}");
    refused(
        node.share(&format!("after: {CARD}"), SOMEBODY).await,
        "a card number",
    );
    plugins_command(&node, &["disable", "guard"]).await;
    node.must_share(&format!("after: {CARD}"), SOMEBODY).await;
}

#[tokio::test]
async fn what_no_plugin_can_be_granted_is_a_fault_of_the_configuration() {
    let home = tempfile::tempdir().unwrap();
    let output = dm_node()
        .args(["config", "check"])
        .env("DM_DATA_DIR", home.path())
        .env("DM_PLUGINS__GRANTED__GUARD", "everything")
        .env("DM_PLUGINS__REQUIRED", "guard,../guard")
        .output()
        .await
        .unwrap();
    assert!(!output.status.success());
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(
        errors.contains("plugins.granted: there is no permission `everything`"),
        "{errors}"
    );
    assert!(errors.contains("plugins.required: `../guard`"), "{errors}");
}

/// What `dm-node plugins …` prints.
async fn plugins_command(node: &Node, args: &[&str]) -> String {
    let output = dm_node()
        .arg("plugins")
        .args(args)
        .args([
            "--api",
            &node.started.internal_api,
            "--api-key",
            &node.started.api_key,
        ])
        .output()
        .await
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}
