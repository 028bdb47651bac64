//! `dm-node erase`: erases data for good.

use serde_json::Value;

use crate::{cli::EraseArgs, confirm::confirm, output};

pub(crate) async fn run(args: EraseArgs, as_json: bool) -> anyhow::Result<()> {
    let client = args.client.connect()?;
    confirm(
        &args.confirm,
        &format!("Erase {}; it cannot be brought back", args.hash),
    )?;
    let answer = client.delete(&format!("/data/{}", args.hash)).await?;
    output::print(as_json, &answer, describe)
}

fn describe(answer: &Value) -> String {
    let lines = [
        ("erased", "hash"),
        ("event", "status"),
        ("transaction", "tx_hash"),
        ("peers told", "replicas"),
    ];
    output::fields(answer, &lines)
}
