//! A program that a node calls; as lean as possible, so that it costs little beside the
//! node.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use bytes::Bytes;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

use crate::{
    http::{Connection, request},
    node::Node,
};

/// Longest time that events are waited for.
const PATIENCE: Duration = Duration::from_secs(120);

/// One call.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    /// The number at the end of the path.
    pub(crate) hook: usize,
    /// Position of the event in the journal.
    pub(crate) position: u64,
    pub(crate) at: Instant,
    pub(crate) body: Bytes,
}

/// Takes all calls, or answers each of them with a status of its own.
pub(crate) struct Receiver {
    pub(crate) url: String,
    calls: Arc<Mutex<Vec<Call>>>,
    task: JoinHandle<()>,
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Receiver {
    /// One that takes all calls.
    pub(crate) async fn start() -> anyhow::Result<Self> {
        Self::answering("204 No Content").await
    }

    pub(crate) async fn answering(status: &str) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let calls = Arc::<Mutex<Vec<Call>>>::default();
        let (taken, answer) = (
            calls.clone(),
            format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n"),
        );
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (taken, answer) = (taken.clone(), answer.clone());
                // A connection ends with the node.
                tokio::spawn(async move {
                    let _ = take(stream, &taken, answer.as_bytes()).await;
                });
            }
        });
        Ok(Self { url, calls, task })
    }

    /// Waits until there are so many calls; removes and returns them.
    pub(crate) async fn take(&self, count: usize) -> anyhow::Result<Vec<Call>> {
        let began = Instant::now();
        loop {
            let come = self.calls().len();
            if come >= count {
                return Ok(std::mem::take(&mut *self.calls()));
            }
            if began.elapsed() > PATIENCE {
                bail!("{come} of {count} calls came");
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    fn calls(&self) -> std::sync::MutexGuard<'_, Vec<Call>> {
        self.calls
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

async fn take(stream: TcpStream, calls: &Mutex<Vec<Call>>, answer: &[u8]) -> anyhow::Result<()> {
    stream.set_nodelay(true)?;
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    loop {
        line.clear();
        if stream.read_line(&mut line).await? == 0 {
            return Ok(());
        }
        let path = line.split(' ').nth(1).context("a path")?;
        let hook = path.rsplit('/').next().and_then(|number| number.parse().ok());
        let (mut position, mut length) = (0, 0);
        loop {
            line.clear();
            stream.read_line(&mut line).await?;
            let Some((name, value)) = line.split_once(':') else {
                break;
            };
            match name {
                "content-length" => length = value.trim().parse()?,
                "webhook-id" => position = value.trim().rsplit('-').next().context("a position")?.parse()?,
                _ => {}
            }
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await?;
        if let Ok(mut calls) = calls.lock() {
            calls.push(Call {
                hook: hook.unwrap_or_default(),
                position,
                at: Instant::now(),
                body: body.into(),
            });
        }
        stream.write_all(answer).await?;
    }
}

/// Makes a subscription; its id.
pub(crate) async fn subscribe(node: &Node, name: &str, url: &str, asked: Value) -> anyhow::Result<String> {
    let mut body = json!({"name": name, "url": url, "topics": ["data.shared"]});
    if let (Some(body), Value::Object(asked)) = (body.as_object_mut(), asked) {
        body.extend(asked);
    }
    let mut connection = Connection::open(&node.internal_api).await?;
    let sent = request(
        "POST",
        "/subscriptions",
        &node.api_key,
        body.to_string().as_bytes(),
    );
    let response = connection.exchange(&sent).await?;
    let made: Value = serde_json::from_slice(&response.body)?;
    Ok(made["id"].as_str().with_context(|| made.to_string())?.to_owned())
}
