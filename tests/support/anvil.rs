//! A real EVM node, where there is one.

use std::path::PathBuf;

use reqwest::Client;
use serde_json::{Value, json};
use tokio::process::Command;

use super::process::Process;

pub(crate) struct Anvil {
    pub(crate) url: String,
    _process: Process,
}

impl Anvil {
    /// Starts anvil; `None`, with a line that says so, where it is not installed.
    pub(crate) async fn start(args: &[&str]) -> Option<Self> {
        let binary = binary()?;
        let mut process = Process::start(Command::new(binary).args(["--port", "0"]).args(args));
        let url = process
            .read_until(|output| {
                let (_, address) = output.rsplit_once("Listening on ")?;
                Some(format!("http://{}", address.trim()))
            })
            .await
            .unwrap();
        Some(Self {
            url,
            _process: process,
        })
    }

    pub(crate) async fn rpc(&self, method: &str, params: Value) -> Value {
        let request = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        let response = Client::new().post(&self.url).json(&request).send().await.unwrap();
        let answer: Value = response.json().await.unwrap();
        assert!(answer["error"].is_null(), "{method}: {answer}");
        answer["result"].clone()
    }
}

/// `ANVIL`, else `anvil` on the path.
fn binary() -> Option<PathBuf> {
    let named = std::env::var_os("ANVIL").map(PathBuf::from);
    let on_path = || {
        let path = std::env::var_os("PATH")?;
        std::env::split_paths(&path)
            .map(|dir| dir.join("anvil"))
            .find(|file| file.is_file())
    };
    let found = named.or_else(on_path);
    if found.is_none() {
        assert!(
            std::env::var_os("REQUIRE_ANVIL").is_none(),
            "REQUIRE_ANVIL is set, and anvil is not found"
        );
        eprintln!("skipped: anvil is not installed");
    }
    found
}
