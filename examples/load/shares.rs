//! Shares of 1 KiB over 64 connections: durable and anchored.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::ensure;

use crate::{
    http::{Connection, request},
    node::Node,
    report,
};

const CONNECTIONS: usize = 64;
const PERIOD: Duration = Duration::from_secs(10);

pub(crate) async fn measure(binary: &Path) -> anyhow::Result<()> {
    let node = Node::start(binary, &[]).await?;
    // The first share deploys the contract.
    share_for(&node, Duration::from_secs(1)).await?;
    let (cpu, began) = (node.cpu()?, Instant::now());
    let shares = share_for(&node, PERIOD).await? as f64;
    let rate = shares / began.elapsed().as_secs_f64();
    let cpu = (node.cpu()? - cpu).as_secs_f64() * 1000.0 / shares;
    report::line(
        "shares of 1 KiB, 64 connections",
        &format!("{rate:.0}/s"),
        "goal 2,000/s",
    );
    report::line("CPU for each", &format!("{cpu:.2} ms"), "goal 0.5 ms");
    node.stop().await?;
    Ok(())
}

/// Shares as fast as it goes; how many shares were anchored.
pub(crate) async fn share_for(node: &Node, period: Duration) -> anyhow::Result<u64> {
    share_through(std::slice::from_ref(node), period).await
}

/// Shares through several instances of a node, each with its part of the connections; how many
/// shares were anchored.
pub(crate) async fn share_through(nodes: &[Node], period: Duration) -> anyhow::Result<u64> {
    let deadline = Instant::now() + period;
    share_while(nodes, share_request, |_| Instant::now() < deadline).await
}

/// Makes this many shares with the node itself as fast as it goes.
pub(crate) async fn share_many(node: &Node, shares: u64) -> anyhow::Result<()> {
    share_many_with(node, &node.address, shares).await
}

/// Makes this many shares with a recipient as fast as it goes.
pub(crate) async fn share_many_with(node: &Node, recipient: &str, shares: u64) -> anyhow::Result<()> {
    let request = |number| share_request_to(node, recipient, number);
    make_many(node, request, shares).await
}

/// Makes this many shares by these requests as fast as it goes. Each has a number of its own.
pub(crate) async fn make_many(
    node: &Node,
    request: impl Fn(u64) -> Vec<u8>,
    shares: u64,
) -> anyhow::Result<()> {
    let nodes = std::slice::from_ref(node);
    let request = |_: &Node, number| request(number);
    share_while(nodes, request, |begun| begun < shares)
        .await
        .map(drop)
}

/// Shares until `goes_on`, which is told how many shares have begun, says no; how many
/// shares were anchored.
async fn share_while(
    nodes: &[Node],
    request: impl Fn(&Node, u64) -> Vec<u8>,
    goes_on: impl Fn(u64) -> bool,
) -> anyhow::Result<u64> {
    let first = u64::from(rand::random::<u32>());
    let (begun, request, goes_on) = (Arc::new(AtomicU64::new(0)), &request, &goes_on);
    let clients = (0..CONNECTIONS).map(|client| {
        let (begun, node) = (begun.clone(), &nodes[client % nodes.len()]);
        async move {
            let mut connection = Connection::open(&node.external_api).await?;
            let mut anchored = 0;
            loop {
                let number = begun.fetch_add(1, Ordering::Relaxed);
                if !goes_on(number) {
                    return Ok(anchored);
                }
                let response = connection.exchange(&request(node, first + number)).await?;
                ensure!(
                    response.status == 201,
                    "{}",
                    String::from_utf8_lossy(&response.body)
                );
                anchored += 1;
            }
        }
    });
    Ok(futures::future::try_join_all(clients).await?.into_iter().sum())
}

/// A request to share 1 KiB with the node itself that differs for each number.
pub(crate) fn share_request(node: &Node, number: u64) -> Vec<u8> {
    share_request_to(node, &node.address, number)
}

/// The same for another recipient.
pub(crate) fn share_request_to(node: &Node, recipient: &str, number: u64) -> Vec<u8> {
    let data = format!("{number:01024}");
    let body = format!("{{\"data\": \"{data}\", \"recipient\": \"{recipient}\"}}");
    request("POST", "/share_data", &node.api_key, body.as_bytes())
}
