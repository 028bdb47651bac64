//! `dm-node transfers`: what a running node has done with money.

use serde_json::Value;

use crate::{
    cli::TransfersArgs,
    client::NodeClient,
    output::{self, cell},
};

pub(crate) async fn run(args: TransfersArgs, as_json: bool) -> anyhow::Result<()> {
    let client = NodeClient::new(&args.client.api, &args.client.api_key);
    let mut query = vec![("limit", args.limit.to_string())];
    query.extend(args.cursor.map(|cursor| ("cursor", cursor)));
    let answer = client.get("/transfers", &query).await?;
    output::print(as_json, &answer, describe)
}

fn describe(answer: &Value) -> String {
    let transfers = answer["transfers"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    let rows: Vec<Vec<String>> = transfers
        .iter()
        .map(|transfer| {
            [
                "kind", "purpose", "status", "amount", "token", "from", "to", "tx_hash",
            ]
            .map(|field| cell(&transfer[field]))
            .to_vec()
        })
        .collect();
    let headings = [
        "KIND",
        "PURPOSE",
        "STATUS",
        "AMOUNT",
        "TOKEN",
        "FROM",
        "TO",
        "TRANSACTION",
    ];
    let mut text = output::table(&headings, &rows);
    if let Some(cursor) = answer["next_cursor"].as_str() {
        text.push_str(&format!("\nmore with --cursor {cursor}"));
    }
    text
}
