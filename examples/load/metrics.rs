//! Shares of 1 KiB on a node whose metrics are read each second, and on one that sends the
//! trace of each share to a collector besides, beside a node with neither.

use std::{path::Path, time::Duration};

use anyhow::ensure;
use tempfile::TempDir;
use tokio::time::interval;

use crate::{collector::Collector, node::Node, report, shares::share_for};

/// How long each node works in a round.
const SPELL: Duration = Duration::from_secs(5);
const ROUNDS: u32 = 6;
/// Between two readings; Prometheus waits fifteen times as long by default.
const PACE: Duration = Duration::from_secs(1);

/// A node, how many shares it has made, and its processor time for them.
struct Measured {
    node: Node,
    shares: u64,
    cpu: Duration,
    _home: TempDir,
}

pub(crate) async fn measure(binary: &Path) -> anyhow::Result<()> {
    let collector = Collector::start().await?;
    let metrics = ("DM_METRICS__LISTEN", "127.0.0.1:0");
    let off = ("DM_METRICS__LISTEN", "off");
    let mut alone = Measured::start(binary, &[off]).await?;
    let mut watched = Measured::start(binary, &[metrics]).await?;
    let mut traced = Measured::start(binary, &[metrics, ("DM_TRACES__OTLP_URL", &collector.url)]).await?;
    // In turn, because the machine differs from minute to minute.
    for _ in 0..ROUNDS {
        alone.work().await?;
        watched.work_and_be_read().await?;
        traced.work_and_be_read().await?;
    }
    ensure!(collector.bytes() > 0, "no trace has come");
    ensure!(
        page(&traced.node.metrics).await?.contains("# {trace_id="),
        "metrics have no exemplar"
    );
    watched.report("metrics read each second", &alone);
    traced.report("and a trace of each sent", &alone);
    report::line(
        "bytes of traces for each share",
        &format!("{:.0}", collector.bytes() as f64 / traced.shares as f64),
        "",
    );
    for measured in [alone, watched, traced] {
        measured.node.stop().await?;
    }
    Ok(())
}

impl Measured {
    async fn start(binary: &Path, variables: &[(&str, &str)]) -> anyhow::Result<Self> {
        let home = tempfile::tempdir()?;
        let node = Node::start_with(binary, home.path(), &[], variables).await?;
        // The first share deploys the contract.
        share_for(&node, Duration::from_secs(1)).await?;
        Ok(Self {
            node,
            shares: 0,
            cpu: Duration::ZERO,
            _home: home,
        })
    }

    async fn work(&mut self) -> anyhow::Result<()> {
        let began = self.node.cpu()?;
        self.shares += share_for(&self.node, SPELL).await?;
        self.cpu += self.node.cpu()? - began;
        Ok(())
    }

    /// Milliseconds of processor time for a share.
    fn cpu_ms(&self) -> f64 {
        self.cpu.as_secs_f64() * 1000.0 / self.shares as f64
    }

    async fn work_and_be_read(&mut self) -> anyhow::Result<()> {
        let url = self.node.metrics.clone();
        tokio::select! {
            worked = self.work() => worked,
            failed = read_again_and_again(&url) => failed,
        }
    }

    fn report(&self, what: &str, alone: &Self) {
        let seconds = f64::from(ROUNDS) * SPELL.as_secs_f64();
        report::line(
            &format!("shares of 1 KiB, 64 connections, {what}"),
            &format!("{:.0}/s", self.shares as f64 / seconds),
            &format!(
                "{:.1} % of {:.0}/s with neither metrics nor traces; goal 98 %",
                100.0 * self.shares as f64 / alone.shares as f64,
                alone.shares as f64 / seconds
            ),
        );
        report::line(
            "CPU for each",
            &format!("{:.3} ms", self.cpu_ms()),
            &format!(
                "{:.3} times {:.3} ms",
                self.cpu_ms() / alone.cpu_ms(),
                alone.cpu_ms()
            ),
        );
    }
}

/// Ends with an error only.
async fn read_again_and_again(url: &str) -> anyhow::Result<()> {
    let mut ticks = interval(PACE);
    loop {
        ticks.tick().await;
        page(url).await?;
    }
}

async fn page(url: &str) -> anyhow::Result<String> {
    let page = reqwest::get(url).await?.error_for_status()?.text().await?;
    ensure!(page.ends_with("# EOF\n"), "the page is cut");
    Ok(page)
}
