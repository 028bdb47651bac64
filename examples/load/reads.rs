//! Local reads of 1 KiB over 16 connections, beside an empty actix route.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use anyhow::ensure;

use crate::{
    http::{Connection, request},
    limits::EmptyServer,
    node::Node,
    report,
    shares::share_request,
};

const CONNECTIONS: usize = 16;
const OBJECTS: u64 = 1000;
const PERIOD: Duration = Duration::from_secs(5);

pub(crate) async fn measure(binary: &Path) -> anyhow::Result<()> {
    let node = Node::start(binary, &[]).await?;
    let requests = requests(&node).await?;
    let empty = EmptyServer::start().await?;
    let empty_requests = [request("GET", "/", "", b"")];
    let cpu = node.cpu()?;
    let (reads, read_rate) = ask_for(&node.external_api, &requests).await?;
    let cpu = (node.cpu()? - cpu).as_secs_f64() * 1000.0 / reads as f64;
    let (_, empty_rate) = ask_for(&empty.api, &empty_requests).await?;
    report::line(
        "local reads of 1 KiB, 16 connections",
        &format!("{read_rate:.0}/s"),
        &format!(
            "{:.0} % of an empty route ({empty_rate:.0}/s); goal 25,000/s or 40 %",
            100.0 * read_rate / empty_rate
        ),
    );
    report::line("CPU for each", &format!("{cpu:.3} ms"), "the older node: 0.17 ms");
    node.stop().await?;
    Ok(())
}

/// Shares objects; the requests that read them.
pub(crate) async fn requests(node: &Node) -> anyhow::Result<Vec<Vec<u8>>> {
    let mut connection = Connection::open(&node.external_api).await?;
    let mut requests = Vec::new();
    for number in 0..OBJECTS {
        let response = connection.exchange(&share_request(node, number)).await?;
        let answer: serde_json::Value = serde_json::from_slice(&response.body)?;
        let route = format!("/data/{}", answer["data_hash"].as_str().unwrap_or_default());
        requests.push(request("GET", &route, &node.api_key, b""));
    }
    Ok(requests)
}

/// Sends the requests again and again over all connections; answers and rate.
pub(crate) async fn ask_for(api: &str, requests: &[Vec<u8>]) -> anyhow::Result<(u64, f64)> {
    let began = Instant::now();
    let clients = (0..CONNECTIONS).map(|first| async move {
        let mut connection = Connection::open(api).await?;
        let mut answers = 0;
        for request in requests.iter().cycle().skip(first * 61 % requests.len()) {
            let response = connection.exchange(request).await?;
            ensure!(
                response.status == 200,
                "{}",
                String::from_utf8_lossy(&response.body)
            );
            answers += 1;
            if began.elapsed() >= PERIOD {
                break;
            }
        }
        Ok(answers)
    });
    let answers: u64 = futures::future::try_join_all(clients).await?.into_iter().sum();
    Ok((answers, answers as f64 / began.elapsed().as_secs_f64()))
}
