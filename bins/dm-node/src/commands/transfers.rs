//! `dm-node transfers`: what a running node has done with money.

use serde_json::Value;

use crate::{
    amount::KnownTokens,
    cli::TransfersArgs,
    client::NodeClient,
    output::{self, cell},
    times,
};

pub(crate) async fn run(args: TransfersArgs, as_json: bool) -> anyhow::Result<()> {
    let client = NodeClient::new(&args.client.api, &args.client.api_key);
    let mut query = vec![("limit", args.limit.to_string())];
    query.extend(args.cursor.map(|cursor| ("cursor", cursor)));
    let mut answer = client.get("/transfers", &query).await?;
    times::add_iso(&mut answer["transfers"]);
    let tokens = KnownTokens::read(&client).await?;
    output::print(as_json, &answer, |answer| describe(answer, &tokens))
}

fn describe(answer: &Value, tokens: &KnownTokens) -> String {
    let transfers = answer["transfers"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    let rows: Vec<Vec<String>> = transfers
        .iter()
        .map(|transfer| {
            let text = |field: &str| cell(&transfer[field]);
            vec![
                times::local_secs(&transfer["timestamp"]),
                text("kind"),
                text("purpose"),
                text("status"),
                tokens.amount(&transfer["token"], &transfer["amount"]),
                text("from"),
                text("to"),
                text("tx_hash"),
            ]
        })
        .collect();
    let headings = [
        "TIME",
        "KIND",
        "PURPOSE",
        "STATUS",
        "AMOUNT",
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
