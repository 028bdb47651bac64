//! Shares of 1 KiB through one, two and three instances, beside one client that inserts the
//! same rows in batches and does nothing else.

use std::time::{Duration, Instant};

use super::{commons::Commons, rows::Rows};
use crate::{node::Node, report, shares::share_through};

const MOST_INSTANCES: usize = 3;
const PERIOD: Duration = Duration::from_secs(10);
/// Deploys the contract, and lets the instances find each other.
const WARM_UP: Duration = Duration::from_secs(2);
/// Shares whose rows are inserted in one transaction: as many as are asked for at the same time.
const BATCH: usize = 64;

pub(super) async fn measure(commons: &Commons) -> anyhow::Result<()> {
    let mut nodes: Vec<Node> = Vec::new();
    let (mut figures, mut rows) = (Vec::new(), None);
    for count in 1..=MOST_INSTANCES {
        let node = commons.start(count, nodes.first()).await?;
        nodes.push(node);
        share_through(&nodes, WARM_UP).await?;
        if count == 1 {
            rows = Some(Rows::counted(&commons.database()).await?);
        }
        let (cpu, began) = (cpu_of(&nodes)?, Instant::now());
        let shares = share_through(&nodes, PERIOD).await? as f64;
        let rate = shares / began.elapsed().as_secs_f64();
        let cpu = (cpu_of(&nodes)? - cpu).as_secs_f64() * 1000.0 / shares;
        if let Some(rows) = rows.as_mut().filter(|_| count == 1) {
            rows.take_new().await?;
        }
        figures.push((count, rate, cpu));
    }
    for node in nodes {
        node.stop().await?;
    }
    let Some(rows) = rows else { return Ok(()) };
    let bare = rows.insert(BATCH).await?;
    let alone = figures[0].1;
    for (count, rate, cpu) in figures {
        report::line(
            &format!("shares of 1 KiB, 64 connections, {count} of {MOST_INSTANCES} instances"),
            &format!("{rate:.0}/s"),
            &format!(
                "{:.0} % of bare inserts ({bare:.0}/s), goal 80 %; {:.2} times one instance; {cpu:.2} ms of CPU each",
                100.0 * rate / bare,
                rate / alone,
            ),
        );
    }
    Ok(())
}

fn cpu_of(nodes: &[Node]) -> anyhow::Result<Duration> {
    nodes.iter().map(Node::cpu).sum()
}
