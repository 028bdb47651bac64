//! `dm-node doctor`, as an operator meets it.

use std::{path::Path, process::Output};

use serde_json::Value;
use tempfile::tempdir;

use crate::support::{Node, node::dm_node};

async fn doctor(data_dir: &Path, env: &[(&str, &str)]) -> Output {
    let mut command = dm_node();
    command
        .args(["doctor", "--json", "--data-dir"])
        .arg(data_dir)
        .env("DM_NETWORK__HOST", "127.0.0.1")
        .envs(env.iter().copied());
    command.output().await.unwrap()
}

/// The findings of one check: how bad, and what.
fn findings<'a>(document: &'a Value, check: &str) -> Vec<(&'a str, &'a str)> {
    let findings = document["findings"].as_array().unwrap();
    findings
        .iter()
        .filter(|finding| finding["check"] == check)
        .map(|finding| {
            let severity = finding["severity"].as_str().unwrap();
            let has_action = finding["action"].is_string();
            assert_eq!(has_action, severity != "good", "{finding}");
            (severity, finding["found"].as_str().unwrap())
        })
        .collect()
}

fn document(output: &Output) -> Value {
    let errors = String::from_utf8_lossy(&output.stderr);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {errors}"))
}

#[tokio::test]
async fn the_doctor_names_each_fault_around_a_node_and_no_secret() {
    let home = tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let output = doctor(
        home.path(),
        &[
            ("BLOCKCHAIN_URL", "http://user:hidden-1@127.0.0.1:1/hidden-2"),
            ("DM_CATALOG_URL", "postgres://node:hidden-3@127.0.0.1:1/catalog"),
            ("DM_STORAGE__OBJECTS_URL", "s3://bucket/node"),
            ("DM_STORAGE__S3__ENDPOINT", "http://127.0.0.1:1"),
            ("DM_STORAGE__S3__ALLOW_HTTP", "true"),
            ("AWS_ACCESS_KEY_ID", "id"),
            ("AWS_SECRET_ACCESS_KEY", "hidden-4"),
            ("KEY_MASTER_PASSWORD", "hidden-5"),
            ("INITIAL_PEERS", "127.0.0.1:1"),
            ("DM_INTERNAL_API__PORT", &port),
            ("DM_EXTERNAL_API__TLS__CERT_FILE", "/nowhere/cert.pem"),
            ("DM_EXTERNAL_API__TLS__KEY_FILE", "/nowhere/key.pem"),
        ],
    )
    .await;
    assert_eq!(output.status.code(), Some(2));
    let document = document(&output);
    assert_eq!(document["worst"], "fault");
    for (check, expected) in [
        ("chain", "http://127.0.0.1:1 does not answer"),
        ("database", "127.0.0.1:1 does not answer"),
        ("object_store", "http://127.0.0.1:1 does not answer"),
        ("peers", "127.0.0.1:1 does not answer"),
        ("ports", "internal_api.port: TCP"),
        ("certificates", "external_api.tls.cert_file: /nowhere/cert.pem"),
    ] {
        let found = findings(&document, check);
        let is_there = found
            .iter()
            .any(|(severity, found)| *severity == "fault" && found.contains(expected));
        assert!(is_there, "{check}: {found:?}");
    }
    assert_eq!(findings(&document, "clock")[0].0, "warning");
    assert!(!findings(&document, "disk").is_empty());
    assert!(!document.to_string().contains("hidden"), "{document}");
    assert_eq!(
        std::fs::read_dir(home.path()).unwrap().count(),
        0,
        "nothing is left behind"
    );
}

#[tokio::test]
async fn each_port_that_another_program_has_is_named_by_its_setting() {
    let home = tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let port = address.port().to_string();
    let free = [
        ("BLOCKCHAIN_URL", "devnet"),
        ("DM_INTERNAL_API__PORT", "0"),
        ("DM_EXTERNAL_API__PORT", "0"),
        ("DM_DASHBOARD_API__PORT", "0"),
        ("DM_NETWORK__LISTEN", "false"),
        ("DM_METRICS__LISTEN", "127.0.0.1:0"),
    ];
    for (setting, variable, value) in [
        ("dashboard_api.port", "DM_DASHBOARD_API__PORT", &port),
        ("metrics.listen", "DM_METRICS__LISTEN", &address.to_string()),
    ] {
        let env: Vec<(&str, &str)> = free.into_iter().chain([(variable, value.as_str())]).collect();
        let document = document(&doctor(home.path(), &env).await);
        let found = findings(&document, "ports");
        let expected = format!("{setting}: TCP {address} cannot be taken");
        assert!(found.len() == 1 && found[0].1.starts_with(&expected), "{found:?}");
    }
    let document = document(&doctor(home.path(), &free).await);
    assert_eq!(
        findings(&document, "ports"),
        [("good", "all ports of the node are free")]
    );
}

#[tokio::test]
async fn the_doctor_lets_a_running_node_work() {
    let home = tempdir().unwrap();
    let node = Node::start(&home).await;
    let output = doctor(home.path(), &[("BLOCKCHAIN_URL", "devnet")]).await;
    let document = document(&output);
    assert_eq!(findings(&document, "ports")[0].0, "good", "{document}");
    assert_eq!(findings(&document, "database")[0].0, "good", "{document}");
    assert_eq!(findings(&document, "permissions")[0].0, "good", "{document}");
    assert_ne!(document["worst"], "fault", "{document}");
    node.must_share("after the doctor", crate::support::SOMEBODY)
        .await;
}

#[tokio::test]
async fn a_configuration_that_cannot_be_used_is_the_doctors_one_finding() {
    let home = tempdir().unwrap();
    let output = doctor(home.path(), &[("DM_P2P_PORT", "many"), ("PRIVATE_KEY", "hidden")]).await;
    assert_eq!(output.status.code(), Some(2));
    let document = document(&output);
    let found = findings(&document, "configuration");
    assert_eq!(found.len(), 1);
    assert!(
        found[0].1.contains("p2p_port") && found[0].1.contains("private_key"),
        "{found:?}"
    );
    assert!(!document.to_string().contains("hidden"), "{document}");
}
