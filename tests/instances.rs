//! Processes of one node on one database, of which each has objects of its own.

use std::process::Command;

use dm_core::{
    lease::{Epoch, Lease},
    ports::Leases,
};
use dm_testing::{catalog::leases::assert_one_at_a_time, collector::Collector};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tempfile::{TempDir, tempdir};

use crate::{
    support::{
        Devnet, FUNDED_KEYS, Node, NodeSetup, SOMEBODY, data_hash, eventually, http::answer,
        postgres::Postgres,
    },
    traces::{share_in_trace, trace_with, traced},
};

/// A node on one database with a data directory and a copy of it, as on another machine.
struct Copied {
    postgres: Postgres,
    chain: Devnet,
    homes: [TempDir; 2],
    _chain_home: TempDir,
}

impl Copied {
    async fn make() -> Option<Self> {
        let postgres = Postgres::running().await?;
        let chain_home = tempdir().unwrap();
        let copied = Self {
            postgres,
            chain: Devnet::start(chain_home.path()).await,
            homes: [tempdir().unwrap(), tempdir().unwrap()],
            _chain_home: chain_home,
        };
        let (_, status, errors) = copied.setup(0).start().await.stop().await;
        assert!(status.success(), "{errors}");
        let [first, second] = &copied.homes;
        let done = Command::new("cp")
            .arg("-a")
            .arg(first.path().join("."))
            .arg(second.path())
            .status();
        assert!(done.unwrap().success());
        // Not what tells which process was the last one on the directory.
        std::fs::remove_file(second.path().join("catalog-process")).unwrap();
        Some(copied)
    }

    fn setup(&self, home: usize) -> NodeSetup {
        let password = self.postgres.password_file();
        NodeSetup::new(self.homes[home].path())
            .on_chain(&self.chain.url, FUNDED_KEYS[0])
            .env("DM_CATALOG_URL", &self.postgres.url())
            .env("DM_CATALOG__PASSWORD_FILE", password.to_str().unwrap())
    }

    /// The node on the copy, as soon as it starts.
    async fn second(&self) -> Node {
        eventually("the second process starts", || async {
            match self.setup(1).try_start().await {
                Ok(node) => Some(node),
                Err(why) => {
                    assert!(why.contains("another process of this node"), "{why}");
                    None
                }
            }
        })
        .await
    }

    /// Every lease, oldest first.
    async fn leases(&self) -> Vec<Lease> {
        leases(&self.postgres).await
    }
}

/// Every lease that a database has, oldest first.
pub(crate) async fn leases(postgres: &Postgres) -> Vec<Lease> {
    let catalog = postgres.catalog().await;
    let leases = catalog.leases(Epoch(0), 10_000).await.unwrap();
    catalog.close().await.unwrap();
    leases
}

/// What a node says of its instances, once one of them leads.
pub(crate) async fn led(node: &Node) -> Value {
    eventually("somebody leads", || async {
        let (status, list) = answer(node.internal(Method::GET, "/instances")).await;
        (status == StatusCode::OK && leader(&list).is_some()).then_some(list)
    })
    .await
}

/// The id of the instance that leads.
pub(crate) fn leader(list: &Value) -> Option<String> {
    let mut listed = list["instances"].as_array()?.iter();
    let leader = listed.find(|instance| instance["leader"] == true)?;
    Some(leader["id"].as_str()?.to_owned())
}

#[tokio::test]
async fn another_process_leads_once_the_leader_was_killed_and_its_lease_has_ended() {
    let Some(copied) = Copied::make().await else {
        return;
    };
    let first = copied.setup(0).start().await;
    let before = led(&first).await;
    let Err(refused) = copied.setup(1).try_start().await else {
        panic!("it starts");
    };
    assert!(refused.contains("another process of this node"), "{refused}");
    let hash = first.must_share("before", SOMEBODY).await;
    assert_eq!(first.verifies(&hash).await["verified"], true);
    first.kill().await;

    let second = copied.second().await;
    let after = led(&second).await;
    assert!(
        after["epoch"].as_u64() > before["epoch"].as_u64(),
        "{before} {after}"
    );
    let hash = second.must_share("after", SOMEBODY).await;
    assert_eq!(second.verifies(&hash).await["verified"], true);
    assert_one_at_a_time(&copied.leases().await);
}

#[tokio::test]
async fn a_share_that_one_process_records_and_another_anchors_is_one_trace() {
    let Some(copied) = Copied::make().await else {
        return;
    };
    let (of_first, of_second) = (Collector::start().await, Collector::start().await);
    // The first one never reaches the chain.
    let first = copied.setup(0).env("BLOCKCHAIN_URL", "http://127.0.0.1:9");
    let first = traced(first, &of_first).start().await;
    assert_eq!(share_in_trace(&first, "handed on").await, StatusCode::ACCEPTED);
    let begun = trace_with(&of_first, &["share.record"]).await;
    first.kill().await;
    let second = eventually("the second process starts", || async {
        traced(copied.setup(1), &of_second).try_start().await.ok()
    });
    let _second = second.await;
    let anchored = trace_with(&of_second, &["share.anchor"]).await;
    let recorded = begun.iter().find(|span| span.name == "share.record").unwrap();
    let anchor = anchored.iter().find(|span| span.name == "share.anchor").unwrap();
    assert_eq!(anchor.parent_span_id, recorded.span_id);
}

#[tokio::test]
async fn a_suspended_process_that_was_replaced_writes_nothing_when_it_wakes() {
    let Some(copied) = Copied::make().await else {
        return;
    };
    let first = copied.setup(0).start().await;
    let first_id = leader(&led(&first).await);
    first.signal("-STOP").await;
    let second = copied.second().await;
    let second_id = leader(&led(&second).await);
    assert_ne!(first_id, second_id);
    first.signal("-CONT").await;

    let late = first.share("too late", SOMEBODY).await;
    assert_eq!(late.0, StatusCode::SERVICE_UNAVAILABLE, "{}", late.1);
    eventually("it is not ready any more", || async {
        (first.get("/readyz").await.0 == StatusCode::SERVICE_UNAVAILABLE).then_some(())
    })
    .await;
    // Not even once the other one has gone.
    second.must_share("in time", SOMEBODY).await;
    let (setup, status, errors) = second.stop().await;
    assert!(status.success(), "{errors}");
    let late = first.share("still too late", SOMEBODY).await;
    assert_eq!(late.0, StatusCode::SERVICE_UNAVAILABLE, "{}", late.1);
    let second = setup.start().await;
    assert_eq!(second.share("in time", SOMEBODY).await.0, StatusCode::CREATED);
    for text in ["too late", "still too late"] {
        let hash = data_hash(text.as_bytes());
        assert_eq!(second.object(&hash).await.0, StatusCode::NOT_FOUND);
    }
    let leases = copied.leases().await;
    assert_one_at_a_time(&leases);
    let of = |id: &Option<String>| {
        let id = id.clone();
        move |lease: &Lease| Some(lease.instance.to_string()) == id
    };
    assert!(leases.iter().rposition(of(&first_id)) < leases.iter().position(of(&second_id)));
}

#[tokio::test]
async fn a_node_without_a_database_is_one_instance_and_leads() {
    let home = tempdir().unwrap();
    let node = Node::start(&home).await;
    let list = led(&node).await;
    assert_eq!(list["epoch"], Value::Null);
    assert_eq!(list["instances"].as_array().map(Vec::len), Some(1), "{list}");
    assert_eq!(list["instances"][0]["version"], json!(env!("CARGO_PKG_VERSION")));
}
