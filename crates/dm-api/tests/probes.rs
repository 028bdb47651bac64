//! What load balancers ask of an instance, and which instances there are.

use std::sync::Arc;

use dm_core::{
    health::{Finding, Trouble},
    ports::HealthCheck,
};
use reqwest::Method;
use serde_json::{Value, json};

use crate::common::{Answer, TestConfig, TestNode, start, start_with};

struct FullStore;

#[async_trait::async_trait]
impl HealthCheck for FullStore {
    fn part(&self) -> &'static str {
        "object_store"
    }

    async fn check(&self) -> Finding {
        Finding::Failed(Trouble::new("no room is left on the device", "make room"))
    }
}

/// What `/livez` and `/readyz` of both APIs answer, asked in both ways.
async fn probes(node: &TestNode) -> Vec<(u16, Value)> {
    let mut answers = Vec::new();
    for base in [&node.internal, &node.external] {
        for path in ["/livez", "/readyz"] {
            let url = format!("{base}{path}");
            let answer = Answer::of(node.bare(Method::GET, &url)).await;
            let head = node.bare(Method::HEAD, &url).send().await.unwrap();
            assert_eq!(head.status(), answer.status);
            answers.push((answer.status, answer.body));
        }
    }
    answers
}

fn live_and_ready(ready: bool) -> Vec<(u16, Value)> {
    let status = if ready { 200 } else { 503 };
    let one = || [(200, json!({"alive": true})), (status, json!({"ready": ready}))];
    [one(), one()].concat()
}

#[actix_web::test]
async fn a_node_is_ready_without_its_chain_and_not_without_room_in_its_stores() {
    let node = start().await;
    node.log.set_fault("forked");
    assert_eq!(probes(&node).await, live_and_ready(true));
    let full = TestConfig {
        checks: vec![Arc::new(FullStore)],
        ..TestConfig::default()
    };
    assert_eq!(probes(&start_with(full).await).await, live_and_ready(false));
}

#[actix_web::test]
async fn a_node_that_is_about_to_stop_is_live_and_not_ready() {
    let node = start().await;
    node.readiness.drain();
    assert_eq!(probes(&node).await, live_and_ready(false));
}

#[actix_web::test]
async fn administrators_see_the_instances_and_which_of_them_leads() {
    let node = start().await;
    let answer = node.get_internal("/instances").await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.body["epoch"], Value::Null);
    let [own] = answer.body["instances"].as_array().unwrap().as_slice() else {
        panic!("{}", answer.body);
    };
    assert_eq!(own["leader"], true);
    assert_eq!(
        (&own["version"], &own["peer_id"]),
        (&json!("1.2.3"), &json!("own peer"))
    );
    assert_eq!(own["id"].as_str().unwrap().len(), 32);
    assert!(own["started_at"].as_u64() <= own["seen_at"].as_u64());
}
