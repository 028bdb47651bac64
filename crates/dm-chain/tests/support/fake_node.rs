//! A node that answers whatever a test tells it to.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// What comes back for a request.
pub enum Reply {
    /// A JSON-RPC result.
    Result(Value),
    /// A JSON-RPC error.
    Error(i64, &'static str),
    /// An HTTP answer with this status and body.
    Http(u16, Vec<u8>),
    /// An HTTP answer that leads elsewhere.
    Redirect(String),
    /// Nothing, for ever.
    Silence,
    /// The connection is cut.
    Cut,
}

/// How often each method was asked for.
type Asked = Arc<Mutex<HashMap<String, usize>>>;
type Script = dyn Fn(&str, &Value) -> Reply + Send + Sync;

/// The node; ended when dropped.
pub struct FakeNode {
    address: SocketAddr,
    script: Arc<Mutex<Arc<Script>>>,
    asked: Asked,
    server: JoinHandle<()>,
}

impl FakeNode {
    /// A node that answers method and parameters by a script.
    pub async fn start(script: impl Fn(&str, &Value) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let script: Arc<Mutex<Arc<Script>>> = Arc::new(Mutex::new(Arc::new(script)));
        let asked = Asked::default();
        let (shared, counter) = (script.clone(), asked.clone());
        let server = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, shared.clone(), counter.clone()));
            }
        });
        Self {
            address,
            script,
            asked,
            server,
        }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Answers by another script from now on.
    pub fn now(&self, script: impl Fn(&str, &Value) -> Reply + Send + Sync + 'static) {
        *self.script.lock().unwrap() = Arc::new(script);
    }

    /// How many requests for this method came.
    pub fn asked_for(&self, method: &str) -> usize {
        self.asked
            .lock()
            .unwrap()
            .get(method)
            .copied()
            .unwrap_or_default()
    }

    /// How many requests came.
    pub fn asked(&self) -> usize {
        self.asked.lock().unwrap().values().sum()
    }
}

impl Drop for FakeNode {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn serve(mut stream: TcpStream, script: Arc<Mutex<Arc<Script>>>, asked: Asked) {
    while let Some(body) = read_request(&mut stream).await {
        let request: Value = serde_json::from_slice(&body).unwrap();
        let method = request["method"].as_str().unwrap();
        *asked.lock().unwrap().entry(method.to_owned()).or_default() += 1;
        let script = script.lock().unwrap().clone();
        let (status, extra, body) = match script(method, &request["params"]) {
            Reply::Result(result) => {
                let answer = json!({"jsonrpc": "2.0", "id": request["id"], "result": result});
                (200, String::new(), answer.to_string().into_bytes())
            }
            Reply::Error(code, message) => {
                let error = json!({"code": code, "message": message});
                let answer = json!({"jsonrpc": "2.0", "id": request["id"], "error": error});
                (200, String::new(), answer.to_string().into_bytes())
            }
            Reply::Http(status, body) => (status, String::new(), body),
            Reply::Redirect(to) => (307, format!("location: {to}\r\n"), Vec::new()),
            Reply::Silence => return std::future::pending().await,
            Reply::Cut => return,
        };
        let head = format!(
            "HTTP/1.1 {status} x\r\n{extra}content-length: {}\r\n\r\n",
            body.len()
        );
        if stream.write_all(head.as_bytes()).await.is_err() || stream.write_all(&body).await.is_err() {
            return;
        }
    }
}

async fn read_request(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&bytes[..end]).to_lowercase();
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length:"))?;
            let length: usize = length.trim().parse().ok()?;
            if bytes.len() >= end + 4 + length {
                return Some(bytes[end + 4..end + 4 + length].to_vec());
            }
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
}
