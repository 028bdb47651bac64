//! `dm-node history`: what a running node has recorded.

use serde_json::Value;

use crate::{
    cli::HistoryArgs,
    output::{self, cell},
    times,
};

pub(crate) async fn run(args: HistoryArgs, as_json: bool) -> anyhow::Result<()> {
    let client = args.client.connect()?;
    let mut query = vec![("limit", args.limit.to_string())];
    query.extend(args.filters.map(|filters| ("filters", filters)));
    query.extend(args.cursor.map(|cursor| ("cursor", cursor)));
    let mut answer = client.get("/compliance_history", &query).await?;
    times::add_iso(&mut answer["history"]);
    output::print(as_json, &answer, describe)
}

fn describe(answer: &Value) -> String {
    let events = answer["history"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    let rows: Vec<Vec<String>> = events
        .iter()
        .map(|event| {
            let fields = ["event_type", "data_hash", "recipient", "tx_hash"].map(|field| cell(&event[field]));
            let time = times::local_secs(&event["timestamp"]);
            std::iter::once(time).chain(fields).collect()
        })
        .collect();
    let table = output::table(&["TIME", "EVENT", "DATA HASH", "RECIPIENT", "TRANSACTION"], &rows);
    match answer["next_cursor"].as_str() {
        Some(cursor) => format!("{table}\nolder ones: --cursor {cursor}"),
        None => table,
    }
}
