//! The WebSocket of the console.

use std::collections::BTreeMap;

use dm_core::{news::News, ports::EventJournal};
use dm_testing::waiting::eventually;
use futures::SinkExt;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpSocket,
};
use tokio_tungstenite::{
    connect_async,
    tungstenite::{self, Message},
};

use super::{Browser, next, next_of_all};
use crate::common::{TestNode, start};

async fn happen(node: &TestNode, times: usize) {
    node.catalog
        .append_news(vec![News::NodeStopping {}; times])
        .await
        .unwrap();
}

#[actix_web::test]
async fn a_socket_tells_the_last_events_and_then_each_as_it_happens() {
    let node = start().await;
    happen(&node, 30).await;
    let browser = Browser::sign_in(&node, &node.keys.read).await;
    let mut socket = browser.socket("").await.unwrap();
    let welcome = next(&mut socket).await.unwrap();
    assert_eq!(welcome["type"], "connected");
    assert_eq!(welcome["data"]["history_available"], 30);
    for _ in 0..20 {
        let event = next(&mut socket).await.unwrap();
        assert_eq!(event["type"], "system.node_stopping");
        assert!(event["timestamp"].as_f64().unwrap() > 1.7e9, "{event}");
    }
    happen(&node, 1).await;
    let event = next(&mut socket).await.unwrap();
    assert!(event["id"].as_str().unwrap().ends_with("-31"), "{event}");
    assert_eq!(
        browser.get("/api/dashboard/info").await.body["websocket_clients"],
        1
    );
}

#[actix_web::test]
async fn a_socket_tells_what_passes_and_the_journal_does_not_keep() {
    let node = start().await;
    let browser = Browser::sign_in(&node, &node.keys.read).await;
    let mut socket = browser.socket("").await.unwrap();
    assert_eq!(next(&mut socket).await.unwrap()["type"], "connected");
    node.bus.publish(News::WrongApiKeys {
        address: "192.0.2.1".to_owned(),
        attempts: 9,
    });
    node.bus.publish(News::PeerConnected {
        peer_id: "somebody".to_owned(),
    });
    let event = next(&mut socket).await.unwrap();
    assert_eq!(event["type"], "network.peer_connected");
    assert_eq!(event["data"]["peer_id"], "somebody");
    assert!(event["timestamp"].as_f64().unwrap() > 1.7e9, "{event}");
    assert!(event["id"].is_null(), "it has no place in the journal: {event}");
    let mut seen = BTreeMap::new();
    while seen.len() < 2 {
        let mut event = next_of_all(&mut socket).await.unwrap();
        let kind = event["type"].as_str().unwrap_or_default().to_owned();
        seen.insert(kind, event["data"].take());
    }
    assert!(seen["health.update"]["parts"].is_object(), "{seen:?}");
    assert!(seen["network.stats_update"]["active_peers"].is_u64(), "{seen:?}");
}

#[actix_web::test]
async fn a_page_that_was_away_misses_nothing() {
    let node = start().await;
    let browser = Browser::sign_in(&node, &node.keys.read).await;
    happen(&node, 1).await;
    let mut socket = browser.socket("").await.unwrap();
    next(&mut socket).await.unwrap();
    let seen = next(&mut socket).await.unwrap()["id"]
        .as_str()
        .unwrap()
        .to_owned();
    drop(socket);
    happen(&node, 250).await;
    let mut socket = browser.socket(&format!("?cursor={seen}")).await.unwrap();
    assert_eq!(next(&mut socket).await.unwrap()["type"], "connected");
    for position in 2..=251 {
        let id = next(&mut socket).await.unwrap()["id"]
            .as_str()
            .unwrap()
            .to_owned();
        assert!(id.ends_with(&format!("-{position}")), "{id}");
    }
    node.catalog.prune_journal(0, 1).await.unwrap();
    let mut late = browser.socket(&format!("?cursor={seen}")).await.unwrap();
    next(&mut late).await.unwrap();
    let missed = next(&mut late).await.unwrap();
    assert_eq!(
        (&missed["type"], &missed["data"]["missed"]),
        (&json!("missed"), &json!(249))
    );
}

#[actix_web::test]
async fn a_socket_answers_pings_and_tells_history() {
    let node = start().await;
    happen(&node, 3).await;
    let browser = Browser::sign_in(&node, &node.keys.read).await;
    let mut socket = browser.socket("?cursor=").await;
    assert!(socket.is_err(), "an empty cursor names no place");
    socket = browser.socket("").await;
    let mut socket = socket.unwrap();
    for _ in 0..4 {
        next(&mut socket).await.unwrap();
    }
    for (asked, kind) in [
        (json!({"type": "ping"}), "pong"),
        (json!({"type": "get_history", "count": 2}), "history"),
        (json!({"type": "get_history"}), "history"),
        (json!({"type": "unknown"}), "error"),
        (json!(1), "error"),
    ] {
        socket.send(Message::text(asked.to_string())).await.unwrap();
        let answer = next(&mut socket).await.unwrap();
        assert_eq!(answer["type"], kind, "{asked}");
        if kind == "history" {
            let count = asked["count"].as_u64().unwrap_or(3);
            assert_eq!(answer["data"]["count"], count);
            assert_eq!(answer["data"]["events"].as_array().unwrap().len() as u64, count);
        }
    }
    socket.send(Message::text("x".repeat(5000))).await.unwrap();
    assert_eq!(
        next(&mut socket).await,
        None,
        "a message is not larger than 4 KiB"
    );
}

#[actix_web::test]
async fn a_socket_needs_a_session_and_a_place_in_this_journal() {
    let node = start().await;
    let url = format!("{}/ws", node.console.replace("http", "ws"));
    let refused = connect_async(&url).await.err().unwrap();
    assert!(matches!(refused, tungstenite::Error::Http(answer) if answer.status() == 401));
    let browser = Browser::sign_in(&node, &node.keys.read).await;
    for query in ["?cursor=x", "?cursor=0000000000000000-1"] {
        let refused = browser.socket(query).await.err().unwrap();
        assert!(
            matches!(refused, tungstenite::Error::Http(answer) if answer.status() == 422),
            "{query}"
        );
    }
    let plain = browser.get("/ws").await;
    assert_eq!(plain.status, 400, "{:?}", plain.body);
}

#[actix_web::test]
async fn a_client_that_never_reads_loses_its_socket_and_little_waits_for_it() {
    const QUESTIONS: usize = 1000;
    let node = start().await;
    happen(&node, 500).await;
    let browser = Browser::sign_in(&node, &node.keys.read).await;
    let open = async || {
        let info = browser.get("/api/dashboard/info").await.body;
        info["websocket_clients"].as_u64()
    };
    let question = json!({"type": "get_history", "count": 500}).to_string();
    let mut reader = browser.socket("").await.unwrap();
    reader.send(Message::text(question.clone())).await.unwrap();
    let mut history = next(&mut reader).await.unwrap();
    while history["type"] != "history" {
        history = next(&mut reader).await.unwrap();
    }
    let answer = history.to_string().len();
    drop(reader);
    eventually("the first socket is gone", async || {
        (open().await == Some(0)).then_some(())
    })
    .await;

    let authority = node.console.strip_prefix("http://").unwrap();
    let connection = TcpSocket::new_v4().unwrap();
    // Else the system keeps much for a client that does not read.
    connection.set_recv_buffer_size(4096).unwrap();
    let mut connection = connection.connect(authority.parse().unwrap()).await.unwrap();
    let upgrade = format!(
        "GET /ws HTTP/1.1\r\nHost: {authority}\r\nCookie: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        browser.cookie
    );
    connection.write_all(upgrade.as_bytes()).await.unwrap();
    eventually("the socket is open", async || {
        (open().await == Some(1)).then_some(())
    })
    .await;
    // A frame of text, masked with zeros.
    let mut frame = vec![0x81, 0x80 | u8::try_from(question.len()).unwrap(), 0, 0, 0, 0];
    frame.extend(question.as_bytes());
    connection.write_all(&frame.repeat(QUESTIONS)).await.unwrap();
    eventually("the socket is closed", async || {
        (open().await == Some(0)).then_some(())
    })
    .await;

    let mut kept = Vec::new();
    // However the connection ends, what was kept for it has been read.
    let _ = connection.read_to_end(&mut kept).await;
    assert!(kept.starts_with(b"HTTP/1.1 101"), "{} bytes", kept.len());
    let asked = QUESTIONS * answer;
    assert!(
        kept.len() < asked / 3,
        "{} of {asked} bytes were kept",
        kept.len()
    );
}
