//! Whoever connects gets the page, or an answer that says why not, and costs little.

use dm_core::{health::Finding, ports::HealthCheck, tasks::Supervisor};
use dm_metrics::{Listener, ListenerHealth, Page, Readings, Server, list};
use dm_testing::waiting::eventually;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// A server on a port of its own, and what ends it.
fn served() -> (Listener, Supervisor) {
    let listener = Listener::bind("127.0.0.1:0".parse().unwrap());
    let supervisor = serve(&listener);
    (listener, supervisor)
}

fn serve(listener: &Listener) -> Supervisor {
    let page = Page::new(vec![Box::new(|readings: &mut Readings| {
        readings.add(&list::KEY_VERSIONS, &[], 4u64);
    })]);
    let (supervisor, server) = (Supervisor::new(), Server::new(listener.clone(), page));
    supervisor.spawn("metrics", move |shutdown| server.clone().run(shutdown));
    supervisor
}

/// What the server answers to these bytes.
async fn answer(listener: &Listener, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(listener.address()).await.unwrap();
    stream.write_all(request).await.unwrap();
    let mut answer = Vec::new();
    // A server that refuses may close before it has read everything.
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

const SCRAPE: &[u8] = b"GET /metrics HTTP/1.1\r\nHost: node\r\n\r\n";

#[tokio::test]
async fn the_page_is_served_and_nothing_else() {
    let (listener, _supervisor) = served();
    let page = answer(&listener, SCRAPE).await;
    assert!(page.starts_with("HTTP/1.1 200 "), "{page}");
    assert!(
        page.contains("content-type: application/openmetrics-text; version=1.0.0"),
        "{page}"
    );
    assert!(page.contains("\ndm_key_versions 4.0\n"), "{page}");
    assert!(page.ends_with("# EOF\n"), "{page}");
    let head = answer(&listener, b"HEAD /metrics HTTP/1.1\r\nHost: node\r\n\r\n").await;
    assert!(
        head.starts_with("HTTP/1.1 200 ") && head.ends_with("\r\n\r\n"),
        "{head}"
    );
    for (request, status) in [
        ("GET / HTTP/1.1\r\nHost: node\r\n\r\n", "404"),
        ("GET /metrics/more HTTP/1.1\r\nHost: node\r\n\r\n", "404"),
        (
            "POST /metrics HTTP/1.1\r\nHost: node\r\nContent-Length: 0\r\n\r\n",
            "405",
        ),
        ("rubbish\r\n\r\n", "400"),
        ("GET /metrics HTTP/1.1\r\n\x01: x\r\n\r\n", "400"),
    ] {
        let answer = answer(&listener, request.as_bytes()).await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{request:?}: {answer}"
        );
    }
}

#[tokio::test]
async fn odd_headers_neither_hurt_nor_help() {
    let (listener, _supervisor) = served();
    let long = format!(
        "GET /metrics HTTP/1.1\r\nHost: node\r\nX: {}\r\n\r\n",
        "x".repeat(100_000)
    );
    let many = format!("GET /metrics HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(5_000));
    for request in [long, many] {
        let answer = answer(&listener, request.as_bytes()).await;
        assert!(!answer.contains("dm_key_versions"), "{answer}");
    }
    for header in [
        "Accept: text/html;q=nan, */*;q=-1",
        "Accept-Encoding: gzip, br, zstd, identity;q=0",
        "Range: bytes=0-1",
        "If-None-Match: *",
        "Expect: 200-ok",
        "Connection: keep-alive, upgrade\r\nUpgrade: h2c, websocket",
        "X-Prometheus-Scrape-Timeout-Seconds: -1e999",
        "Authorization: Bearer \t",
    ] {
        let request = format!("GET /metrics HTTP/1.1\r\nHost: node\r\n{header}\r\n\r\n");
        let page = answer(&listener, request.as_bytes()).await;
        assert!(page.contains("\ndm_key_versions 4.0\n"), "{header}: {page}");
    }
}

#[tokio::test]
async fn ten_at_once_get_the_page_beside_those_who_send_or_read_nothing() {
    let (listener, _supervisor) = served();
    let mut idle = Vec::new();
    for place in 0..16 {
        let mut stream = TcpStream::connect(listener.address()).await.unwrap();
        if place % 2 == 0 {
            stream.write_all(SCRAPE).await.unwrap();
        } else {
            stream.write_all(b"GET /metr").await.unwrap();
        }
        idle.push(stream);
    }
    let pages = futures::future::join_all((0..10).map(|_| answer(&listener, SCRAPE))).await;
    assert!(pages.iter().all(|page| page.ends_with("# EOF\n")), "{pages:?}");
}

#[tokio::test]
async fn who_takes_all_places_and_sends_nothing_loses_them() {
    let (listener, _supervisor) = served();
    let mut idle = Vec::new();
    for _ in 0..64 {
        idle.push(TcpStream::connect(listener.address()).await.unwrap());
    }
    // The places of those who send no request are free again after their time.
    let page = answer(&listener, SCRAPE).await;
    assert!(page.ends_with("# EOF\n"), "{page}");
}

#[tokio::test]
async fn a_port_that_is_taken_is_told_in_the_health_and_taken_later() {
    let other = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let listener = Listener::bind(other.local_addr().unwrap());
    let health = ListenerHealth(listener.clone());
    let Finding::Degraded(trouble) = health.check().await else {
        panic!("nothing is told");
    };
    assert!(
        trouble.reason.contains("metrics cannot be read at 127.0.0.1:"),
        "{trouble:?}"
    );
    assert!(trouble.since.is_some());
    drop(other);
    let _supervisor = serve(&listener);
    eventually("the metrics are served", async || {
        (health.check().await == Finding::Working).then_some(())
    })
    .await;
    assert!(answer(&listener, SCRAPE).await.ends_with("# EOF\n"));
}
