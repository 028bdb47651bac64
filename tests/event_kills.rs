//! Rounds of shares during which node and receiver are killed, each at a moment of its
//! own. After each round both start again, and the receiver has every event of the journal,
//! in its order.
//!
//! `EVENT_KILL_ROUNDS` says how many rounds there are, `EVENT_KILL_SEED` with which one they
//! begin.

use std::time::Duration;

use futures::future::join_all;
use rand::{RngExt, SeedableRng, rngs::StdRng};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tempfile::tempdir;

use crate::{
    events::{setup, subscribe},
    support::{Node, SOMEBODY, data_hash, eventually, process::kill_9, receiver::Receiver, setting},
};

/// Rounds of an ordinary run of the tests.
const FEW_ROUNDS: u64 = 4;
/// Clients at the same time.
const CLIENTS: u64 = 3;
/// Longest time in milliseconds until node or receiver is killed.
const LONGEST_ROUND_MS: u64 = 900;

/// Shares until the node is gone: the data that the client was told to be shared.
async fn share_until_gone(node: &Node, name: String) -> Vec<String> {
    let mut shared = Vec::new();
    for count in 0.. {
        let data = format!("{name} {count}");
        let asked = json!({"data": data, "recipient": SOMEBODY});
        let request = node.request(Method::POST, "/share_data").json(&asked);
        match request.send().await {
            Ok(response) if response.status().is_success() => shared.push(data_hash(data.as_bytes())),
            Ok(response) => panic!("{}", response.status()),
            Err(_) => break,
        }
    }
    shared
}

/// What the subscription is for, from the beginning.
pub(crate) async fn journal(node: &Node) -> Vec<Value> {
    let (mut events, mut cursor) = (Vec::new(), String::new());
    loop {
        let route = format!("/events?topics=data.shared&limit=1000{cursor}");
        let (status, page) = node.get(&route).await;
        assert_eq!(status, StatusCode::OK, "{page}");
        let listed = page["events"].as_array().unwrap();
        if listed.is_empty() {
            return events;
        }
        events.extend(listed.iter().cloned());
        cursor = format!("&cursor={}", page["cursor"].as_str().unwrap());
    }
}

#[tokio::test]
async fn no_event_is_lost_or_reordered_through_kills_of_both_sides() {
    let (rounds, seed) = (
        setting("EVENT_KILL_ROUNDS", FEW_ROUNDS),
        setting("EVENT_KILL_SEED", 1),
    );
    let home = tempdir().unwrap();
    let mut node = setup(&home).start().await;
    let mut receiver = Receiver::start().await;
    let (status, made) = subscribe(&node, &receiver.url()).await;
    assert_eq!(status, StatusCode::CREATED, "{made}");
    let mut told = Vec::new();
    for round in seed..seed + rounds {
        let mut random = StdRng::seed_from_u64(round);
        let mut moment = || Duration::from_millis(random.random_range(20..LONGEST_ROUND_MS));
        let (end_of_node, end_of_receiver) = (moment(), moment());
        let clients = (0..CLIENTS).map(|client| share_until_gone(&node, format!("{round} {client}")));
        let (shared, (), fallen) = tokio::join!(
            join_all(clients),
            async {
                tokio::time::sleep(end_of_node).await;
                kill_9(node.id()).await;
            },
            async {
                tokio::time::sleep(end_of_receiver).await;
                receiver.kill().await
            },
        );
        told.extend(shared.into_iter().flatten());
        node = node.kill().await.start().await;
        receiver = fallen.start().await;
        let journal = journal(&node).await;
        eventually("all events are delivered", async || {
            (receiver.events().len() >= journal.len()).then_some(())
        })
        .await;
        assert_eq!(receiver.events(), journal, "round {round}");
        println!(
            "round {round}: {} events so far, {} calls",
            journal.len(),
            receiver.calls()
        );
    }
    let events = receiver.events();
    for hash in told {
        assert!(events.iter().any(|event| event["subject"] == hash), "{hash}");
    }
}
