//! `dm-node status`: how a running node is.

use serde_json::{Map, Value, json};

use crate::{
    cli::StatusArgs,
    output::{self, cell},
    times,
};

pub(crate) async fn run(args: StatusArgs, as_json: bool) -> anyhow::Result<()> {
    let StatusArgs { client, internal_api } = args;
    let operators = client.trust.connect(&internal_api, &client.api_key)?;
    let client = client.connect()?;
    let mut health = client.health().await?;
    if let Some(parts) = client.health_parts().await? {
        health["parts"] = parts;
    }
    let network = client.get("/network/stats", &[]).await?;
    let storage = client.get("/network/storage", &[]).await?;
    let mut status = json!({"health": health, "network": network, "storage": storage});
    // For administrators, and where the API for operators can be reached.
    if let Ok(instances) = operators.get("/instances", &[]).await {
        status["instances"] = instances;
    }
    output::print(as_json, &status, describe)
}

fn describe(status: &Value) -> String {
    let (network, storage) = (&status["network"], &status["storage"]);
    let scrub = &storage["last_scrub"];
    let line = |name: &str, value: &Value| format!("{name:<22} {}", cell(value));
    let bytes = |kept: &str, most: &str| json!(format!("{} of {}", storage[kept], storage[most]));
    let mut lines = vec![
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
    ];
    let instances = &status["instances"]["instances"];
    lines.extend(instances.as_array().into_iter().flatten().map(describe_instance));
    lines.extend(status["health"]["parts"].as_object().map(describe_parts));
    lines.join("\n")
}

fn describe_instance(instance: &Value) -> String {
    let role = match instance["leader"].as_bool() {
        Some(true) => "instance, leader",
        _ => "instance",
    };
    format!(
        "{role:<22} {} ({}), seen {}",
        cell(&instance["id"]),
        cell(&instance["version"]),
        times::local_ms(&instance["seen_at"]),
    )
}

/// A line for each part, and below those that are not well why, and what to do.
fn describe_parts(parts: &Map<String, Value>) -> String {
    let mut lines = Vec::new();
    for (name, part) in parts {
        let since = times::local_ms(&part["since"]);
        lines.push(format!("{name:<22} {} since {since}", cell(&part["status"])));
        for (label, field) in [("why", "reason"), ("to do", "action")] {
            if let Some(text) = part[field].as_str() {
                lines.push(format!("  {label:<5} {text}"));
            }
        }
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_part_is_shown_with_what_is_wrong_and_what_to_do() {
        let since = 1_767_225_600_000_u64;
        let status = json!({"health": {"parts": {
            "catalog": {"status": "healthy", "since": since},
            "object store": {
                "status": "unhealthy", "since": since,
                "reason": "no room is left on the device", "action": "make room",
            },
        }}});
        let shown = describe(&status);
        let since = times::local(since);
        let lines = format!(
            "catalog                healthy since {since}\n\
             object store           unhealthy since {since}\n  why   no room is left on the device\n  to do make room"
        );
        assert!(shown.ends_with(&lines), "{shown}");
    }

    #[test]
    fn each_instance_is_shown_and_who_leads() {
        let seen = 1_767_225_600_000_u64;
        let instance = |id, leader| json!({"id": id, "version": "1.2.3", "seen_at": seen, "leader": leader});
        let shown =
            describe(&json!({"instances": {"instances": [instance("aa", false), instance("bb", true)]}}));
        let seen = times::local(seen);
        let lines = format!(
            "instance               aa (1.2.3), seen {seen}\ninstance, leader       bb (1.2.3), seen {seen}"
        );
        assert!(shown.ends_with(&lines), "{shown}");
    }

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
