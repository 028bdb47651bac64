//! What the two plugins promise.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on fails"
)]

use std::{fs, io::Write, sync::Arc, time::Duration};

use dm_core::{
    Address,
    hash::DataHash,
    plugin::{PluginEvent, RetrievalView, Verdict},
    ports::{KeyValueStore, Plugin, PluginContext},
};
use dm_testing::key_value::MemoryKeyValueStore;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpListener,
    sync::mpsc,
};

use crate::{audit_log::AuditLog, webhook::Webhook};

const SECRET: &str = "0123456789abcdef0123456789abcdef";

fn context(store: &Arc<dyn KeyValueStore>) -> PluginContext {
    PluginContext {
        node_id: "test".to_owned(),
        address: Address::repeat_byte(1),
        store: store.clone(),
    }
}

fn store() -> Arc<dyn KeyValueStore> {
    Arc::new(MemoryKeyValueStore::new())
}

fn event(n: u64) -> PluginEvent {
    PluginEvent {
        place: None,
        topic: "data.received".to_owned(),
        data: json!({"data_hash": DataHash::of(b"data"), "owner": Address::repeat_byte(1), "size": n}),
        at: 1000,
    }
}

#[tokio::test]
async fn the_audit_log_has_a_line_for_everything_and_goes_on_after_a_crash() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("audit.jsonl");
    let log = AuditLog::new(file.clone());
    log.initialize(context(&store())).await.unwrap();
    log.on_event(&event(7)).await.unwrap();
    let retrieval = RetrievalView {
        data_hash: DataHash::of(b"data"),
        owner: Address::repeat_byte(2),
        size: 4,
    };
    assert_eq!(log.before_retrieval(&retrieval).await.unwrap(), Verdict::Allow);
    log.shutdown().await;
    assert!(log.on_event(&event(8)).await.is_err());
    // Half a line, as a crash leaves it.
    let mut appended = fs::OpenOptions::new().append(true).open(&file).unwrap();
    appended.write_all(b"{\"time_ms\": 17").unwrap();
    drop(appended);
    let log = AuditLog::new(file.clone());
    log.initialize(context(&store())).await.unwrap();
    log.on_event(&event(9)).await.unwrap();

    let text = fs::read_to_string(&file).unwrap();
    let lines: Vec<Value> = text
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect();
    let what: Vec<&str> = lines.iter().map(|line| line["what"].as_str().unwrap()).collect();
    assert_eq!(
        what,
        [
            "audit.started",
            "data.received",
            "retrieval.asked",
            "audit.stopped",
            "audit.started",
            "data.received"
        ]
    );
    assert_eq!(text.lines().count(), lines.len() + 1);
    assert_eq!(lines[5]["details"]["data"]["size"], 9);
}

/// A delivery as it arrived.
struct Delivery {
    id: String,
    timestamp: String,
    signature: String,
    body: Vec<u8>,
}

/// A receiver that answers with these statuses, and with 200 after them.
async fn receiver(statuses: Vec<u16>) -> (String, mpsc::UnboundedReceiver<Delivery>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let (sender, deliveries) = mpsc::unbounded_channel();
    let mut statuses = statuses.into_iter();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let mut stream = BufReader::new(stream);
            let mut headers = std::collections::BTreeMap::new();
            loop {
                let mut line = String::new();
                stream.read_line(&mut line).await.unwrap();
                let Some((name, value)) = line.split_once(": ") else {
                    if line.trim().is_empty() {
                        break;
                    }
                    continue;
                };
                headers.insert(name.to_lowercase(), value.trim().to_owned());
            }
            let mut body = vec![0; headers["content-length"].parse().unwrap()];
            stream.read_exact(&mut body).await.unwrap();
            let status = statuses.next().unwrap_or(200);
            let answer = format!("HTTP/1.1 {status} X\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            stream.write_all(answer.as_bytes()).await.unwrap();
            let delivery = Delivery {
                id: headers["x-datamgmt-delivery"].clone(),
                timestamp: headers["x-datamgmt-timestamp"].clone(),
                signature: headers["x-datamgmt-signature"].clone(),
                body,
            };
            if sender.send(delivery).is_err() {
                return;
            }
        }
    });
    (url, deliveries)
}

async fn next(deliveries: &mut mpsc::UnboundedReceiver<Delivery>) -> Delivery {
    let waiting = tokio::time::timeout(Duration::from_secs(30), deliveries.recv());
    waiting.await.expect("a delivery arrives").unwrap()
}

/// The signature as a receiver computes it.
fn expected(delivery: &Delivery) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
    mac.update(delivery.timestamp.as_bytes());
    mac.update(b".");
    mac.update(&delivery.body);
    let tag = mac.finalize().into_bytes();
    let digits: String = tag.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256={digits}")
}

#[tokio::test]
async fn the_webhook_signs_and_delivers_again_until_it_is_taken_in_order() {
    let (url, mut deliveries) = receiver(vec![500, 503]).await;
    let hook = Webhook::new(&url, SECRET).unwrap();
    let store = store();
    hook.initialize(context(&store)).await.unwrap();
    hook.on_event(&event(1)).await.unwrap();
    hook.on_event(&event(2)).await.unwrap();
    let mut ids = Vec::new();
    for n in [1, 1, 1, 2] {
        let delivery = next(&mut deliveries).await;
        assert_eq!(delivery.signature, expected(&delivery));
        let body: Value = serde_json::from_slice(&delivery.body).unwrap();
        assert_eq!(
            (&body["type"], &body["data"]["size"]),
            (&json!("data.received"), &json!(n))
        );
        ids.push(delivery.id);
    }
    assert!(ids[0] == ids[1] && ids[1] == ids[2] && ids[2] < ids[3], "{ids:?}");
    hook.shutdown().await;
}

#[tokio::test]
async fn what_was_not_delivered_is_delivered_after_a_restart() {
    let store = store();
    // Nobody listens at this port of the machine itself.
    let hook = Webhook::new("http://127.0.0.1:1/hook", SECRET).unwrap();
    hook.initialize(context(&store)).await.unwrap();
    hook.on_event(&event(1)).await.unwrap();
    hook.shutdown().await;
    let (url, mut deliveries) = receiver(Vec::new()).await;
    let hook = Webhook::new(&url, SECRET).unwrap();
    hook.initialize(context(&store)).await.unwrap();
    hook.on_event(&event(2)).await.unwrap();
    for n in [1, 2] {
        let body: Value = serde_json::from_slice(&next(&mut deliveries).await.body).unwrap();
        assert_eq!(body["data"]["size"], n);
    }
}

#[test]
fn a_short_secret_is_refused() {
    assert!(Webhook::new("http://127.0.0.1:1/", "short").is_err());
    assert!(Webhook::new("no url", SECRET).is_err());
}
