//! Plugins hear of the events of the journal.

use serde_json::Value;
use tempfile::tempdir;

use crate::{
    event_kills::journal,
    support::{NodeSetup, SOMEBODY, eventually, plugin::install_reporter, receiver::Receiver},
};

/// What happened with shares, in the order in which the plugin has told it first.
fn shares(receiver: &Receiver) -> Vec<Value> {
    let mut told: Vec<Value> = Vec::new();
    for data in receiver.bodies() {
        if data.get("status").is_some() && data.get("recipient").is_some() && !told.contains(&data) {
            told.push(data);
        }
    }
    told
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_misses_no_event_through_a_kill_of_its_node() {
    let home = tempdir().unwrap();
    let receiver = Receiver::start().await;
    install_reporter(&home, &receiver.origin(), &receiver.url());
    let setup = NodeSetup::new(home.path()).env("DM_PLUGINS__GRANTED__SAMPLE", &receiver.origin());
    let node = setup.start().await;
    node.must_share("heard of at once", SOMEBODY).await;
    eventually("the plugin hears of it", async || {
        (!shares(&receiver).is_empty()).then_some(())
    })
    .await;
    // From here on it fails on each event, until the node is killed as well.
    let fallen = receiver.kill().await;
    node.must_share("heard of after the kill", SOMEBODY).await;
    let node = node.kill().await.start().await;
    let receiver = fallen.start().await;
    node.must_share("heard of at last", SOMEBODY).await;
    let expected: Vec<Value> = journal(&node)
        .await
        .into_iter()
        .map(|event| event["data"].clone())
        .collect();
    assert_eq!(expected.len(), 3);
    eventually("the plugin hears of all", async || {
        (shares(&receiver).len() >= expected.len()).then_some(())
    })
    .await;
    assert_eq!(shares(&receiver), expected);
}
