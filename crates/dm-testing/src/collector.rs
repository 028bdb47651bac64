//! A collector of traces, after the public protocol alone: OTLP/HTTP with binary protobuf. Nothing
//! of it is shared with what sends.

#![allow(clippy::unwrap_used, reason = "only tests use it")]

mod decode;

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

pub use self::decode::{Received, ReceivedSpan};

/// What a collector does with requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mood {
    /// It takes them.
    Takes,
    /// It answers with this status, and takes nothing.
    Answers(u16),
    /// It never answers.
    Hangs,
}

/// A collector that is running; it ends with its owner.
pub struct Collector {
    address: SocketAddr,
    inner: Arc<Inner>,
    task: JoinHandle<()>,
}

struct Inner {
    mood: Mutex<Mood>,
    received: Mutex<Vec<Received>>,
    requests: Mutex<usize>,
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Collector {
    /// A collector that takes everything.
    pub async fn start() -> Self {
        Self::start_in(Mood::Takes).await
    }

    /// A collector in this mood.
    pub async fn start_in(mood: Mood) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let inner = Arc::new(Inner {
            mood: Mutex::new(mood),
            received: Mutex::default(),
            requests: Mutex::default(),
        });
        let shared = inner.clone();
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(serve(stream, shared.clone()));
            }
        });
        Self { address, inner, task }
    }

    /// Where it takes traces.
    pub fn url(&self) -> String {
        format!("http://{}/v1/traces", self.address)
    }

    /// Changes what it does from the next request on.
    pub fn set_mood(&self, mood: Mood) {
        *self.inner.mood.lock().unwrap() = mood;
    }

    /// How many requests have come, whatever became of them.
    pub fn requests(&self) -> usize {
        *self.inner.requests.lock().unwrap()
    }

    /// What it has taken.
    pub fn received(&self) -> Vec<Received> {
        self.inner.received.lock().unwrap().clone()
    }

    /// The spans that it has taken.
    pub fn spans(&self) -> Vec<ReceivedSpan> {
        let received = self.inner.received.lock().unwrap();
        received.iter().flat_map(|one| one.spans.clone()).collect()
    }

    /// The spans of a trace that it has taken; the id is in hexadecimal.
    pub fn trace(&self, trace_id: &str) -> Vec<ReceivedSpan> {
        let mut spans = self.spans();
        spans.retain(|span| span.trace_id == trace_id);
        spans
    }
}

async fn serve(stream: TcpStream, inner: Arc<Inner>) {
    let mut stream = BufReader::new(stream);
    while let Some((head, body)) = request(&mut stream).await {
        *inner.requests.lock().unwrap() += 1;
        let mood = *inner.mood.lock().unwrap();
        let answer = match mood {
            Mood::Hangs => std::future::pending().await,
            Mood::Answers(status) => format!("HTTP/1.1 {status} No\r\nContent-Length: 0\r\n\r\n"),
            Mood::Takes => {
                assert!(head.starts_with("post /v1/traces "), "{head}");
                assert!(head.contains("content-type: application/x-protobuf"), "{head}");
                let received = decode::request(&body).unwrap();
                inner.received.lock().unwrap().push(received);
                "HTTP/1.1 200 OK\r\nContent-Type: application/x-protobuf\r\nContent-Length: 0\r\n\r\n"
                    .to_owned()
            }
        };
        if stream.get_mut().write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

/// The head of a request in small letters, and its body.
async fn request(stream: &mut BufReader<TcpStream>) -> Option<(String, Vec<u8>)> {
    let mut head = String::new();
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await.ok()? == 0 {
            return None;
        }
        head.push_str(&line.to_lowercase());
        if line.trim().is_empty() {
            break;
        }
    }
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length:"))
        .map_or(0, |length| length.trim().parse().unwrap());
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    Some((head, body))
}
