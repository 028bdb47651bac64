//! What a node costs beside the number of objects that it stores: start, memory, idling,
//! shares.

use std::{path::Path, time::Duration};

use crate::{
    node::Node,
    report,
    shares::{share_for, share_many},
};

mod fill;
mod foreign;
mod own;
mod table;

pub(crate) use fill::Filled;
pub(crate) use table::write_plots;

/// Lets the node take all these objects of others.
const ENVIRONMENT: [(&str, &str); 1] = [("DM_NETWORK__MAX_FOREIGN_BYTES", "1099511627776")];
/// How long a node may take to come to rest, and how much longer for each of its objects.
const REST_PATIENCE: Duration = Duration::from_secs(15 * 60);
const REST_PER_OBJECT: Duration = Duration::from_millis(1);
/// Of a core: a node that uses less has indexed what it found.
const SETTLED: f64 = 0.08;
/// Over this the CPU time of an idle node is taken.
const IDLE: Duration = Duration::from_secs(60);
/// Starts after a close, and after a kill, of which the median counts.
const STARTS: usize = 3;
/// How long a node has work before it is killed.
const BEFORE_KILL: Duration = Duration::from_secs(2);
/// Shares of one round, and rounds, in turn on the full and on the empty node.
const ROUND: u64 = 500;
const ROUNDS: usize = 4;

/// What a node with so many objects costs.
pub(crate) struct Costs {
    pub(crate) objects: u64,
    /// Objects that were made in a second.
    pub(crate) fill_rate: f64,
    pub(crate) disk_gib: f64,
    /// Seconds from the start of the process to a node that answers.
    pub(crate) start: f64,
    pub(crate) start_after_kill: f64,
    /// CPU seconds from there until it is at rest.
    pub(crate) settling: f64,
    /// MiB, at the most meanwhile, and when it is at rest.
    pub(crate) settling_mib: f64,
    pub(crate) idle_mib: f64,
    /// Of a core.
    pub(crate) idle_percent: f64,
    /// Milliseconds of CPU for a share, and beside those of the empty node.
    pub(crate) share_ms: f64,
    pub(crate) share_ratio: f64,
    /// MiB at the most during the shares.
    pub(crate) shares_mib: f64,
}

/// Measures nodes with these numbers of objects, one after the other. `kept` names a folder whose
/// data directories are used where they are there, and which keeps those that are made.
pub(crate) async fn measure(binary: &Path, sizes: &[u64], kept: Option<&Path>) -> anyhow::Result<Vec<Costs>> {
    table::heading();
    let mut all = Vec::new();
    for objects in sizes {
        let costs = match kept {
            Some(kept) => measure_one(binary, &kept.join(objects.to_string()), *objects).await?,
            None => measure_one(binary, tempfile::tempdir()?.path(), *objects).await?,
        };
        table::line(&costs);
        all.push(costs);
    }
    Ok(all)
}

/// Makes the data directory of a node that stores so many objects, unless it is there.
pub(crate) async fn fill(binary: &Path, home: &Path, objects: u64) -> anyhow::Result<Filled> {
    if let Some(filled) = Filled::before(home, objects)? {
        return Ok(filled);
    }
    // The node makes its keys.
    start(binary, home).await?.stop().await?;
    let folder = home.to_owned();
    tokio::task::spawn_blocking(move || fill::fill(&folder, objects)).await?
}

async fn measure_one(binary: &Path, home: &Path, objects: u64) -> anyhow::Result<Costs> {
    let filled = fill(binary, home, objects).await?;
    let patience = REST_PATIENCE + REST_PER_OBJECT * u32::try_from(objects)?;
    // The first start anchors what is in the log, and indexes the objects.
    let node = start(binary, home).await?;
    node.rest_below(SETTLED, patience).await?;
    node.stop().await?;

    let start_after_close = after_close(binary, home).await?;
    let node = start(binary, home).await?;
    let began = node.cpu()?;
    node.forget_peak();
    node.rest_below(SETTLED, patience).await?;
    let settling = (node.cpu()? - began).as_secs_f64();
    let (idle_mib, settling_mib) = node.memory()?;
    let idle_percent = idle_percent(&node).await?;
    node.forget_peak();
    let (share_ms, empty_ms) = share_on_both(binary, &node).await?;
    let (_, shares_mib) = node.memory()?;
    node.stop().await?;
    Ok(Costs {
        objects,
        fill_rate: objects as f64 / filled.took.as_secs_f64(),
        disk_gib: filled.bytes as f64 / (1_u64 << 30) as f64,
        start: start_after_close,
        start_after_kill: after_kill(binary, home).await?,
        settling,
        settling_mib,
        idle_mib,
        idle_percent,
        share_ms,
        share_ratio: share_ms / empty_ms,
        shares_mib,
    })
}

/// Percent of a core that a node uses in a minute in which nobody asks it anything.
pub(crate) async fn idle_percent(node: &Node) -> anyhow::Result<f64> {
    let began = node.cpu()?;
    tokio::time::sleep(IDLE).await;
    Ok(100.0 * (node.cpu()? - began).as_secs_f64() / IDLE.as_secs_f64())
}

async fn start(binary: &Path, home: &Path) -> anyhow::Result<Node> {
    Node::start_with(binary, home, &[], &ENVIRONMENT).await
}

/// Seconds that a start takes after the node was closed.
async fn after_close(binary: &Path, home: &Path) -> anyhow::Result<f64> {
    let mut times = Vec::new();
    for _ in 0..STARTS {
        let node = start(binary, home).await?;
        times.push(node.started_in.as_secs_f64());
        node.stop().await?;
    }
    Ok(report::median(times))
}

/// Seconds that a start takes after the node was killed under load.
async fn after_kill(binary: &Path, home: &Path) -> anyhow::Result<f64> {
    let mut times = Vec::new();
    for _ in 0..STARTS {
        let node = start(binary, home).await?;
        share_for(&node, BEFORE_KILL).await?;
        node.kill().await?;
        let node = start(binary, home).await?;
        times.push(node.started_in.as_secs_f64());
        node.kill().await?;
    }
    Ok(report::median(times))
}

/// Milliseconds of CPU for a share, on this node and on an empty one.
async fn share_on_both(binary: &Path, full: &Node) -> anyhow::Result<(f64, f64)> {
    let empty = Node::start(binary, &[]).await?;
    // The first shares deploy the contract and fill the caches.
    share_many(full, ROUND).await?;
    share_many(&empty, ROUND).await?;
    let (mut on_full, mut on_empty) = (Duration::ZERO, Duration::ZERO);
    for _ in 0..ROUNDS {
        on_full += share_cpu(full).await?;
        on_empty += share_cpu(&empty).await?;
    }
    empty.stop().await?;
    let milliseconds = |cpu: Duration| cpu.as_secs_f64() * 1000.0 / (ROUND as f64 * ROUNDS as f64);
    Ok((milliseconds(on_full), milliseconds(on_empty)))
}

/// CPU time of one round of shares.
async fn share_cpu(node: &Node) -> anyhow::Result<Duration> {
    let began = node.cpu()?;
    share_many(node, ROUND).await?;
    Ok(node.cpu()? - began)
}
