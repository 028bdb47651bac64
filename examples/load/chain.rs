//! A development chain in a process of its own.

use std::{path::Path, process::Stdio};

use anyhow::{Context, ensure};
use serde_json::Value;
use tokio::process::{Child, Command};

use crate::{
    http::{Connection, request},
    node::first_document,
};

/// Keys of accounts that the chain funds; everybody knows them.
pub(crate) const FUNDED_KEYS: [&str; 2] = [
    "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80",
    "0x59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d",
];

pub(crate) struct Chain {
    pub(crate) url: String,
    _child: Child,
}

impl Chain {
    pub(crate) async fn start(binary: &Path, home: &Path) -> anyhow::Result<Self> {
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
    pub(crate) async fn grow_to(&self, height: u64) -> anyhow::Result<()> {
        let mut connection = Connection::open(&self.url).await?;
        for _ in self.height().await?..height {
            call(&mut connection, "evm_mine").await?;
        }
        Ok(())
    }

    pub(crate) async fn height(&self) -> anyhow::Result<u64> {
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
