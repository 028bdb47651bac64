//! From the answer to a share on one node to the item in the inbox of another, at a
//! hundred shares in a second.

use std::{
    collections::HashMap,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use serde_json::Value;

use crate::{
    chain::{Chain, FUNDED_KEYS},
    http::{Connection, request},
    node::Node,
    report,
    shares::share_request_to,
};

/// Clients, each of which shares in its turn.
const CLIENTS: u64 = 20;
/// Between two shares.
const INTERVAL: Duration = Duration::from_millis(10);
const SHARES: u64 = 2000;
/// Shares before those that count: the nodes have to find each other.
const FIRST_SHARES: u64 = 100;

pub(crate) async fn measure(binary: &Path) -> anyhow::Result<()> {
    let home = tempfile::tempdir()?;
    let chain = Chain::start(binary, &home.path().join("chain")).await?;
    let start = async |name: &str, key: &str, args: &[&str]| {
        let variables = [("BLOCKCHAIN_URL", chain.url.as_str()), ("PRIVATE_KEY", key)];
        Node::start_with(binary, &home.path().join(name), args, &variables).await
    };
    let sender = start("sender", FUNDED_KEYS[0], &[]).await?;
    let recipient = start("recipient", FUNDED_KEYS[1], &["--peer", &sender.p2p]).await?;
    exchange(&sender, &recipient, 0..FIRST_SHARES).await?;
    let strangers = FIRST_SHARES..FIRST_SHARES + SHARES;
    let contacts = strangers.end..strangers.end + SHARES;
    // What strangers share is listed once it is anchored, what contacts share at once.
    print("stranger", &exchange(&sender, &recipient, strangers).await?);
    recipient.add_contact("sender", &sender.address).await?;
    print("contact", &exchange(&sender, &recipient, contacts).await?);
    sender.stop().await?;
    recipient.stop().await?;
    Ok(())
}

/// Shares, and waits for the items; the milliseconds between them.
async fn exchange(sender: &Node, recipient: &Node, shares: std::ops::Range<u64>) -> anyhow::Result<Vec<f64>> {
    let count = (shares.end - shares.start) as usize;
    let cursor = page(recipient, "now", 0).await?.1;
    let (answered, arrived) = tokio::try_join!(
        share(sender, recipient, shares),
        arrivals(recipient, cursor, count)
    )?;
    let mut delays = Vec::new();
    for (hash, answered) in &answered {
        let arrived = arrived.get(hash).context("a share has not arrived")?;
        delays.push(arrived.saturating_duration_since(*answered).as_secs_f64() * 1000.0);
    }
    delays.sort_by(f64::total_cmp);
    Ok(delays)
}

fn print(sender: &str, delays: &[f64]) {
    report::line(
        &format!("share of a {sender} answered to item in the inbox, 100/s"),
        &format!("{:.0} ms", report::quantile(delays, 0.5)),
        "median; goal 50 ms",
    );
    report::line(
        "",
        &format!("{:.0} ms", report::quantile(delays, 0.99)),
        "99 of 100; goal 500 ms",
    );
}

/// Shares at a fixed pace; when each was answered, by data hash.
async fn share(
    sender: &Node,
    recipient: &Node,
    shares: std::ops::Range<u64>,
) -> anyhow::Result<HashMap<String, Instant>> {
    let began = tokio::time::Instant::now();
    let clients = (0..CLIENTS).map(|client| {
        let numbers = shares.clone().skip(client as usize).step_by(CLIENTS as usize);
        let first = shares.start;
        async move {
            let mut connection = Connection::open(&sender.external_api).await?;
            let mut answered = Vec::new();
            for number in numbers {
                tokio::time::sleep_until(began + INTERVAL * (number - first) as u32).await;
                let request = share_request_to(sender, &recipient.address, number);
                let response = connection.exchange(&request).await?;
                let at = Instant::now();
                let answer: Value = serde_json::from_slice(&response.body)?;
                answered.push((text(&answer["data_hash"])?, at));
            }
            anyhow::Ok(answered)
        }
    });
    let all = futures::future::try_join_all(clients).await?;
    Ok(all.into_iter().flatten().collect())
}

/// Waits for so many items in the inbox; when each was there, by data hash.
async fn arrivals(
    recipient: &Node,
    mut cursor: String,
    count: usize,
) -> anyhow::Result<HashMap<String, Instant>> {
    let mut arrived = HashMap::new();
    while arrived.len() < count {
        let (hashes, next) = page(recipient, &cursor, 30).await?;
        let at = Instant::now();
        ensure!(!hashes.is_empty(), "{} of {count} shares arrived", arrived.len());
        arrived.extend(hashes.into_iter().map(|hash| (hash, at)));
        cursor = next;
    }
    Ok(arrived)
}

/// What arrived after this place in the journal, which is waited for, and the next place.
async fn page(node: &Node, cursor: &str, wait: u64) -> anyhow::Result<(Vec<String>, String)> {
    let route = format!("/events?topics=data.received&limit=1000&cursor={cursor}&wait={wait}");
    let mut connection = Connection::open(&node.external_api).await?;
    let response = connection
        .exchange(&request("GET", &route, &node.api_key, b""))
        .await?;
    let page: Value = serde_json::from_slice(&response.body)?;
    let events = page["events"].as_array().with_context(|| page.to_string())?;
    let hashes = events
        .iter()
        .map(|event| text(&event["subject"]))
        .collect::<Result<_, _>>()?;
    Ok((hashes, text(&page["cursor"])?))
}

fn text(value: &Value) -> anyhow::Result<String> {
    Ok(value.as_str().context("a text")?.to_owned())
}
