//! `verify_data` while the chain grows to 100,000 blocks and the log to a
//! million events. It takes some ten minutes, so it only runs when it is named.

use std::{path::Path, process::Stdio, time::Duration};

use anyhow::{Context, ensure};
use serde_json::Value;
use tokio::process::{Child, Command};

use crate::{
    http::{Connection, request},
    node::{Node, first_document},
    report,
    shares::share_for,
    verify::{share_and_ask, verify},
};

/// The key of the first account that the development chain funds; everybody
/// knows it.
const FUNDED_KEY: &str = "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80";
const EVENTS: [u64; 2] = [10, 1_000_000];
const HEIGHTS: [u64; 2] = [10, 100_000];
/// How long is shared before the events are counted again.
const ROUND: Duration = Duration::from_secs(10);

pub(crate) async fn measure(binary: &Path) -> anyhow::Result<()> {
    let home = tempfile::tempdir()?;
    let chain = Chain::start(binary, &home.path().join("chain")).await?;
    let node = Node::start_with(
        binary,
        &home.path().join("node"),
        &["--blockchain-url", &chain.url],
        &[("PRIVATE_KEY", FUNDED_KEY)],
    )
    .await?;
    let mut request = Vec::new();
    for number in 0..EVENTS[0] {
        request = share_and_ask(&node, number).await?;
    }
    chain.grow_to(HEIGHTS[0]).await?;
    let first = verify(&node, &request).await?;
    line(
        &format!("{} events, height {}", EVENTS[0], chain.height().await?),
        first,
        first,
    );

    chain.grow_to(HEIGHTS[1]).await?;
    let high = verify(&node, &request).await?;
    line(
        &format!("{} events, height {}", EVENTS[0], chain.height().await?),
        high,
        first,
    );

    let mut events = EVENTS[0];
    while events < EVENTS[1] {
        events += share_for(&node, ROUND).await?;
    }
    let old = verify(&node, &request).await?;
    line(&format!("{events} events, the first share"), old, first);
    let new = verify(&node, &share_and_ask(&node, events).await?).await?;
    line(&format!("{events} events, the last share"), new, first);
    node.stop().await?;
    Ok(())
}

fn line(what: &str, milliseconds: f64, first: f64) {
    report::line(
        &format!("verify_data, {what}"),
        &format!("{milliseconds:.2} ms"),
        &format!("{:.2} times the first; goal 3 ms", milliseconds / first),
    );
}

/// A development chain in a process of its own.
struct Chain {
    url: String,
    _child: Child,
}

impl Chain {
    async fn start(binary: &Path, home: &Path) -> anyhow::Result<Self> {
        let mut child = Command::new(binary)
            .args(["devnet", "--json", "--port", "0", "--data-dir"])
            .arg(home)
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let document = first_document(&mut child).await?;
        let url = document["url"]
            .as_str()
            .context("the URL of the chain")?
            .to_owned();
        Ok(Self { url, _child: child })
    }

    /// Mines empty blocks.
    async fn grow_to(&self, height: u64) -> anyhow::Result<()> {
        let mut connection = Connection::open(&self.url).await?;
        for _ in self.height().await?..height {
            call(&mut connection, "evm_mine").await?;
        }
        Ok(())
    }

    async fn height(&self) -> anyhow::Result<u64> {
        let mut connection = Connection::open(&self.url).await?;
        let answer = call(&mut connection, "eth_blockNumber").await?;
        let digits = answer.as_str().and_then(|text| text.strip_prefix("0x"));
        Ok(u64::from_str_radix(digits.context("a number")?, 16)?)
    }
}

async fn call(connection: &mut Connection, method: &str) -> anyhow::Result<Value> {
    let body = format!(r#"{{"jsonrpc": "2.0", "id": 1, "method": "{method}", "params": []}}"#);
    let response = connection
        .exchange(&request("POST", "/", "", body.as_bytes()))
        .await?;
    let mut answer: Value = serde_json::from_slice(&response.body)?;
    ensure!(answer["error"].is_null(), "{method}: {answer}");
    Ok(answer["result"].take())
}
