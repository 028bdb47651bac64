//! A thousand subscriptions of which a hundred are dead: how long after the answer to a
//! share the others are called, beside the same without the dead ones.

use std::{
    collections::HashSet,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::ensure;
use serde_json::json;
use tokio::net::TcpListener;

use crate::{
    http::Connection,
    node::Node,
    receiver::{Receiver, subscribe},
    report,
    shares::share_request,
};

const LIVING: usize = 900;
const DEAD: usize = 100;
/// One after the other, each an event for all.
const SHARES: usize = 20;
/// Between two of them.
const INTERVAL: Duration = Duration::from_secs(1);

pub(crate) async fn measure(binary: &Path) -> anyhow::Result<()> {
    let node = Node::start_here(binary).await?;
    let living = Receiver::start().await?;
    for n in 0..LIVING {
        subscribe(
            &node,
            &format!("living {n}"),
            &format!("{}/{n}", living.url),
            json!({}),
        )
        .await?;
    }
    let alone = delays(&node, &living, 0).await?;
    let refusing = Receiver::answering("500 Internal Server Error").await?;
    let hanging = TcpListener::bind("127.0.0.1:0").await?;
    // Nobody listens where a listener is closed.
    let closed = TcpListener::bind("127.0.0.1:0").await?.local_addr()?;
    let dead = [
        refusing.url.clone(),
        format!("http://{}", hanging.local_addr()?),
        format!("http://{closed}"),
    ];
    for n in 0..DEAD {
        let url = format!("{}/{n}", dead[n % dead.len()]);
        subscribe(&node, &format!("dead {n}"), &url, json!({})).await?;
    }
    let beside = delays(&node, &living, SHARES).await?;
    report::line(
        &format!("{LIVING} subscriptions, {DEAD} dead: last of all"),
        &format!("{:.0} ms", report::quantile(&beside, 1.0)),
        &format!(
            "without the dead {:.0} ms; goal 1,000 ms",
            report::quantile(&alone, 1.0)
        ),
    );
    report::line(
        "the median of all calls",
        &format!("{:.0} ms", report::quantile(&beside, 0.5)),
        &format!("without the dead {:.0} ms", report::quantile(&alone, 0.5)),
    );
    node.stop().await?;
    Ok(())
}

/// Milliseconds from the answer to a share to each of its calls, sorted.
async fn delays(node: &Node, living: &Receiver, first: usize) -> anyhow::Result<Vec<f64>> {
    let mut connection = Connection::open(&node.external_api).await?;
    let mut delays = Vec::new();
    let mut pace = tokio::time::interval(INTERVAL);
    for number in first..first + SHARES {
        pace.tick().await;
        let began = Instant::now();
        connection.exchange(&share_request(node, number as u64)).await?;
        let calls = living.take(LIVING).await?;
        let hooks: HashSet<usize> = calls.iter().map(|call| call.hook).collect();
        ensure!(hooks.len() == LIVING, "a subscription is called twice");
        let called = calls.iter().map(|call| call.at.saturating_duration_since(began));
        delays.extend(called.map(|delay| delay.as_secs_f64() * 1000.0));
    }
    delays.sort_by(f64::total_cmp);
    Ok(delays)
}
