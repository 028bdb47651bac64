//! `dm-node events`: what happens in a running node.

use serde_json::Value;

use crate::{
    cli::EventsArgs,
    client::NodeClient,
    output::{self, cell},
    times,
};

/// Seconds that one request waits for the next event.
const WAIT_SECS: u32 = 30;

pub(crate) async fn run(args: EventsArgs, as_json: bool) -> anyhow::Result<()> {
    let client = args.client.connect()?;
    if args.follow {
        return follow(&client, &args, as_json).await;
    }
    let answer = client.get("/events", &query(&args, args.cursor.clone())).await?;
    output::print(as_json, &answer, describe)
}

fn query(args: &EventsArgs, cursor: Option<String>) -> Vec<(&'static str, String)> {
    let mut query = vec![("limit", args.limit.to_string())];
    query.extend(args.topics.clone().map(|topics| ("topics", topics)));
    query.extend(cursor.map(|cursor| ("cursor", cursor)));
    query
}

/// One line for each event, in JSON one document a line.
async fn follow(client: &NodeClient, args: &EventsArgs, as_json: bool) -> anyhow::Result<()> {
    let mut cursor = args.cursor.clone().unwrap_or_else(|| "now".to_owned());
    loop {
        let mut query = query(args, Some(cursor));
        query.push(("wait", WAIT_SECS.to_string()));
        let mut answer = client.get("/events", &query).await?;
        if let Some(missed) = answer["missed"].as_u64() {
            eprintln!("{missed} events were forgotten before they were asked for");
        }
        for event in answer["events"].as_array().into_iter().flatten() {
            match as_json {
                true => println!("{event}"),
                false => println!("{}", row(event).join("  ")),
            }
        }
        cursor = match answer["cursor"].take() {
            Value::String(cursor) => cursor,
            _ => anyhow::bail!("the node's answer has no cursor"),
        };
    }
}

fn describe(answer: &Value) -> String {
    let events = answer["events"].as_array().map(Vec::as_slice).unwrap_or_default();
    let rows: Vec<Vec<String>> = events.iter().map(|event| row(event).into()).collect();
    let table = output::table(&["TIME", "EVENT", "SUBJECT", "DATA"], &rows);
    format!("{table}\nlater ones: --cursor {}", cell(&answer["cursor"]))
}

/// Time, topic, data hash and the rest of an event.
fn row(event: &Value) -> [String; 4] {
    let time = event["time"].as_str().unwrap_or_default();
    let kind = event["type"].as_str().unwrap_or_default();
    let mut data = event["data"].clone();
    if let (Some(data), Some(_)) = (data.as_object_mut(), event["subject"].as_str()) {
        data.remove("data_hash");
    }
    [
        times::local_iso(time),
        kind.strip_prefix("datamgmt.").unwrap_or(kind).to_owned(),
        cell(&event["subject"]),
        data.to_string(),
    ]
}
