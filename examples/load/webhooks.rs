//! Events that are delivered to one receiver, in order, beside the bare HTTP client that
//! sends the same bodies to the same receiver.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use anyhow::ensure;
use serde_json::json;

use crate::{
    node::Node,
    receiver::{Call, Receiver, subscribe},
    report,
    shares::share_many,
};

/// Each of them is an event.
const SHARES: u64 = 10_000;

pub(crate) async fn measure(binary: &Path) -> anyhow::Result<()> {
    let node = Node::start_here(binary).await?;
    share_many(&node, SHARES).await?;
    let receiver = Receiver::start().await?;
    let began = Instant::now();
    let cpu = node.cpu()?;
    subscribe(&node, "all", &receiver.url, json!({"start": "beginning"})).await?;
    let calls = receiver.take(SHARES as usize).await?;
    let rate = rate(&calls, began);
    let cpu = (node.cpu()? - cpu).as_secs_f64() * 1000.0 / SHARES as f64;
    ensure!(
        calls.is_sorted_by(|one, next| one.position < next.position),
        "the events are not in order"
    );
    let bare = bare_rate(&receiver, &calls).await?;
    report::line(
        "webhook events to one receiver, in order",
        &format!("{rate:.0}/s"),
        &format!(
            "{:.0} % of the bare HTTP client ({bare:.0}/s); goal 2,000/s",
            100.0 * rate / bare
        ),
    );
    report::line("CPU for each", &format!("{cpu:.3} ms"), "");
    node.stop().await?;
    Ok(())
}

/// Calls in a second, from this moment to the last one.
fn rate(calls: &[Call], began: Instant) -> f64 {
    let lasted = calls.last().map_or(Duration::ZERO, |last| last.at - began);
    calls.len() as f64 / lasted.as_secs_f64()
}

/// The same bodies, each when the one before is answered.
async fn bare_rate(receiver: &Receiver, calls: &[Call]) -> anyhow::Result<f64> {
    let client = reqwest::Client::builder().no_proxy().build()?;
    let began = Instant::now();
    for call in calls {
        let response = client.post(&receiver.url).body(call.body.clone()).send().await?;
        ensure!(response.status().is_success(), "{}", response.status());
    }
    Ok(rate(&receiver.take(calls.len()).await?, began))
}
