//! `dm-node revoke`: withdraws a reader's access.

use serde_json::{Value, json};

use crate::{cli::RevokeArgs, confirm::confirm, output};

pub(crate) async fn run(args: RevokeArgs, as_json: bool) -> anyhow::Result<()> {
    let client = args.client.connect()?;
    confirm(
        &args.confirm,
        &format!("Withdraw the access of {} to {}", args.from, args.hash),
    )?;
    let answer = client
        .delete_named(
            &format!("/data/{}/grants", args.hash),
            &json!({"recipient": args.from.to_string()}),
        )
        .await?;
    output::print(as_json, &answer, describe)
}

fn describe(answer: &Value) -> String {
    let lines = [
        ("withdrawn", "recipient"),
        ("event", "status"),
        ("transaction", "tx_hash"),
        ("peers told", "replicas"),
        ("note", "note"),
    ];
    output::fields(answer, &lines)
}
