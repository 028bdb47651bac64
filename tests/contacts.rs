//! Names for addresses, in HTTP and on the command line.

use reqwest::Method;
use serde_json::{Value, json};
use tempfile::tempdir;

use crate::{
    support::{Node, NodeSetup, SOMEBODY, eventually, http::answer},
    users::{client, run},
};

/// What a command prints as JSON.
async fn document(node: &Node, args: &[&str]) -> Value {
    let text = run(client(node, args).arg("--json")).await.unwrap();
    serde_json::from_str(&text).unwrap()
}

#[tokio::test]
async fn a_file_is_shared_with_a_contact_by_its_name_and_the_name_outlives_a_restart() {
    let (first_home, second_home) = (tempdir().unwrap(), tempdir().unwrap());
    let partner = Node::start(&second_home).await;
    let node = NodeSetup::new(first_home.path()).peer(&partner).start().await;
    let address = partner.address().to_owned();
    let added = document(
        &node,
        &["contacts", "add", "Acme", &address, "--note", "a partner"],
    )
    .await;
    assert_eq!(added["name"], "acme");
    assert_eq!(added["trust"], "accept");
    let node = node.restart().await;
    let file = first_home.path().join("report.txt");
    std::fs::write(&file, "for acme").unwrap();
    let shared = document(&node, &["share", file.to_str().unwrap(), "--to", "acme"]).await;
    assert_eq!(shared["recipient"], address);
    let hash = shared["data_hash"].as_str().unwrap();
    let granted = document(&node, &["grant", hash, "--to", SOMEBODY]).await;
    assert_eq!(granted["recipient"], SOMEBODY);
    let read = eventually("the partner reads it", async || {
        partner.get(&format!("/data/{hash}")).await.1["data"]
            .as_str()
            .map(str::to_owned)
    });
    assert_eq!(read.await, "for acme");
    let listed = run(&mut client(&node, &["contacts"])).await.unwrap();
    assert!(listed.contains("acme") && listed.contains(&address), "{listed}");
    let shown = run(&mut client(&node, &["contacts", "show", "acme"]))
        .await
        .unwrap();
    assert!(shown.contains("note     a partner"), "{shown}");
    run(&mut client(&node, &["contacts", "remove", "acme"]))
        .await
        .unwrap();
    let refused = run(&mut client(
        &node,
        &["share", file.to_str().unwrap(), "--to", "acme"],
    ))
    .await;
    assert!(refused.unwrap_err().contains("there is no contact acme"));
}

#[tokio::test]
async fn names_that_could_be_mistaken_are_refused_on_the_command_line_and_in_http() {
    let home = tempdir().unwrap();
    let node = Node::start(&home).await;
    let huge = "a".repeat(10 * 1024);
    for name in ["..", "a/b", "a b", "1acme", "0xacme", "äcme", SOMEBODY, &huge] {
        let refused = run(&mut client(&node, &["contacts", "add", name, SOMEBODY])).await;
        let error = refused.unwrap_err();
        assert!(error.contains("must be a letter and up to 31 more"), "{error}");
    }
    let wrong = SOMEBODY.replace("dE", "De");
    let refused = run(&mut client(&node, &["contacts", "add", "acme", &wrong])).await;
    assert!(refused.unwrap_err().contains("EIP-55"));
    let put = node.internal(Method::PUT, "/contacts/acme");
    let put = put.json(&json!({"address": wrong, "trust": "accept"}));
    let (status, body) = answer(put).await;
    assert_eq!((status.as_u16(), &body["field"]), (422, &json!("address")));
}
