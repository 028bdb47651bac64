//! What a download took, for `dm-node get --explain`.

use serde_json::Value;

use crate::{
    client::NodeClient,
    output::{self, cell},
};

/// Prints the trace of a retrieval on standard error: standard output may be
/// the data.
pub(super) async fn print(client: &NodeClient, id: &str, as_json: bool) -> anyhow::Result<()> {
    let trace = client.get(&format!("/retrievals/{id}"), &[]).await?;
    if as_json {
        eprintln!("{}", serde_json::to_string_pretty(&trace)?);
    } else {
        eprintln!("{}", describe(&trace));
    }
    Ok(())
}

fn describe(trace: &Value) -> String {
    let summary = format!(
        "{} chunks from the {} in {} ms, {} of them kept from an earlier attempt; the DHT was {}",
        trace["chunks"],
        cell(&trace["source"]),
        trace["millis"],
        trace["chunks_kept"],
        if trace["asked_dht"] == true {
            "asked"
        } else {
            "not asked"
        },
    );
    let peers = trace["peers"].as_array().map(Vec::as_slice).unwrap_or_default();
    if peers.is_empty() {
        return summary;
    }
    let rows: Vec<Vec<String>> = peers.iter().map(row).collect();
    let headings = [
        "PEER",
        "ASKED FOR",
        "REQUESTS",
        "FAILED",
        "SENT",
        "BYTES",
        "MS",
        "BYTES/S",
        "PATH",
        "ERROR",
    ];
    format!("{summary}\n\n{}", output::table(&headings, &rows))
}

fn row(peer: &Value) -> Vec<String> {
    let values = [
        &peer["peer_id"],
        &peer["asked_for"],
        &peer["requests"],
        &peer["failures"],
        &peer["items"],
        &peer["bytes"],
        &peer["millis"],
        &peer["bytes_per_second"],
    ];
    let mut cells: Vec<String> = values.map(cell).to_vec();
    cells.push(path(&peer["paths"]));
    cells.push(cell(&peer["error"]));
    cells
}

/// Address and transport of each connection, and whether it is relayed.
fn path(paths: &Value) -> String {
    let paths = paths.as_array().map(Vec::as_slice).unwrap_or_default();
    let shown: Vec<String> = paths
        .iter()
        .map(|path| {
            let how = if path["relayed"] == true {
                "relayed"
            } else {
                "direct"
            };
            format!("{} ({}, {how})", cell(&path["address"]), cell(&path["transport"]))
        })
        .collect();
    if shown.is_empty() {
        "-".to_owned()
    } else {
        shown.join(" or ")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_trace_reads_as_a_sentence_and_a_table() {
        let trace = json!({
            "source": "network", "millis": 12, "chunks": 3, "chunks_kept": 1, "asked_dht": false,
            "peers": [{
                "peer_id": "peer", "asked_for": "chunks", "requests": 1, "failures": 0, "items": 2,
                "bytes": 600, "millis": 10, "bytes_per_second": 60000, "error": null,
                "paths": [{"address": "/ip4/10.0.0.1/tcp/1", "transport": "tcp", "relayed": false}],
            }],
        });
        let text = describe(&trace);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines[0],
            "3 chunks from the network in 12 ms, 1 of them kept from an earlier attempt; the DHT was not asked"
        );
        assert!(lines[2].starts_with("PEER  ASKED FOR"));
        assert!(
            lines[3].ends_with("/ip4/10.0.0.1/tcp/1 (tcp, direct)  -"),
            "{}",
            lines[3]
        );
    }
}
