//! `dm-node inbox`: what others have shared with a running node.

use std::{collections::HashSet, time::Duration};

use serde_json::Value;

use crate::{
    cli::InboxArgs,
    client::NodeClient,
    output::{self, cell},
    times,
};

/// Between two looks at the inbox.
const WATCH_INTERVAL: Duration = Duration::from_secs(1);

pub(crate) async fn run(args: InboxArgs, as_json: bool) -> anyhow::Result<()> {
    let client = args.client.connect()?;
    if args.watch {
        return watch(&client, &args, as_json).await;
    }
    let mut answer = client.get("/inbox", &query(&args)).await?;
    times::add_iso_ms(&mut answer["items"], "received_at");
    output::print(as_json, &answer, describe)
}

fn query(args: &InboxArgs) -> Vec<(&str, String)> {
    let mut query = vec![("limit", args.limit.to_string())];
    query.extend(args.from.as_ref().map(|from| ("from", from.to_string())));
    query.extend(args.name.clone().map(|name| ("name", name)));
    query.extend(args.state.clone().map(|state| ("state", state)));
    query.extend(args.cursor.clone().map(|cursor| ("cursor", cursor)));
    let labels = args.labels.iter();
    query.extend(labels.map(|(key, value)| (key.as_str(), value.clone())));
    query
}

/// One line for each item, in JSON one document a line: those that are there, and each as it
/// comes.
async fn watch(client: &NodeClient, args: &InboxArgs, as_json: bool) -> anyhow::Result<()> {
    let mut seen = HashSet::new();
    loop {
        let answer = client.get("/inbox", &query(args)).await?;
        let items = answer["items"].as_array().map(Vec::as_slice).unwrap_or_default();
        for item in items.iter().rev() {
            if seen.insert((item["data_hash"].to_string(), item["from"].to_string())) {
                match as_json {
                    true => println!("{item}"),
                    false => println!("{}", row(item).join("  ")),
                }
            }
        }
        tokio::time::sleep(WATCH_INTERVAL).await;
    }
}

fn describe(answer: &Value) -> String {
    let items = answer["items"].as_array().map(Vec::as_slice).unwrap_or_default();
    let rows: Vec<Vec<String>> = items.iter().map(|item| row(item).into()).collect();
    let table = output::table(&["RECEIVED", "NAME", "SIZE", "STATE", "FROM", "DATA HASH"], &rows);
    match answer["next_cursor"].as_str() {
        Some(cursor) => format!("{table}\nolder ones: --cursor {cursor}"),
        None => table,
    }
}

fn row(item: &Value) -> [String; 6] {
    [
        times::local_ms(&item["received_at"]),
        cell(&item["name"]),
        cell(&item["size"]),
        cell(&item["state"]),
        sender(item),
        cell(&item["data_hash"]),
    ]
}

/// The name of the contact, else the address.
fn sender(item: &Value) -> String {
    match &item["contact"] {
        Value::String(name) => name.clone(),
        _ => cell(&item["from"]),
    }
}
