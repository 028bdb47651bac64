//! What an idle node with many objects costs, alone and beside many peers.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use serde_json::Value;

use crate::{
    chain::Chain,
    http::{Connection, request},
    node::Node,
    report,
    size::{fill, idle_percent},
};

/// Lets the node take the objects of others that it is filled with, and lets it and its peers,
/// which have one address, connect with each other.
const ENVIRONMENT: [(&str, &str); 4] = [
    ("DM_NETWORK__MAX_FOREIGN_BYTES", "1099511627776"),
    ("DM_NETWORK__MAX_CONNECTIONS", "2048"),
    ("DM_NETWORK__MAX_CONNECTIONS_PER_ADDRESS", "1024"),
    ("DM_NETWORK__ADDRESS_CONNECTIONS_PER_SEC", "1024"),
];
/// How long the node may take to connect with all peers.
const CONNECTING: Duration = Duration::from_secs(300);
/// How long it may take to come to rest: so long, and so much longer for each thousand objects,
/// of which it brings copies to its peers.
const REST_PATIENCE: Duration = Duration::from_secs(15 * 60);
const REST_PATIENCE_OF_THOUSAND: Duration = Duration::from_secs(10);
/// It has brought its copies when it uses less of a core than this.
const AT_REST: f64 = 0.05;
/// Minutes of which the median counts.
const MINUTES: usize = 5;
/// Of a core.
const GOAL: f64 = 3.0;

/// Measures a node with so many objects, alone and beside so many peers.
pub(crate) async fn measure(binary: &Path, objects: u64, peers: usize) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let home = folder.path().join("node");
    fill(binary, &home, objects).await?;
    let node = Node::start_with(binary, &home, &[], &ENVIRONMENT).await?;
    node.rest(REST_PATIENCE).await?;
    let alone = idle(&node).await?;

    let chain = Chain::start(binary, &folder.path().join("chain")).await?;
    let mut others = Vec::new();
    for number in 0..peers {
        let home = folder.path().join(format!("peer-{number}"));
        others.push(join(binary, &home, &node, &chain).await?);
    }
    connects(&node, peers as u64).await?;
    let patience = REST_PATIENCE + REST_PATIENCE_OF_THOUSAND * u32::try_from(objects / 1000)?;
    node.rest_below(AT_REST, patience).await?;
    let beside = idle(&node).await?;
    let connected = connected_peers(&node).await?;
    report::line(
        &format!("idle CPU with {objects} objects and {connected} peers"),
        &format!("{beside:.2} % of a core"),
        &format!("goal {GOAL} %; without peers: {alone:.2} %"),
    );
    report::line(
        "resident memory of this node",
        &format!("{:.0} MiB", node.memory()?.0),
        "",
    );
    for other in others {
        other.stop().await?;
    }
    node.stop().await?;
    Ok(())
}

/// The middle one of some minutes.
async fn idle(node: &Node) -> anyhow::Result<f64> {
    let mut minutes = Vec::new();
    for _ in 0..MINUTES {
        minutes.push(idle_percent(node).await?);
    }
    Ok(report::median(minutes))
}

/// Starts a peer of the node, which stores nothing yet.
async fn join(binary: &Path, home: &Path, node: &Node, chain: &Chain) -> anyhow::Result<Node> {
    let mut variables = ENVIRONMENT.to_vec();
    variables.push(("BLOCKCHAIN_URL", &chain.url));
    Node::start_with(binary, home, &["--peer", &node.p2p], &variables).await
}

/// Waits until the node is connected with so many peers.
async fn connects(node: &Node, peers: u64) -> anyhow::Result<()> {
    let began = Instant::now();
    while connected_peers(node).await? < peers {
        ensure!(began.elapsed() < CONNECTING, "not all peers are connected");
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    Ok(())
}

async fn connected_peers(node: &Node) -> anyhow::Result<u64> {
    let asked = request("GET", "/network/stats", &node.api_key, b"");
    let answer = Connection::open(&node.external_api)
        .await?
        .exchange(&asked)
        .await?;
    let stats: Value = serde_json::from_slice(&answer.body)?;
    let active = stats["active_peers"].as_u64();
    active.with_context(|| format!("the number of peers, and not {stats}"))
}
