//! Starting, stopping, and what is written to the log.

use std::{
    io,
    net::TcpListener,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use dm_api::{ApiServers, ServerError, serve_json_rpc};
use dm_core::ports::JsonRpc;
use reqwest::Method;
use serde_json::json;
use tokio::io::AsyncWriteExt;

use crate::common::{Answer, RECIPIENT, TestConfig, raw, start, start_with};

#[actix_web::test]
async fn a_port_that_is_taken_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut setup = TestConfig::default();
    setup.external.port = taken.local_addr().unwrap().port();
    let Err(error) = ApiServers::bind(&setup.internal, &setup.external, setup.uploads) else {
        panic!("two servers cannot listen on one port");
    };
    assert!(matches!(error, ServerError::Bind { address, .. } if address == taken.local_addr().unwrap()));
    assert!(error.to_string().contains(&setup.external.port.to_string()));
}

#[actix_web::test]
async fn requests_in_progress_are_answered_before_the_servers_stop() {
    let node = start().await;
    let hash = node.put(b"hello".to_vec()).await;
    node.store.stuck.send_replace(true);
    let mut socket = raw::connect(&node.external).await;
    let request = format!(
        "GET /data/{hash} HTTP/1.1\r\nHost: x\r\nX-API-Key: {}\r\n\r\n",
        node.keys.read
    );
    socket.write_all(request.as_bytes()).await.unwrap();
    crate::common::watched_store::WatchedStore::until(&node.store.waiting, |waiting| *waiting == 1).await;
    let stopping = tokio::spawn(node.handle.stop());
    while tokio::net::TcpStream::connect(node.external.trim_start_matches("http://"))
        .await
        .is_ok()
    {
        tokio::task::yield_now().await;
    }
    node.store.stuck.send_replace(false);
    let answer = raw::read_all(socket).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert!(answer.contains("\"data\":\"hello\""), "{answer}");
    stopping.await.unwrap();
}

#[actix_web::test]
async fn clients_that_do_nothing_do_not_hold_up_a_stop_and_the_others_are_answered() {
    let mut setup = TestConfig::default();
    setup.external.idle_timeout_secs = 3600;
    // Who waited for clients would not be back within the test's life.
    setup.stop_patience = std::time::Duration::from_secs(3600);
    let node = start_with(setup).await;

    let mut unused = raw::connect(&node.external).await;
    unused
        .write_all(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
        .await
        .unwrap();
    raw::read_answer(&mut unused).await;
    let _silent = raw::connect(&node.external).await;
    let upload = format!(
        "PUT /objects?recipient={RECIPIENT} HTTP/1.1\r\nHost: x\r\nX-API-Key: {}\r\nContent-Length: 6\r\n\r\nhal",
        node.keys.share
    );
    let (mut idle, mut busy) = (
        raw::connect(&node.external).await,
        raw::connect(&node.external).await,
    );
    idle.write_all(upload.as_bytes()).await.unwrap();
    busy.write_all(upload.as_bytes()).await.unwrap();
    crate::common::watched_store::WatchedStore::until(&node.store.writers, |writers| *writers == 2).await;

    let stopping = tokio::spawn(node.handle.stop());
    while tokio::net::TcpStream::connect(node.external.trim_start_matches("http://"))
        .await
        .is_ok()
    {
        tokio::task::yield_now().await;
    }
    busy.write_all(b"ves").await.unwrap();
    let answer = raw::read_all(busy).await;
    assert!(answer.starts_with("HTTP/1.1 20"), "{answer}");
    stopping.await.unwrap();
    let answer = raw::read_all(idle).await;
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    crate::common::watched_store::WatchedStore::until(&node.store.writers, |writers| *writers == 0).await;
}

/// Says back what it was asked.
struct Echo;

#[async_trait]
impl JsonRpc for Echo {
    async fn call(&self, request: &[u8]) -> Vec<u8> {
        // Work of its own must find the node's runtime.
        let request = request.to_vec();
        tokio::task::spawn_blocking(move || request).await.unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn json_rpc_is_served_at_the_root() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let server = serve_json_rpc(listener, Arc::new(Echo)).unwrap();
    let client = reqwest::Client::new();
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": "eth_chainId"});
    let answer = Answer::of(client.post(&url).json(&body)).await;
    assert_eq!(
        (answer.status, answer.header("content-type")),
        (200, "application/json")
    );
    assert_eq!(answer.body, body);
    assert_eq!(client.get(&url).send().await.unwrap().status(), 405);
    server.stop().await;
    assert!(client.post(&url).json(&body).send().await.is_err());
}

#[tokio::test]
async fn web_pages_may_call_the_embedded_chain() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let server = serve_json_rpc(listener, Arc::new(Echo)).unwrap();
    let client = reqwest::Client::new();
    let preflight = client
        .request(Method::OPTIONS, &url)
        .header("origin", "http://localhost:3000")
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", "content-type")
        .send()
        .await
        .unwrap();
    assert!(preflight.status().is_success(), "{}", preflight.status());
    for (header, value) in [
        ("access-control-allow-origin", "*"),
        ("access-control-allow-methods", "POST"),
        ("access-control-allow-headers", "*"),
    ] {
        assert_eq!(preflight.headers()[header], value);
    }
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": "eth_chainId"});
    let request = client.post(&url).header("origin", "http://localhost:3000");
    let answer = request.json(&body).send().await.unwrap();
    assert_eq!(answer.headers()["access-control-allow-origin"], "*");
    server.stop().await;
}

/// Collects what would be written to the log.
#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl io::Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[actix_web::test]
async fn the_log_has_the_route_and_the_id_and_nothing_secret() {
    let written = Written::default();
    let sink = written.clone();
    tracing_subscriber::fmt()
        .with_env_filter("dm_api=trace,dm_core=trace,actix_http=trace,actix_server=trace,actix_web=trace")
        .with_writer(move || sink.clone())
        .with_ansi(false)
        .init();
    let node = start().await;
    let shared = node
        .share(&json!({"data": "PAYLOAD-TEXT", "recipient": RECIPIENT}))
        .await;
    let hash = shared.body["data_hash"].as_str().unwrap().to_owned();
    let request = node.external(Method::GET, &format!("/data/{hash}?note=QUERY-VALUE"));
    assert_eq!(
        Answer::of(request.header("X-Request-Id", "trace-me-1"))
            .await
            .status,
        200
    );
    let unknown = node.bare(Method::GET, &format!("{}/data/{hash}", node.external));
    Answer::of(unknown.header("X-API-Key", "dm_WRONG_KEY")).await;

    let log = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
    for expected in [
        "trace-me-1",
        "/data/{data_hash}",
        "/share_data",
        "status=200",
        "status=401",
        "duration_ms=",
    ] {
        assert!(log.contains(expected), "{expected} is missing in:\n{log}");
    }
    for secret in [
        node.keys.admin.as_str(),
        "dm_WRONG_KEY",
        "PAYLOAD-TEXT",
        "QUERY-VALUE",
    ] {
        assert!(!log.contains(secret), "{secret} is in the log");
    }
}
