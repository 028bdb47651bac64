//! Shares of 1 KiB on a node whose metrics are read each second, beside a node without metrics.

use std::{path::Path, time::Duration};

use anyhow::ensure;
use tokio::time::interval;

use crate::{node::Node, report, shares::share_for};

/// How long each node works in a round.
const SPELL: Duration = Duration::from_secs(5);
const ROUNDS: u32 = 6;
/// Between two readings; Prometheus waits fifteen times as long by default.
const PACE: Duration = Duration::from_secs(1);

pub(crate) async fn measure(binary: &Path) -> anyhow::Result<()> {
    let homes = (tempfile::tempdir()?, tempfile::tempdir()?);
    let watched = start(binary, homes.0.path(), "127.0.0.1:0").await?;
    let alone = start(binary, homes.1.path(), "off").await?;
    // The first share deploys the contract.
    for node in [&watched, &alone] {
        share_for(node, Duration::from_secs(1)).await?;
    }
    let (mut with, mut without, mut pages) = (0, 0, 0);
    // In turn, because the machine differs from minute to minute.
    for _ in 0..ROUNDS {
        let read = read_again_and_again(&watched.metrics);
        tokio::select! {
            shared = share_for(&watched, SPELL) => with += shared?,
            ended = read => pages += ended?,
        }
        without += share_for(&alone, SPELL).await?;
        pages += read_once(&watched.metrics).await?;
    }
    ensure!(pages > 0, "nobody has read the metrics");
    let seconds = f64::from(ROUNDS) * SPELL.as_secs_f64();
    let rate = |shares: u64| shares as f64 / seconds;
    report::line(
        "shares of 1 KiB, 64 connections, metrics read each second",
        &format!("{:.0}/s", rate(with)),
        &format!(
            "{:.1} % of {:.0}/s without metrics; goal 98 %",
            100.0 * with as f64 / without as f64,
            rate(without)
        ),
    );
    watched.stop().await?;
    alone.stop().await?;
    Ok(())
}

async fn start(binary: &Path, home: &Path, listen: &str) -> anyhow::Result<Node> {
    Node::start_with(binary, home, &[], &[("DM_METRICS__LISTEN", listen)]).await
}

/// Ends with an error only.
async fn read_again_and_again(url: &str) -> anyhow::Result<u64> {
    let mut ticks = interval(PACE);
    loop {
        ticks.tick().await;
        read_once(url).await?;
    }
}

async fn read_once(url: &str) -> anyhow::Result<u64> {
    let page = reqwest::get(url).await?.error_for_status()?.text().await?;
    ensure!(page.ends_with("# EOF\n"), "the page is cut");
    Ok(1)
}
