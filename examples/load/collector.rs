//! A collector of traces that reads and forgets: as lean as possible, so that it costs little
//! beside the node.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use anyhow::Context;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, sink},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

/// Takes all traces, and counts their bytes.
pub(crate) struct Collector {
    pub(crate) url: String,
    bytes: Arc<AtomicU64>,
    task: JoinHandle<()>,
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Collector {
    pub(crate) async fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}/v1/traces", listener.local_addr()?);
        let bytes = Arc::<AtomicU64>::default();
        let counted = bytes.clone();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let counted = counted.clone();
                // It ends with the connection.
                tokio::spawn(async move { drop(take(stream, &counted).await) });
            }
        });
        Ok(Self { url, bytes, task })
    }

    /// Bytes that have come so far.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }
}

async fn take(stream: TcpStream, counted: &AtomicU64) -> anyhow::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    loop {
        let mut length = 0;
        loop {
            line.clear();
            if stream.read_line(&mut line).await? == 0 {
                return Ok(());
            }
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().context("a length")?;
            }
            if line.trim().is_empty() {
                break;
            }
        }
        tokio::io::copy(&mut (&mut stream).take(length), &mut sink()).await?;
        counted.fetch_add(length, Ordering::Relaxed);
        stream.get_mut().write_all(ANSWER).await?;
    }
}
