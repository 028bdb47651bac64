//! `dm-node subscriptions`: programs that a running node calls when something happens.

use std::collections::BTreeMap;

use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    cli::{
        AddSubscriptionArgs, InternalClientArgs, SubscriptionArgs, SubscriptionsArgs, SubscriptionsCommand,
    },
    output::{self, cell},
    times,
};

pub(crate) async fn run(args: SubscriptionsArgs, as_json: bool) -> anyhow::Result<()> {
    match args.command {
        None => list(&args.client, as_json).await,
        Some(SubscriptionsCommand::Add(args)) => add(&args, as_json).await,
        Some(SubscriptionsCommand::Pause(args)) => set_paused(&args, true, as_json).await,
        Some(SubscriptionsCommand::Resume(args)) => set_paused(&args, false, as_json).await,
        Some(SubscriptionsCommand::Replay { subscription, cursor }) => {
            replay(&subscription, &cursor, as_json).await
        }
        Some(SubscriptionsCommand::Failed(args)) => failed(&args, as_json).await,
        Some(SubscriptionsCommand::Remove(args)) => remove(&args, as_json).await,
    }
}

async fn list(args: &InternalClientArgs, as_json: bool) -> anyhow::Result<()> {
    let answer = args.connect()?.get("/subscriptions", &[]).await?;
    output::print(as_json, &answer, describe_all)
}

async fn replay(args: &SubscriptionArgs, cursor: &str, as_json: bool) -> anyhow::Result<()> {
    let id = &args.id;
    let route = format!("/subscriptions/{id}/replay");
    let answer = args
        .client
        .connect()?
        .post(&route, &json!({"cursor": cursor}))
        .await?;
    output::print(as_json, &answer, |_| {
        format!("{id} gets what came after {cursor} again.")
    })
}

async fn failed(args: &SubscriptionArgs, as_json: bool) -> anyhow::Result<()> {
    let route = format!("/subscriptions/{}/deliveries", args.id);
    let query = [("state", "failed".to_owned()), ("limit", "1000".to_owned())];
    let answer = args.client.connect()?.get(&route, &query).await?;
    output::print(as_json, &answer, describe_failed)
}

async fn remove(args: &SubscriptionArgs, as_json: bool) -> anyhow::Result<()> {
    let client = args.client.connect()?;
    let request = client.request(Method::DELETE, &format!("/subscriptions/{}", args.id));
    client.send(request).await?;
    output::print(as_json, &json!({"success": true}), |_| {
        format!("{} is removed.", args.id)
    })
}

async fn add(args: &AddSubscriptionArgs, as_json: bool) -> anyhow::Result<()> {
    let topics: Vec<&str> = args
        .topics
        .split(',')
        .map(str::trim)
        .filter(|name| !name.is_empty())
        .collect();
    let filter: BTreeMap<&str, &str> = args
        .filter
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    let body = json!({
        "name": args.name, "url": args.url, "topics": topics, "filter": filter, "start": args.start,
    });
    let made = args.client.connect()?.post("/subscriptions", &body).await?;
    output::print(as_json, &made, |made| {
        format!(
            "{} is called from now on, as {}.\nThe key of the calls, which is not shown again: {}",
            cell(&made["url"]),
            cell(&made["id"]),
            cell(&made["secret"])
        )
    })
}

async fn set_paused(args: &SubscriptionArgs, paused: bool, as_json: bool) -> anyhow::Result<()> {
    let (client, id) = (args.client.connect()?, &args.id);
    let request = client.request(Method::PATCH, &format!("/subscriptions/{id}"));
    let changed = client.answer(request.json(&json!({"paused": paused}))).await?;
    output::print(as_json, &changed, |changed| {
        format!("{id} is {} now.", cell(&changed["state"]))
    })
}

fn lines<'a>(answer: &'a Value, list: &str) -> &'a [Value] {
    answer[list].as_array().map(Vec::as_slice).unwrap_or_default()
}

fn describe_all(answer: &Value) -> String {
    let rows: Vec<Vec<String>> = lines(answer, "subscriptions")
        .iter()
        .map(|kept| {
            let topics = kept["topics"].as_array().map(Vec::as_slice).unwrap_or_default();
            let topics: Vec<String> = topics.iter().map(cell).collect();
            vec![
                cell(&kept["id"]),
                cell(&kept["name"]),
                cell(&kept["state"]),
                cell(&kept["url"]),
                topics.join(","),
                times::local_secs(&kept["next_try"]),
                cell(&kept["missed"]),
                cell(&kept["last_error"]),
            ]
        })
        .collect();
    output::table(
        &[
            "ID",
            "NAME",
            "STATE",
            "URL",
            "TOPICS",
            "NEXT TRY",
            "MISSED",
            "LAST ERROR",
        ],
        &rows,
    )
}

fn describe_failed(answer: &Value) -> String {
    let rows: Vec<Vec<String>> = lines(answer, "deliveries")
        .iter()
        .map(|letter| {
            vec![
                times::local_secs(&letter["failed_at"]),
                cell(&letter["event"]),
                cell(&letter["topic"]),
                cell(&letter["attempts"]),
                cell(&letter["reason"]),
            ]
        })
        .collect();
    output::table(&["TIME", "EVENT", "TOPIC", "ATTEMPTS", "REASON"], &rows)
}
