//! Asks the node, again and again.

use std::time::Duration;

use dm_core::journal::Cursor;
use serde_json::Value;
use tokio::sync::mpsc::Sender;

use crate::client::NodeClient;

/// Between two looks at the node.
const INTERVAL: Duration = Duration::from_secs(2);
/// Looks between two at its shares and its inbox, which are larger.
const LOOKS_OF_LISTS: u32 = 3;
/// How many of the newest shares, items and events of the log are looked at.
const NEWEST: usize = 200;
/// Events of the journal that are shown at first.
const EARLIER_EVENTS: u64 = 50;
/// Seconds that one request waits for the next event.
const EVENT_PATIENCE_SECS: u32 = 25;

/// What the node says of itself.
pub(super) struct Look {
    pub(super) status: Value,
    pub(super) parts: Value,
    pub(super) network: Value,
    pub(super) peers: Value,
    pub(super) storage: Value,
    /// Where they were asked for.
    pub(super) lists: Option<Lists>,
}

/// The newest of what the node lists.
pub(super) struct Lists {
    pub(super) shares: Value,
    pub(super) inbox: Value,
    pub(super) log: Value,
}

/// What there is to show.
pub(super) enum Told {
    /// The node has answered.
    Look(Box<Look>),
    /// Something has happened.
    Events(Vec<Value>),
    /// The node does not answer, or refuses.
    Trouble(String),
}

/// A first look.
///
/// # Errors
/// Where the node does not answer, or refuses the key.
pub(super) async fn first(client: &NodeClient) -> anyhow::Result<(Look, Vec<Value>)> {
    let look = look(client, true).await?;
    let (_, events) = earlier_events(client).await?;
    Ok((look, events))
}

/// Tells what the node says until nobody listens any more.
pub(super) async fn watch(client: NodeClient, teller: Sender<Told>) {
    tokio::join!(watch_state(&client, &teller), watch_events(&client, &teller));
}

async fn watch_state(client: &NodeClient, teller: &Sender<Told>) {
    for turn in 1_u32.. {
        tokio::time::sleep(INTERVAL).await;
        let told = match look(client, turn.is_multiple_of(LOOKS_OF_LISTS)).await {
            Ok(look) => Told::Look(Box::new(look)),
            Err(error) => Told::Trouble(format!("{error:#}")),
        };
        if teller.send(told).await.is_err() {
            return;
        }
    }
}

/// Tells the earlier events, and then each as it happens. That the node is away, the other
/// questions tell.
async fn watch_events(client: &NodeClient, teller: &Sender<Told>) {
    loop {
        if let Ok((mut cursor, events)) = earlier_events(client).await {
            if teller.send(Told::Events(events)).await.is_err() {
                return;
            }
            while let Ok((next, events)) = events_after(client, &cursor, EVENT_PATIENCE_SECS).await {
                cursor = next;
                if !events.is_empty() && teller.send(Told::Events(events)).await.is_err() {
                    return;
                }
            }
        }
        tokio::time::sleep(INTERVAL).await;
    }
}

async fn look(client: &NodeClient, with_lists: bool) -> anyhow::Result<Look> {
    let lists = async {
        match with_lists {
            true => lists(client).await.map(Some),
            false => Ok(None),
        }
    };
    let (status, mut parts, network, mut peers, storage, lists) = tokio::try_join!(
        client.health(),
        client.get_once("/health/parts", &[]),
        client.get_once("/network/stats", &[]),
        client.get_once("/network/peers", &[]),
        client.get_once("/network/storage", &[]),
        lists,
    )?;
    Ok(Look {
        status,
        parts: parts["parts"].take(),
        network,
        peers: peers["peers"].take(),
        storage,
        lists,
    })
}

async fn lists(client: &NodeClient) -> anyhow::Result<Lists> {
    let newest = [("limit", NEWEST.to_string())];
    let (shares, inbox, log) = tokio::try_join!(
        client.get_once("/shares", &newest),
        client.get_once("/inbox", &newest),
        client.get_once("/compliance_history", &newest),
    )?;
    Ok(Lists { shares, inbox, log })
}

/// The newest events of the journal, and the place after them.
async fn earlier_events(client: &NodeClient) -> anyhow::Result<(String, Vec<Value>)> {
    let (end, _) = events_after(client, "now", 0).await?;
    let mut begin: Cursor = end.parse().map_err(anyhow::Error::msg)?;
    begin.position = begin.position.saturating_sub(EARLIER_EVENTS);
    events_after(client, &begin.to_string(), 0).await
}

async fn events_after(
    client: &NodeClient,
    cursor: &str,
    patience: u32,
) -> anyhow::Result<(String, Vec<Value>)> {
    let query = [("cursor", cursor.to_owned()), ("wait", patience.to_string())];
    let mut page = client.get_once("/events", &query).await?;
    match (page["cursor"].take(), page["events"].take()) {
        (Value::String(cursor), Value::Array(events)) => Ok((cursor, events)),
        _ => anyhow::bail!("the node's answer makes no sense"),
    }
}
