//! `verify_data`, and how it changes with the height of the chain and the
//! length of the log.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use anyhow::ensure;

use crate::{
    http::{Connection, request},
    node::Node,
    report,
    shares::{share_for, share_request},
};

const ASKED: usize = 200;

pub(crate) async fn measure(binary: &Path) -> anyhow::Result<()> {
    let node = Node::start(binary, &[]).await?;
    let request = share_and_ask(&node, 1).await?;
    let short = verify(&node, &request).await?;
    let shares = share_for(&node, Duration::from_secs(20)).await?;
    let long = verify(&node, &request).await?;
    report::line("verify_data, one event", &format!("{short:.2} ms"), "goal 3 ms");
    report::line(
        &format!("verify_data, {shares} events later"),
        &format!("{long:.2} ms"),
        &format!("{:.2} times that", long / short),
    );
    node.stop().await?;
    Ok(())
}

/// Shares something; the request that verifies it.
pub(crate) async fn share_and_ask(node: &Node, number: u64) -> anyhow::Result<Vec<u8>> {
    let mut connection = Connection::open(&node.external_api).await?;
    let response = connection.exchange(&share_request(node, number)).await?;
    let answer: serde_json::Value = serde_json::from_slice(&response.body)?;
    let hash = answer["data_hash"].as_str().unwrap_or_default();
    Ok(request("GET", &format!("/verify_data/{hash}"), "", b""))
}

/// The median time of a verification in milliseconds.
pub(crate) async fn verify(node: &Node, request: &[u8]) -> anyhow::Result<f64> {
    let mut connection = Connection::open(&node.external_api).await?;
    let mut times = Vec::new();
    for _ in 0..ASKED {
        let began = Instant::now();
        let response = connection.exchange(request).await?;
        times.push(began.elapsed().as_secs_f64() * 1000.0);
        ensure!(
            response.status == 200 && find_verified(&response.body),
            "{}",
            String::from_utf8_lossy(&response.body)
        );
    }
    Ok(report::median(times))
}

fn find_verified(body: &[u8]) -> bool {
    serde_json::from_slice::<serde_json::Value>(body).is_ok_and(|answer| answer["verified"] == true)
}
