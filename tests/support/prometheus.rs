//! A real Prometheus with the alerts of the project, where there is one.

use std::fs;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{net::TcpListener, process::Command};

use super::{Node, eventually, process::Process, sources};

/// Reads nodes every two seconds, as long as this lives. Each alert fires once its expression has held
/// for a second.
pub(crate) struct Prometheus {
    folder: TempDir,
    url: String,
    client: reqwest::Client,
    _process: Process,
}

impl Prometheus {
    /// Starts it, or says why this machine has none.
    pub(crate) async fn start() -> Result<Self, String> {
        let found = Command::new("prometheus").arg("--version").output().await;
        found.map_err(|error| format!("prometheus: {error}"))?;
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("nodes")).unwrap();
        fs::write(folder.path().join("rules.yaml"), impatient(&rules())).unwrap();
        let config = json!({
            "global": {"scrape_interval": "2s", "scrape_timeout": "2s", "evaluation_interval": "1s"},
            "rule_files": ["rules.yaml"],
            "scrape_configs": [{
                "job_name": "dm-node",
                "file_sd_configs": [{"files": ["nodes/*.json"], "refresh_interval": "1s"}],
            }],
        });
        // JSON is YAML as well.
        let file = folder.path().join("prometheus.yaml");
        fs::write(&file, config.to_string()).unwrap();
        let address = free_address().await;
        let mut command = Command::new("prometheus");
        command
            .arg("--config.file")
            .arg(&file)
            .arg("--storage.tsdb.path")
            .arg(folder.path().join("tsdb"))
            .args(["--log.level", "error", "--web.listen-address", &address]);
        let prometheus = Self {
            folder,
            url: format!("http://{address}"),
            client: reqwest::Client::new(),
            _process: Process::start(&mut command),
        };
        eventually("Prometheus is ready", async || {
            let ready = prometheus.client.get(format!("{}/-/ready", prometheus.url));
            ready.send().await.ok()?.error_for_status().ok()
        })
        .await;
        Ok(prometheus)
    }

    /// From now on it reads this node, which it knows by the name that comes back.
    pub(crate) async fn watch(&self, node: &Node) -> String {
        let url = node.started.metrics.as_deref().expect("the node serves metrics");
        let address = url.strip_prefix("http://").unwrap().strip_suffix("/metrics");
        let instance = address.unwrap().to_owned();
        let nodes = self.folder.path().join("nodes");
        let (file, next) = (format!("{}.json", instance.replace(':', "-")), nodes.join("next"));
        fs::write(&next, json!([{"targets": [instance]}]).to_string()).unwrap();
        fs::rename(next, nodes.join(file)).unwrap();
        eventually("the node is read", async || {
            self.value(&format!("up{{instance=\"{instance}\"}} == 1")).await
        })
        .await;
        instance
    }

    /// The value of the only series that a query finds.
    pub(crate) async fn value(&self, query: &str) -> Option<f64> {
        let answer = self.ask("/api/v1/query", &[("query", query)]).await?;
        let [series] = &answer["data"]["result"].as_array()?[..] else {
            return None;
        };
        series["value"][1].as_str()?.parse().ok()
    }

    /// The alerts of a node that fire at this moment.
    pub(crate) async fn firing(&self, instance: &str) -> Vec<String> {
        let answer = self.ask("/api/v1/alerts", &[]).await.unwrap_or_default();
        let alerts = answer["data"]["alerts"].as_array().cloned().unwrap_or_default();
        let of_node = alerts
            .iter()
            .filter(|alert| alert["state"] == "firing" && alert["labels"]["instance"] == *instance);
        let names = of_node.filter_map(|alert| alert["labels"]["alertname"].as_str());
        names.map(str::to_owned).collect()
    }

    async fn ask(&self, route: &str, query: &[(&str, &str)]) -> Option<Value> {
        let url = reqwest::Url::parse_with_params(&format!("{}{route}", self.url), query).unwrap();
        self.client.get(url).send().await.ok()?.json().await.ok()
    }
}

/// The names of all alerts.
pub(crate) fn alerts() -> Vec<String> {
    let rules = rules();
    let names = rules
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- alert: "));
    names.map(str::to_owned).collect()
}

fn rules() -> String {
    fs::read_to_string(sources::root().join("deploy/prometheus/rules.yaml")).unwrap()
}

/// The same rules, which wait a second where they waited for minutes.
fn impatient(rules: &str) -> String {
    let lines = rules.lines().map(|line| match line.split_once("for: ") {
        Some((indent, _)) if indent.trim().is_empty() => format!("{indent}for: 1s\n"),
        _ => format!("{line}\n"),
    });
    lines.collect()
}

/// An address on which nobody listens at this moment.
async fn free_address() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap().to_string()
}
