//! One share on an idle node.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use anyhow::ensure;

use crate::{http::Connection, node::Node, report, shares::share_request};

const SHARES: u64 = 50;

pub(crate) async fn measure(binary: &Path) -> anyhow::Result<()> {
    let node = Node::start(binary, &[]).await?;
    let mut connection = Connection::open(&node.external_api).await?;
    let mut times = Vec::new();
    for number in 0..SHARES {
        let request = share_request(&node, number);
        let began = Instant::now();
        let response = connection.exchange(&request).await?;
        ensure!(
            response.status == 201,
            "{}",
            String::from_utf8_lossy(&response.body)
        );
        times.push(began.elapsed().as_secs_f64() * 1000.0);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    report::line(
        "one share of 1 KiB on an idle node",
        &format!("{:.1} ms", report::median(times)),
        "goal 10 ms above the anchor's transaction, which is part of it",
    );
    node.stop().await?;
    Ok(())
}
