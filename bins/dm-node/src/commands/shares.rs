//! `dm-node shares`: what a running node has shared, and where each share stands.

use dm_core::hash::DataHash;
use serde_json::Value;

use crate::{
    cli::SharesArgs,
    output::{self, cell},
    times,
};

const HEADINGS: [&str; 8] = [
    "SHARED",
    "NAME",
    "RECIPIENT",
    "STATE",
    "STATUS",
    "COPIES",
    "SINCE",
    "DATA HASH",
];

pub(crate) async fn run(args: SharesArgs, as_json: bool) -> anyhow::Result<()> {
    let client = args.client.connect()?;
    let hash: Option<DataHash> = args.data.as_ref().and_then(|text| text.parse().ok());
    match hash {
        Some(hash) => {
            let mut answer = client.get(&format!("/shares/{hash}"), &[]).await?;
            times::add_iso_ms(&mut answer["shares"], "created_at");
            times::add_iso_ms(&mut answer["events"], "recorded_at");
            output::print(as_json, &answer, describe_data)
        }
        None => {
            let mut answer = client.get("/shares", &query(&args)).await?;
            times::add_iso_ms(&mut answer["shares"], "created_at");
            output::print(as_json, &answer, describe_page)
        }
    }
}

fn query(args: &SharesArgs) -> Vec<(&str, String)> {
    let mut query = vec![("limit", args.limit.to_string())];
    query.extend(args.to.as_ref().map(|to| ("recipient", to.to_string())));
    query.extend(args.data.clone().map(|name| ("name", name)));
    query.extend(args.state.clone().map(|state| ("state", state)));
    query.extend(args.cursor.clone().map(|cursor| ("cursor", cursor)));
    let labels = args.labels.iter();
    query.extend(labels.map(|(key, value)| (key.as_str(), value.clone())));
    query
}

fn describe_page(answer: &Value) -> String {
    let table = table(&answer["shares"]);
    match answer["next_cursor"].as_str() {
        Some(cursor) => format!("{table}\nolder ones: --cursor {cursor}"),
        None => table,
    }
}

fn describe_data(answer: &Value) -> String {
    let fields = output::fields(
        answer,
        &[
            ("data hash", "data_hash"),
            ("name", "name"),
            ("media type", "media_type"),
            ("size", "size"),
            ("labels", "labels"),
        ],
    );
    let copies = copies(answer);
    let readers: Vec<String> = lines(&answer["readers"]).iter().map(cell).collect();
    let events: Vec<Vec<String>> = lines(&answer["events"]).iter().map(event).collect();
    let events = output::table(
        &["RECORDED", "EVENT", "RECIPIENT", "RECEIPT", "TRANSACTION"],
        &events,
    );
    format!(
        "{fields}\n{:<12} {copies}\n{:<12} {}\n\n{}\n\n{events}",
        "copies",
        "readers",
        readers.join(", "),
        table(&answer["shares"])
    )
}

fn lines(list: &Value) -> &[Value] {
    list.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn table(shares: &Value) -> String {
    let rows: Vec<Vec<String>> = lines(shares).iter().map(row).collect();
    output::table(&HEADINGS, &rows)
}

fn row(share: &Value) -> Vec<String> {
    let recipient = match &share["contact"] {
        Value::String(name) => name.clone(),
        _ => cell(&share["recipient"]),
    };
    vec![
        times::local_ms(&share["created_at"]),
        cell(&share["name"]),
        recipient,
        state(share),
        cell(&share["status"]),
        copies(share),
        since(share),
        cell(&share["data_hash"]),
    ]
}

/// The state; before the recipient is told, whether its node is known at all.
fn state(share: &Value) -> String {
    match (share["state"].as_str(), share["grant"].as_str()) {
        (Some("shared"), Some("pending")) => "waits for key".to_owned(),
        _ => cell(&share["state"]),
    }
}

/// When the share came to its state.
fn since(share: &Value) -> String {
    let times = [
        "ended_at",
        "acknowledged_at",
        "notified_at",
        "granted_at",
        "created_at",
    ];
    let newest = times.iter().find(|field| !share[**field].is_null());
    newest.map_or_else(String::new, |field| times::local_ms(&share[*field]))
}

fn copies(of: &Value) -> String {
    format!("{} of {}", cell(&of["replicas"]), cell(&of["replicas_wanted"]))
}

fn event(event: &Value) -> Vec<String> {
    vec![
        times::local_ms(&event["recorded_at"]),
        cell(&event["event_type"]),
        cell(&event["recipient"]),
        cell(&event["receipt"]),
        cell(&event["tx_hash"]),
    ]
}
