//! A node that is measured, in a process of its own.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::{Context, bail, ensure};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
};

use crate::http::{Connection, request};

/// CPU time is taken over this while a node comes to rest.
const WINDOW: Duration = Duration::from_secs(10);
/// A node is at rest when it uses less of a core than this, so many times in turn: its work
/// comes in spells.
const AT_REST: f64 = 0.03;
const QUIET_WINDOWS: usize = 4;

pub(crate) struct Node {
    pub(crate) address: String,
    pub(crate) api_key: String,
    pub(crate) external_api: String,
    pub(crate) internal_api: String,
    /// Where the metrics are; empty where they are off.
    pub(crate) metrics: String,
    pub(crate) p2p: String,
    /// From the start of the process to its being ready.
    pub(crate) started_in: Duration,
    child: Child,
    home: Option<TempDir>,
}

impl Node {
    /// Starts a node in a new directory.
    pub(crate) async fn start(binary: &Path, args: &[&str]) -> anyhow::Result<Self> {
        let home = tempfile::tempdir()?;
        let mut node = Self::start_in(binary, home.path(), args).await?;
        node.home = Some(home);
        Ok(node)
    }

    /// Starts a node in a new directory that may call programs on this machine.
    pub(crate) async fn start_here(binary: &Path) -> anyhow::Result<Self> {
        let home = tempfile::tempdir()?;
        let variables = [("DM_EVENTS__ALLOWED_NETWORKS", "127.0.0.0/8")];
        let mut node = Self::start_with(binary, home.path(), &[], &variables).await?;
        node.home = Some(home);
        Ok(node)
    }

    /// Starts a node in a directory.
    pub(crate) async fn start_in(binary: &Path, home: &Path, args: &[&str]) -> anyhow::Result<Self> {
        Self::start_with(binary, home, args, &[]).await
    }

    /// Starts a node in a directory, with variables in its environment.
    pub(crate) async fn start_with(
        binary: &Path,
        home: &Path,
        args: &[&str],
        variables: &[(&str, &str)],
    ) -> anyhow::Result<Self> {
        let began = Instant::now();
        let mut child = Command::new(binary)
            .args([
                "dev",
                "--json",
                "--dashboard-port",
                "0",
                "--internal-port",
                "0",
                "--external-port",
                "0",
                "--p2p-port",
                "0",
            ])
            .arg("--data-dir")
            .arg(home)
            .args(args)
            .env("DM_EXTERNAL_API__RATE_LIMIT__PER_SECOND", "1000000")
            .env("DM_EXTERNAL_API__RATE_LIMIT__BURST", "1000000")
            .env("DM_INTERNAL_API__RATE_LIMIT__PER_SECOND", "1000000")
            .env("DM_INTERNAL_API__RATE_LIMIT__BURST", "1000000")
            .env("DM_LOG__FILTER", "warn")
            .envs(variables.iter().copied())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start {}", binary.display()))?;
        let started = first_document(&mut child).await?;
        let text = |field: &Value| field.as_str().unwrap_or_default().to_owned();
        Ok(Self {
            address: text(&started["address"]),
            api_key: text(&started["api_key"]),
            external_api: text(&started["external_api"]),
            internal_api: text(&started["internal_api"]),
            metrics: text(&started["metrics"]),
            p2p: text(&started["p2p"][0]),
            started_in: began.elapsed(),
            child,
            home: None,
        })
    }

    /// Ends the node in order and returns its directory.
    pub(crate) async fn stop(mut self) -> anyhow::Result<Option<TempDir>> {
        let pid = self.pid().to_string();
        Command::new("kill").args(["-TERM", &pid]).status().await?;
        self.child.wait().await?;
        Ok(self.home.take())
    }

    /// Ends the node as a fault of the machine would.
    pub(crate) async fn kill(mut self) -> anyhow::Result<()> {
        Ok(self.child.kill().await?)
    }

    fn pid(&self) -> u32 {
        self.child.id().unwrap_or_default()
    }

    /// CPU time that the process has used.
    pub(crate) fn cpu(&self) -> anyhow::Result<Duration> {
        cpu_of(&self.pid().to_string())
    }

    /// Lists what this account shares at once, and as much of it as comes.
    pub(crate) async fn add_contact(&self, name: &str, address: &str) -> anyhow::Result<()> {
        let contact = json!({"address": address, "trust": "accept"}).to_string();
        let route = format!("/contacts/{name}");
        let asked = request("PUT", &route, &self.api_key, contact.as_bytes());
        let made = Connection::open(&self.internal_api)
            .await?
            .exchange(&asked)
            .await?;
        ensure!(made.status < 300, "{}", String::from_utf8_lossy(&made.body));
        Ok(())
    }

    /// Waits until the node has done what it has begun, at most for this long.
    pub(crate) async fn rest(&self, patience: Duration) -> anyhow::Result<()> {
        self.rest_below(AT_REST, patience).await
    }

    /// Waits until the node uses less than this part of a core, at most for this long.
    pub(crate) async fn rest_below(&self, part: f64, patience: Duration) -> anyhow::Result<()> {
        let deadline = Instant::now() + patience;
        let mut quiet = 0;
        while quiet < QUIET_WINDOWS && Instant::now() < deadline {
            let began = self.cpu()?;
            tokio::time::sleep(WINDOW).await;
            let used = (self.cpu()? - began).as_secs_f64() / WINDOW.as_secs_f64();
            quiet = if used < part { quiet + 1 } else { 0 };
        }
        Ok(())
    }

    /// Resident memory in MiB: now, and the most since [`Node::forget_peak`].
    pub(crate) fn memory(&self) -> anyhow::Result<(f64, f64)> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid()))?;
        let mib = |name: &str| -> f64 {
            let line = status
                .lines()
                .find_map(|line| line.strip_prefix(name))
                .unwrap_or_default();
            let kib: f64 = line.trim().trim_end_matches(" kB").parse().unwrap_or_default();
            kib / 1024.0
        };
        Ok((mib("VmRSS:"), mib("VmHWM:")))
    }

    /// Begins the peak of the resident memory anew.
    pub(crate) fn forget_peak(&self) {
        // Where the kernel does not allow it, the peak is that since the start.
        let _ = std::fs::write(format!("/proc/{}/clear_refs", self.pid()), "5");
    }
}

/// CPU time that a process has used, by its id; `self` is this one.
pub(crate) fn cpu_of(pid: &str) -> anyhow::Result<Duration> {
    /// `sysconf(_SC_CLK_TCK)` of Linux on every architecture that matters.
    const TICKS_PER_SECOND: u64 = 100;
    let stat = std::fs::read_to_string(PathBuf::from(format!("/proc/{pid}/stat")))?;
    let (_, fields) = stat.rsplit_once(')').context("the format of /proc/PID/stat")?;
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let ticks: u64 = fields[11].parse::<u64>()? + fields[12].parse::<u64>()?;
    Ok(Duration::from_millis(ticks * 1000 / TICKS_PER_SECOND))
}

/// The JSON document that a command of the binary prints once it is ready.
pub(crate) async fn first_document(child: &mut Child) -> anyhow::Result<Value> {
    let mut lines = BufReader::new(child.stdout.take().context("its output")?).lines();
    let mut printed = String::new();
    while let Some(line) = lines.next_line().await? {
        printed.push_str(&line);
        if let Ok(document) = serde_json::from_str(&printed) {
            return Ok(document);
        }
    }
    bail!("the process ended: {printed}");
}
