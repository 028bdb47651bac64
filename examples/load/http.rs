//! A lean HTTP/1.1 client for one connection that is kept alive, so that the
//! load generator costs little beside the node.

use anyhow::{Context, bail, ensure};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// Largest head of a response.
const MAX_HEAD: usize = 16 * 1024;

pub(crate) struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

/// A response with its whole body.
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

impl Connection {
    /// Connects to `http://host:port`.
    pub(crate) async fn open(api: &str) -> anyhow::Result<Self> {
        let address = api.strip_prefix("http://").context("an http URL")?;
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            buffer: Vec::with_capacity(64 * 1024),
        })
    }

    /// Sends a whole request and reads the whole response.
    pub(crate) async fn exchange(&mut self, request: &[u8]) -> anyhow::Result<Response> {
        self.stream.write_all(request).await?;
        self.read_response().await
    }

    /// Sends a part of a request.
    pub(crate) async fn send(&mut self, part: &[u8]) -> anyhow::Result<()> {
        Ok(self.stream.write_all(part).await?)
    }

    /// Reads a response whose length is given by its head.
    pub(crate) async fn read_response(&mut self) -> anyhow::Result<Response> {
        let (status, length) = self.read_head().await?;
        while self.buffer.len() < length {
            self.fill().await?;
        }
        let rest = self.buffer.split_off(length);
        let body = std::mem::replace(&mut self.buffer, rest);
        Ok(Response { status, body })
    }

    /// Reads a head; status and length of the body.
    pub(crate) async fn read_head(&mut self) -> anyhow::Result<(u16, usize)> {
        let end = loop {
            if let Some(end) = find(&self.buffer, b"\r\n\r\n") {
                break end;
            }
            ensure!(
                self.buffer.len() < MAX_HEAD,
                "the head of the response is too long"
            );
            self.fill().await?;
        };
        let head = std::str::from_utf8(&self.buffer[..end])?.to_ascii_lowercase();
        let status = head.get(9..12).context("a status line")?.parse()?;
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length:"))
            .map_or(Ok(0), |length| length.trim().parse())?;
        self.buffer.drain(..end + 4);
        Ok((status, length))
    }

    /// Takes what has arrived of a body, at least a byte; waits for it.
    pub(crate) async fn take_some(&mut self) -> anyhow::Result<usize> {
        if self.buffer.is_empty() {
            self.buffer.resize(256 * 1024, 0);
            let read = self.stream.read(&mut self.buffer).await;
            self.buffer.clear();
            let read = read?;
            ensure!(read > 0, "the node closed the connection");
            return Ok(read);
        }
        let taken = self.buffer.len();
        self.buffer.clear();
        Ok(taken)
    }

    async fn fill(&mut self) -> anyhow::Result<()> {
        if self.stream.read_buf(&mut self.buffer).await? == 0 {
            bail!("the node closed the connection");
        }
        Ok(())
    }
}

fn find(bytes: &[u8], pattern: &[u8]) -> Option<usize> {
    bytes.windows(pattern.len()).position(|window| window == pattern)
}

/// A request with a body.
pub(crate) fn request(method: &str, route: &str, api_key: &str, body: &[u8]) -> Vec<u8> {
    let mut request = head(method, route, api_key, body.len());
    request.extend_from_slice(body);
    request
}

/// The head of a request with a body of `length` bytes.
pub(crate) fn head(method: &str, route: &str, api_key: &str, length: usize) -> Vec<u8> {
    format!(
        "{method} {route} HTTP/1.1\r\nHost: localhost\r\nX-API-Key: {api_key}\r\n\
         Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
    )
    .into_bytes()
}
