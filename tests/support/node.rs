//! A node under test.

use std::{
    path::{Path, PathBuf},
    process::ExitStatus,
};

use serde::Deserialize;
use tempfile::TempDir;
use tokio::process::Command;

use super::process::Process;

/// What `dm-node dev --json` prints once it is ready.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Started {
    pub(crate) address: String,
    pub(crate) api_key: String,
    pub(crate) internal_api: String,
    pub(crate) external_api: String,
    /// Where the metrics are, if they are served.
    #[serde(default)]
    pub(crate) metrics: Option<String>,
    /// An earlier binary has none.
    pub(crate) console: Option<String>,
    pub(crate) p2p: Vec<String>,
}

/// How a node is to be started, and started again.
#[derive(Debug, Clone, Default)]
pub(crate) struct NodeSetup {
    pub(crate) data_dir: PathBuf,
    pub(crate) env: Vec<(String, String)>,
    pub(crate) args: Vec<String>,
    /// The binary that is started; `None` for the one under test.
    pub(crate) binary: Option<PathBuf>,
}

impl NodeSetup {
    pub(crate) fn new(data_dir: &Path) -> Self {
        Self {
            data_dir: data_dir.to_owned(),
            ..Self::default()
        }
    }

    /// The funded account that the node acts for, and the chain of it.
    pub(crate) fn on_chain(self, url: &str, private_key: &str) -> Self {
        self.env("BLOCKCHAIN_URL", url).env("PRIVATE_KEY", private_key)
    }

    pub(crate) fn peer(self, node: &Node) -> Self {
        self.peer_at(&node.started.p2p[0])
    }

    pub(crate) fn peer_at(mut self, address: &str) -> Self {
        self.args.extend(["--peer".to_owned(), address.to_owned()]);
        self
    }

    /// Starts another binary than the one under test.
    pub(crate) fn binary(mut self, binary: &Path) -> Self {
        self.binary = Some(binary.to_owned());
        self
    }

    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn command(&self) -> Command {
        let mut command = self.binary.as_deref().map_or_else(dm_node, in_clean_environment);
        command
            .args([
                "dev",
                "--json",
                "--internal-port",
                "0",
                "--external-port",
                "0",
                "--p2p-port",
                "0",
            ])
            .arg("--data-dir")
            .arg(&self.data_dir)
            .args(&self.args)
            // Tests are not clients of the kind that the limits are for.
            .env("DM_EXTERNAL_API__RATE_LIMIT__PER_SECOND", "100000")
            .env("DM_EXTERNAL_API__RATE_LIMIT__BURST", "100000")
            .env("DM_INTERNAL_API__RATE_LIMIT__PER_SECOND", "100000")
            .env("DM_INTERNAL_API__RATE_LIMIT__BURST", "100000")
            // By its variable, which earlier binaries know as well.
            .env("DM_DASHBOARD_API__PORT", "0")
            .env("DM_API_KEYS__MAX_WRONG", "100000")
            .env("DM_NETWORK__RETRY_INTERVAL_SECS", "1")
            .env("DM_COMPLIANCE__WATCH_INTERVAL_SECS", "1")
            .envs(self.env.iter().map(|(name, value)| (name, value)));
        if self.binary.is_none() {
            // Earlier binaries have no limit for the console.
            command
                .env("DM_DASHBOARD_API__RATE_LIMIT__PER_SECOND", "100000")
                .env("DM_DASHBOARD_API__RATE_LIMIT__BURST", "100000");
        }
        command
    }

    pub(crate) async fn start(self) -> Node {
        self.try_start()
            .await
            .unwrap_or_else(|failure| panic!("the node {failure}"))
    }

    pub(crate) async fn try_start(self) -> Result<Node, String> {
        let mut process = Process::start(&mut self.command());
        let started = process
            .read_until(|output| serde_json::from_str(output).ok())
            .await?;
        Ok(Node {
            setup: self,
            started,
            client: reqwest::Client::new(),
            process,
        })
    }
}

/// The binary under test, in an environment without settings.
pub(crate) fn dm_node() -> Command {
    let mut command = in_clean_environment(Path::new(env!("CARGO_BIN_EXE_dm-node")));
    // Nodes of several tests share this machine, and its port of metrics.
    command.env("DM_METRICS__LISTEN", "off");
    command
}

fn in_clean_environment(binary: &Path) -> Command {
    let mut command = Command::new(binary);
    command.env_clear();
    for name in ["PATH", "HOME", "TMPDIR", "RUST_LOG", "RUST_BACKTRACE"] {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    command.current_dir(std::env::temp_dir());
    command
}

pub(crate) struct Node {
    pub(crate) setup: NodeSetup,
    pub(crate) started: Started,
    /// Made once: that takes long.
    pub(super) client: reqwest::Client,
    process: Process,
}

impl Node {
    /// A node of its own on an embedded chain of its own.
    pub(crate) async fn start(home: &TempDir) -> Self {
        NodeSetup::new(home.path()).start().await
    }

    pub(crate) fn address(&self) -> &str {
        &self.started.address
    }

    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// Sends a signal such as `-STOP`.
    pub(crate) async fn signal(&self, signal: &str) {
        self.process.signal(signal).await;
    }

    /// Ends it as a power failure of the process would.
    pub(crate) async fn kill(mut self) -> NodeSetup {
        self.process.kill().await;
        self.setup
    }

    /// Ends it as an operator does.
    pub(crate) async fn stop(self) -> (NodeSetup, ExitStatus, String) {
        self.end_by("-TERM").await
    }

    /// Ends it by a signal.
    pub(crate) async fn end_by(self, signal: &str) -> (NodeSetup, ExitStatus, String) {
        let (status, errors) = self.process.end_by(signal).await;
        (self.setup, status, errors)
    }

    pub(crate) async fn restart(self) -> Self {
        let (setup, status, errors) = self.stop().await;
        assert!(status.success(), "{status}: {errors}");
        setup.start().await
    }
}
