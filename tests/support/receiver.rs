//! A program that is called when something happens, over real sockets.

use std::sync::{Arc, Mutex};

use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// A call that was taken.
#[derive(Clone)]
pub(crate) struct Call {
    pub(crate) event: Value,
    /// The header of that name.
    pub(crate) traceparent: Option<String>,
}

/// Takes every event, and remembers them in the order in which they came.
pub(crate) struct Receiver {
    address: std::net::SocketAddr,
    events: Arc<Mutex<Vec<Call>>>,
    task: JoinHandle<()>,
}

impl Receiver {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self::serve(listener, Arc::default())
    }

    fn serve(listener: TcpListener, events: Arc<Mutex<Vec<Call>>>) -> Self {
        let address = listener.local_addr().unwrap();
        let taken = events.clone();
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(take(stream, taken.clone()));
            }
        });
        Self {
            address,
            events,
            task,
        }
    }

    /// Ends as a process does that is killed: open connections are cut.
    pub(crate) async fn kill(self) -> Fallen {
        self.task.abort();
        // It ends by being aborted.
        let _ = self.task.await;
        Fallen {
            address: self.address,
            events: self.events,
        }
    }

    pub(crate) fn origin(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn url(&self) -> String {
        format!("{}/hook", self.origin())
    }

    /// How often it was called.
    pub(crate) fn calls(&self) -> usize {
        self.events.lock().unwrap().len()
    }

    /// Everything that came, in its order.
    pub(crate) fn bodies(&self) -> Vec<Value> {
        self.all().into_iter().map(|call| call.event).collect()
    }

    /// Every call, in the order in which they came.
    pub(crate) fn all(&self) -> Vec<Call> {
        self.events.lock().unwrap().clone()
    }

    /// The events so far, without those that came again.
    pub(crate) fn events(&self) -> Vec<Value> {
        let mut seen = std::collections::HashSet::new();
        let mut events = self.bodies();
        events.retain(|event| seen.insert(event["id"].clone()));
        events
    }
}

/// A receiver that was killed.
pub(crate) struct Fallen {
    address: std::net::SocketAddr,
    events: Arc<Mutex<Vec<Call>>>,
}

impl Fallen {
    /// Starts it again at its old address.
    pub(crate) async fn start(self) -> Receiver {
        Receiver::serve(TcpListener::bind(self.address).await.unwrap(), self.events)
    }
}

/// Answers the requests of one connection.
async fn take(stream: TcpStream, events: Arc<Mutex<Vec<Call>>>) {
    let mut stream = BufReader::new(stream);
    while let Some((traceparent, body)) = request(&mut stream).await {
        events.lock().unwrap().push(Call {
            event: serde_json::from_slice(&body).unwrap(),
            traceparent,
        });
        let answer = b"HTTP/1.1 204 No Content\r\n\r\n";
        if stream.get_mut().write_all(answer).await.is_err() {
            return;
        }
    }
}

async fn request(stream: &mut BufReader<TcpStream>) -> Option<(Option<String>, Vec<u8>)> {
    let (mut length, mut traceparent) = (0, None);
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await.ok()? == 0 {
            return None;
        }
        if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
        if let Some(value) = line.to_lowercase().strip_prefix("traceparent:") {
            traceparent = Some(value.trim().to_owned());
        }
        if line.trim().is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    Some((traceparent, body))
}
