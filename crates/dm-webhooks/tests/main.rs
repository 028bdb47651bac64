//! Calls to real receivers on loopback, friendly and hostile ones.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use bytes::Bytes;
use dm_core::{
    ports::{WebhookAnswer, WebhookCall, Webhooks},
    span::TraceContext,
};
use dm_webhooks::{HttpWebhooks, WebhooksConfig};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::mpsc,
};
use zeroize::Zeroizing;

fn webhooks(networks: &[&str]) -> HttpWebhooks {
    let allowed_networks = networks.iter().map(|network| network.parse().unwrap()).collect();
    HttpWebhooks::new(&WebhooksConfig { allowed_networks }).unwrap()
}

fn call(url: &str) -> WebhookCall {
    WebhookCall {
        url: url.to_owned(),
        secret: Zeroizing::new(vec![7; 32]),
        id: "01020304050607ff-42".to_owned(),
        at: 1_700_000_000,
        body: Bytes::from_static(b"{\"type\":\"datamgmt.data.shared\"}"),
        trace: None,
    }
}

/// A receiver that answers every request with these bytes, and the requests that it got.
async fn receiver(answer: &'static str) -> (String, mpsc::UnboundedReceiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let (requests, received) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, answer, requests.clone()));
        }
    });
    (url, received)
}

async fn serve(mut stream: TcpStream, answer: &'static str, requests: mpsc::UnboundedSender<String>) {
    let mut request = Vec::new();
    let mut buffer = [0; 4096];
    while !request.ends_with(b"}") {
        match stream.read(&mut buffer).await {
            Ok(0) | Err(_) => return,
            Ok(read) => request.extend_from_slice(&buffer[..read]),
        }
    }
    let _ = requests.send(String::from_utf8(request).unwrap());
    let _ = stream.write_all(answer.as_bytes()).await;
}

async fn answer_of(answer: &'static str) -> WebhookAnswer {
    let (url, _requests) = receiver(answer).await;
    webhooks(&["127.0.0.0/8"]).call(call(&url)).await
}

fn reason(answer: WebhookAnswer) -> String {
    match answer {
        WebhookAnswer::Failed { reason } => reason,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_call_is_signed_and_carries_the_event() {
    let (url, mut requests) = receiver("HTTP/1.1 204 No Content\r\n\r\n").await;
    let answer = webhooks(&["127.0.0.0/8"]).call(call(&url)).await;
    assert_eq!(answer, WebhookAnswer::Taken);
    let request = requests.recv().await.unwrap();
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("POST /hook HTTP/1.1\r\n"), "{head}");
    assert_eq!(body, "{\"type\":\"datamgmt.data.shared\"}");
    for line in [
        "content-type: application/cloudevents+json; charset=utf-8",
        "webhook-id: 01020304050607ff-42",
        "webhook-timestamp: 1700000000",
        // By openssl: printf ID.TIME.BODY | openssl dgst -sha256 -hmac KEY -binary | base64
        "webhook-signature: v1,",
    ] {
        assert!(head.to_lowercase().contains(line), "{line}: {head}");
    }
}

#[tokio::test]
async fn a_call_tells_the_trace_that_it_belongs_to() {
    let traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    for trace in [TraceContext::parse(traceparent.as_bytes()), None] {
        let (url, mut requests) = receiver("HTTP/1.1 204 No Content\r\n\r\n").await;
        let call = WebhookCall { trace, ..call(&url) };
        webhooks(&["127.0.0.0/8"]).call(call).await;
        let request = requests.recv().await.unwrap();
        let header = format!("traceparent: {traceparent}\r\n");
        assert_eq!(request.contains(&header), trace.is_some(), "{request}");
    }
}

#[tokio::test]
async fn only_success_counts_as_taken() {
    for (answer, sentence) in [
        (
            "HTTP/1.1 500 Oops\r\ncontent-length: 0\r\n\r\n",
            "answered 500 Internal Server Error",
        ),
        (
            "HTTP/1.1 404 No\r\ncontent-length: 0\r\n\r\n",
            "answered 404 Not Found",
        ),
        (
            "HTTP/1.1 302 Found\r\nlocation: http://169.254.169.254/\r\ncontent-length: 0\r\n\r\n",
            "answered 302 Found; redirects are not followed: http://169.254.169.254/",
        ),
    ] {
        assert_eq!(reason(answer_of(answer).await), sentence);
    }
    let gone = answer_of("HTTP/1.1 410 Gone\r\ncontent-length: 0\r\n\r\n").await;
    assert_eq!(gone, WebhookAnswer::Gone);
    assert!(!reason(answer_of("rubbish\r\n\r\n").await).is_empty());
    assert!(!reason(answer_of("").await).is_empty());
}

#[tokio::test]
async fn an_answer_without_end_does_no_harm() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let endless = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = [0; 4096];
        while !stream
            .read(&mut request)
            .await
            .is_ok_and(|read| request[..read].ends_with(b"}"))
        {}
        let head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
        stream.write_all(head).await.unwrap();
        let mut written = 0_usize;
        let piece = format!("1000\r\n{}\r\n", "x".repeat(4096));
        while stream.write_all(piece.as_bytes()).await.is_ok() {
            written += 4096;
        }
        written
    });
    assert_eq!(
        webhooks(&["127.0.0.0/8"]).call(call(&url)).await,
        WebhookAnswer::Taken
    );
    // The connection was closed, after what the buffers of the system hold.
    assert!(endless.await.unwrap() < 64 << 20);
}

#[tokio::test]
async fn a_name_that_leads_to_a_private_address_is_not_called() {
    let (url, mut requests) = receiver("HTTP/1.1 204 No Content\r\n\r\n").await;
    let by_name = url.replace("127.0.0.1", "localhost");
    let refused = reason(webhooks(&[]).call(call(&by_name)).await);
    assert!(refused.contains("no address on the public internet"), "{refused}");
    let refused = reason(webhooks(&[]).call(call(&url)).await);
    assert!(refused.contains("not on the public internet"), "{refused}");
    assert!(requests.try_recv().is_err());
    let allowed = webhooks(&["127.0.0.0/8", "::1/128"]).call(call(&by_name)).await;
    assert_eq!(allowed, WebhookAnswer::Taken);
}

#[tokio::test]
async fn who_is_away_is_named_in_the_reason() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    drop(listener);
    let refused = reason(webhooks(&["127.0.0.0/8"]).call(call(&url)).await);
    assert!(refused.contains("refused"), "{refused}");
}
