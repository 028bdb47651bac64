//! `dm-node peers`: the peers that a running node knows.

use serde_json::Value;

use crate::{
    cli::PeersArgs,
    client::NodeClient,
    output::{self, cell},
};

pub(crate) async fn run(args: PeersArgs, as_json: bool) -> anyhow::Result<()> {
    let client = NodeClient::new(&args.client.api, &args.client.api_key);
    let query = if args.healthy {
        vec![("healthy", "true".to_owned())]
    } else {
        Vec::new()
    };
    let answer = client.get("/network/peers", &query).await?;
    output::print(as_json, &answer, describe)
}

fn describe(answer: &Value) -> String {
    let peers = answer["peers"].as_array().map(Vec::as_slice).unwrap_or_default();
    let rows: Vec<Vec<String>> = peers.iter().map(row).collect();
    output::table(
        &[
            "PEER",
            "CONNECTED",
            "HEALTHY",
            "LATENCY MS",
            "OK",
            "FAILED",
            "ADDRESS",
        ],
        &rows,
    )
}

fn row(peer: &Value) -> Vec<String> {
    [
        &peer["peer_id"],
        &peer["connected"],
        &peer["healthy"],
        &peer["latency_ms"],
        &peer["successes"],
        &peer["failures"],
        &peer["addresses"][0],
    ]
    .map(cell)
    .to_vec()
}
