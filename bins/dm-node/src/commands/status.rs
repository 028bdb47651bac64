//! `dm-node status`: how a running node is.

use serde_json::{Value, json};

use crate::{
    cli::ClientArgs,
    client::NodeClient,
    output::{self, cell},
};

pub(crate) async fn run(args: ClientArgs, as_json: bool) -> anyhow::Result<()> {
    let client = NodeClient::new(&args.api, &args.api_key);
    let health = client.health().await?;
    let network = client.get("/network/stats", &[]).await?;
    output::print(as_json, &json!({"health": health, "network": network}), describe)
}

fn describe(status: &Value) -> String {
    let network = &status["network"];
    let line = |name: &str, value: &Value| format!("{name:<16} {}", cell(value));
    [
        line("status", &status["health"]["status"]),
        line("network running", &status["health"]["p2p"]["running"]),
        line("peers connected", &network["active_peers"]),
        line("peers healthy", &network["healthy_peers"]),
        line("peers known", &network["total_peers"]),
        line("latency (ms)", &network["avg_latency_ms"]),
        line("bytes sent", &network["data_sent"]),
        line("bytes received", &network["data_received"]),
        line("uptime (s)", &network["uptime"]),
    ]
    .join("\n")
}
