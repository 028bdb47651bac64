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
    let storage = client.get("/network/storage", &[]).await?;
    let status = json!({"health": health, "network": network, "storage": storage});
    output::print(as_json, &status, describe)
}

fn describe(status: &Value) -> String {
    let (network, storage) = (&status["network"], &status["storage"]);
    let scrub = &storage["last_scrub"];
    let line = |name: &str, value: &Value| format!("{name:<22} {}", cell(value));
    let bytes = |kept: &str, most: &str| json!(format!("{} of {}", storage[kept], storage[most]));
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
        line("objects stored", &storage["objects"]),
        line("bytes of own objects", &bytes("own_bytes", "max_own_bytes")),
        line("bytes of others", &bytes("foreign_bytes", "max_foreign_bytes")),
        line("objects damaged now", &storage["damaged"]),
        line("scrub found damaged", &scrub["damaged"]),
        line("scrub repaired", &scrub["repaired"]),
        line("scrub found drift (B)", &scrub["drift"]),
    ]
    .join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damage_and_drift_are_shown() {
        let status = json!({
            "storage": {
                "objects": 7, "own_bytes": 10, "max_own_bytes": 20, "damaged": 1,
                "last_scrub": {"damaged": 3, "repaired": 2, "drift": -512},
            },
        });
        let shown = describe(&status);
        for line in [
            "bytes of own objects   10 of 20",
            "objects damaged now    1",
            "scrub found damaged    3",
            "scrub repaired         2",
            "scrub found drift (B)  -512",
        ] {
            assert!(shown.contains(line), "{shown}");
        }
    }
}
