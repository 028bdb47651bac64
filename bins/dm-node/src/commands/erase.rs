//! `dm-node erase`: erases data for good.

use serde_json::Value;

use crate::{
    cli::EraseArgs,
    client::NodeClient,
    confirm::confirm,
    output::{self, cell},
};

pub(crate) async fn run(args: EraseArgs, as_json: bool) -> anyhow::Result<()> {
    let client = NodeClient::new(&args.client.api, &args.client.api_key);
    confirm(
        &args.confirm,
        &format!("Erase {}; it cannot be brought back", args.hash),
    )?;
    let answer = client.delete(&format!("/data/{}", args.hash)).await?;
    output::print(as_json, &answer, describe)
}

fn describe(answer: &Value) -> String {
    let line = |name: &str, field: &str| format!("{name:<12} {}", cell(&answer[field]));
    [
        line("erased", "hash"),
        line("event", "status"),
        line("transaction", "tx_hash"),
        line("peers told", "replicas"),
    ]
    .join("\n")
}
