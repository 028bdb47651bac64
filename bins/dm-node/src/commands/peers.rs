//! `dm-node peers`: the peers that a running node knows.

use dm_core::clock::now_ms;
use serde_json::{Value, json};

use crate::{
    cli::PeersArgs,
    output::{self, cell},
    times,
};

pub(crate) async fn run(args: PeersArgs, as_json: bool) -> anyhow::Result<()> {
    let client = args.client.connect()?;
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
    let now = now_ms();
    let rows: Vec<Vec<String>> = peers.iter().map(|peer| row(peer, now)).collect();
    output::table(
        &[
            "PEER",
            "CONNECTED",
            "HEALTHY",
            "LATENCY MS",
            "OK",
            "FAILED",
            "SCORE",
            "BANNED S",
            "LAST OFFENCE",
            "LAST SEEN",
            "ADDRESS",
        ],
        &rows,
    )
}

fn row(peer: &Value, now: u64) -> Vec<String> {
    let banned_until = peer["banned_until"].as_u64();
    let banned_secs = banned_until.map(|until| until.saturating_sub(now).div_ceil(1000));
    let fields = [
        &peer["peer_id"],
        &peer["connected"],
        &peer["healthy"],
        &peer["latency_ms"],
        &peer["successes"],
        &peer["failures"],
        &peer["score"],
        &json!(banned_secs),
        &peer["last_offence"],
    ]
    .map(cell);
    let place = [times::local_ms(&peer["last_seen"]), cell(&peer["addresses"][0])];
    fields.into_iter().chain(place).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_banned_peer_is_shown_with_its_reason_and_the_seconds_that_are_left() {
        let peer = json!({
            "peer_id": "liar", "score": 6, "banned_until": 10_500, "last_offence": "it withholds a chunk",
        });
        assert_eq!(row(&peer, 9_000)[6..9], ["6", "2", "it withholds a chunk"]);
        assert_eq!(row(&json!({"score": 0}), 9_000)[6..9], ["0", "-", "-"]);
    }
}
