//! Stands before a store and troubles requests to it.

use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
};

use super::{
    http::{Answer, Request},
    server::Server,
};

/// What happens to a request.
#[derive(Debug, Clone)]
pub enum Trouble {
    /// The connection is closed, and the store hears nothing of the request.
    Refused,
    /// An error with this status and code in place of the store's answer; the store hears
    /// nothing of the request.
    Error(u16, &'static str),
    /// The store does what is asked, and its answer never comes.
    AnswerLost,
    /// The answer ends after so many bytes.
    AnswerCut(usize),
    /// The answer comes after this time.
    Late(Duration),
    /// A byte of the answer, counted from its end, is another one.
    Garbled(usize),
}

/// What a rule is told of a request.
#[derive(Debug, Clone)]
pub struct Seen {
    /// The method.
    pub method: String,
    /// Path and query, as they were sent.
    pub target: String,
    /// How many requests there were before.
    pub before: u64,
    /// The id of the access key that signed it.
    pub key_id: String,
}

type Rule = Box<dyn FnMut(&Seen) -> Option<Trouble> + Send>;

/// The proxy; ended when dropped.
pub struct FaultProxy {
    server: Server,
    rules: Arc<Mutex<Rules>>,
}

struct Rules {
    rule: Rule,
    requests: u64,
}

impl FaultProxy {
    /// A proxy that passes everything on to the store at this URL (`http://HOST:PORT`).
    pub fn before(store: &str) -> Self {
        let store = store.trim_start_matches("http://").to_owned();
        let rules = Arc::new(Mutex::new(Rules {
            rule: Box::new(|_| None),
            requests: 0,
        }));
        let shared = rules.clone();
        let server = Server::start(move |stream| {
            let (store, rules) = (store.clone(), shared.clone());
            async move {
                // A connection that ends early is what this is for.
                let _ = serve(stream, &store, &rules).await;
            }
        });
        Self { server, rules }
    }

    /// The endpoint.
    pub fn url(&self) -> String {
        self.server.url()
    }

    /// From now on the rule says what happens to a request.
    pub fn set(&self, rule: impl FnMut(&Seen) -> Option<Trouble> + Send + 'static) {
        lock(&self.rules).rule = Box::new(rule);
    }

    /// From now on everything is passed on.
    pub fn clear(&self) {
        self.set(|_| None);
    }

    /// From now on the store is away.
    pub fn cut_off(&self) {
        self.set(|_| Some(Trouble::Refused));
    }

    /// How many requests have come.
    pub fn requests(&self) -> u64 {
        lock(&self.rules).requests
    }
}

fn lock(rules: &Mutex<Rules>) -> std::sync::MutexGuard<'_, Rules> {
    rules.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One request a connection.
async fn serve(stream: TcpStream, store: &str, rules: &Mutex<Rules>) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    let Some(request) = Request::read(&mut stream).await? else {
        return Ok(());
    };
    let trouble = trouble(rules, &request);
    match &trouble {
        Some(Trouble::Refused) => return Ok(()),
        Some(Trouble::Error(status, code)) => {
            let answer = Answer::error(*status, code).header("connection", "close");
            return answer.write(&mut stream).await;
        }
        _ => {}
    }
    let mut upstream = TcpStream::connect(store).await?;
    upstream.write_all(&request.to_bytes()).await?;
    let mut answer = Vec::new();
    upstream.read_to_end(&mut answer).await?;
    match trouble {
        Some(Trouble::AnswerLost) => return Ok(()),
        Some(Trouble::AnswerCut(len)) => answer.truncate(len),
        Some(Trouble::Late(delay)) => tokio::time::sleep(delay).await,
        Some(Trouble::Garbled(at)) => {
            let place = answer.len().saturating_sub(1 + at);
            answer[place] ^= 1;
        }
        _ => {}
    }
    stream.write_all(&answer).await?;
    stream.shutdown().await
}

fn trouble(rules: &Mutex<Rules>, request: &Request) -> Option<Trouble> {
    let credential = request
        .header("authorization")
        .and_then(|value| value.split_once("Credential="));
    let key_id = credential
        .and_then(|(_, rest)| rest.split('/').next())
        .unwrap_or_default();
    let mut rules = lock(rules);
    let seen = Seen {
        method: request.method.clone(),
        target: request.target.clone(),
        before: rules.requests,
        key_id: key_id.to_owned(),
    };
    rules.requests += 1;
    (rules.rule)(&seen)
}
