//! A recipient comes back after its owner has gone: how long until all that was shared with
//! it meanwhile stands in its inbox.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use serde_json::Value;
use tempfile::TempDir;

use crate::{
    chain::{Chain, FUNDED_KEYS},
    http::{Connection, request},
    node::Node,
    report,
    shares::{share_many_with, share_request_to},
};

/// Nodes of the network, the owner and the recipient included.
const NODES: usize = 20;
const SHARES: u64 = 1_000;
/// The goal for the last of them.
const GOAL: Duration = Duration::from_secs(60);
const PATIENCE: Duration = Duration::from_secs(300);
/// How long the owner has to bring copies and notices to the others. With many peers a node
/// never comes quite to rest.
const SPREADING: Duration = Duration::from_secs(90);

pub(crate) async fn measure(binary: &Path) -> anyhow::Result<()> {
    let home = tempfile::tempdir()?;
    let chain = Chain::start(binary, &home.path().join("chain")).await?;
    let network = Network::start(binary, &home, &chain).await?;
    let owner = network.join("owner", Some(FUNDED_KEYS[0])).await?;
    let recipient = network.join("recipient", Some(FUNDED_KEYS[1])).await?;
    // The owner learns the key of the recipient.
    share_first(&owner, &recipient.address).await?;
    wait(&recipient, 1).await?;
    let address = recipient.address.clone();
    recipient.stop().await?;
    share_many_with(&owner, &address, SHARES).await?;
    // The owner brings copies and notices to the others.
    owner.rest(SPREADING).await?;
    owner.kill().await?;
    let began = Instant::now();
    let recipient = network.join("recipient", Some(FUNDED_KEYS[1])).await?;
    wait(&recipient, SHARES as usize + 1).await?;
    report::line(
        &format!("{SHARES} shares of an owner that is gone in the inbox, {NODES} nodes"),
        &format!("{:.1} s", began.elapsed().as_secs_f64()),
        &format!("since the start of the recipient; goal {} s", GOAL.as_secs()),
    );
    recipient.stop().await?;
    network.stop().await
}

/// Nodes that know each other, and how further ones join them.
struct Network<'a> {
    binary: &'a Path,
    home: &'a TempDir,
    chain: &'a Chain,
    others: Vec<Node>,
}

impl<'a> Network<'a> {
    async fn start(binary: &'a Path, home: &'a TempDir, chain: &'a Chain) -> anyhow::Result<Self> {
        let mut network = Self {
            binary,
            home,
            chain,
            others: Vec::new(),
        };
        for number in 0..NODES - 2 {
            let node = network.join(&format!("other-{number}"), None).await?;
            network.others.push(node);
        }
        Ok(network)
    }

    async fn join(&self, name: &str, key: Option<&str>) -> anyhow::Result<Node> {
        let mut variables = vec![("BLOCKCHAIN_URL", self.chain.url.as_str())];
        variables.extend(key.map(|key| ("PRIVATE_KEY", key)));
        let peers: Vec<&str> = self.others.iter().take(2).map(|node| node.p2p.as_str()).collect();
        let args: Vec<&str> = peers.iter().flat_map(|peer| ["--peer", peer]).collect();
        Node::start_with(self.binary, &self.home.path().join(name), &args, &variables).await
    }

    async fn stop(self) -> anyhow::Result<()> {
        for node in self.others {
            node.stop().await?;
        }
        Ok(())
    }
}

async fn share_first(owner: &Node, recipient: &str) -> anyhow::Result<()> {
    let mut connection = Connection::open(&owner.external_api).await?;
    let response = connection
        .exchange(&share_request_to(owner, recipient, 0))
        .await?;
    ensure!(
        response.status == 201,
        "{}",
        String::from_utf8_lossy(&response.body)
    );
    Ok(())
}

/// Waits until so many items have come to the inbox.
async fn wait(recipient: &Node, items: usize) -> anyhow::Result<()> {
    let mut connection = Connection::open(&recipient.external_api).await?;
    let began = Instant::now();
    let (mut place, mut come) = (String::new(), 0);
    while come < items {
        ensure!(began.elapsed() < PATIENCE, "{come} of {items} items came");
        let route = format!("/events?topics=data.received&limit=1000&wait=1{place}");
        let asked = request("GET", &route, &recipient.api_key, b"");
        let page: Value = serde_json::from_slice(&connection.exchange(&asked).await?.body)?;
        come += page["events"].as_array().with_context(|| page.to_string())?.len();
        place = format!("&cursor={}", page["cursor"].as_str().context("a cursor")?);
    }
    Ok(())
}
