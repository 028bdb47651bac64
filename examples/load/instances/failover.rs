//! From `kill -9` of the leader to the next anchor, with the default settings.

use std::time::Instant;

use anyhow::{Context, ensure};
use dm_testing::waiting::eventually;
use serde_json::Value;

use super::commons::Commons;
use crate::{
    http::{Connection, request},
    node::Node,
    report,
    shares::share_request,
};

const INSTANCES: usize = 3;
const ROUNDS: u64 = 5;

pub(super) async fn measure(commons: &Commons) -> anyhow::Result<()> {
    let mut instances: Vec<(usize, Node)> = Vec::new();
    for number in 0..INSTANCES {
        let peer = instances.first().map(|(_, first)| first);
        instances.push((number, commons.start(number, peer).await?));
    }
    let mut seconds = Vec::new();
    for round in 0..ROUNDS {
        // All of them, the one that was just started too, have taken a share before.
        for (number, node) in &instances {
            share(node, round * 100 + *number as u64).await?;
        }
        let leading = leader(&instances).await?;
        let (number, leader) = instances.remove(leading);
        let began = Instant::now();
        leader.kill().await?;
        // It answers once it is anchored.
        share(&instances[0].1, round * 100 + 99).await?;
        seconds.push(began.elapsed().as_secs_f64());
        let again = commons.start(number, Some(&instances[0].1)).await?;
        instances.push((number, again));
    }
    let longest = seconds.iter().copied().fold(0.0, f64::max);
    report::line(
        &format!("kill -9 of the leader to the next anchor, {ROUNDS} times"),
        &format!("{:.1} s", report::median(seconds)),
        &format!("longest {longest:.1} s; goal 10 s"),
    );
    for (_, node) in instances {
        node.stop().await?;
    }
    Ok(())
}

async fn share(node: &Node, number: u64) -> anyhow::Result<()> {
    let response = Connection::open(&node.external_api)
        .await?
        .exchange(&share_request(node, number))
        .await?;
    ensure!(
        response.status == 201,
        "{}: {}",
        response.status,
        String::from_utf8_lossy(&response.body)
    );
    Ok(())
}

/// Which of the instances leads; waits until one does.
async fn leader(instances: &[(usize, Node)]) -> anyhow::Result<usize> {
    let asked = &instances[0].1;
    let peer_id = eventually("an instance leads", async || leader_seen_by(asked).await.ok()).await;
    instances
        .iter()
        .position(|(_, node)| node.p2p.ends_with(&peer_id))
        .context("the leader is one of these instances")
}

/// The peer id of the leader.
async fn leader_seen_by(node: &Node) -> anyhow::Result<String> {
    let response = Connection::open(&node.internal_api)
        .await?
        .exchange(&request("GET", "/instances", &node.api_key, b""))
        .await?;
    let list: Value = serde_json::from_slice(&response.body)?;
    let listed = list["instances"].as_array().context("a list")?;
    let leader = listed.iter().find(|instance| instance["leader"] == true);
    let peer_id = leader.context("nobody leads")?["peer_id"].as_str();
    Ok(peer_id.context("a peer id")?.to_owned())
}
