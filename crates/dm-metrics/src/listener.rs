//! The server of the page. Whoever connects can have the page and nothing else, and takes
//! little of the node: connections are few, short, and have one request each.

use std::{
    convert::Infallible,
    io,
    net::{SocketAddr, TcpListener as StdListener},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use dm_core::clock::now_ms;
use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode,
    body::Incoming,
    header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::{format::MEDIA_TYPE, page::Page};

/// Connections at the same time. Further ones wait until one of them ends.
const MAX_CONNECTIONS: usize = 32;
/// How long a client may take for the head of its request.
const HEAD_PATIENCE: Duration = Duration::from_secs(5);
/// How long a connection may take in all: one that does not read the page ends with it.
const CONNECTION_PATIENCE: Duration = Duration::from_secs(10);
/// Most bytes of a request's head.
const MAX_HEAD: usize = 16 * 1024;
/// Between two attempts to take an address that is taken.
const RETRY_INTERVAL: Duration = Duration::from_secs(10);
/// After a connection that could not be accepted.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A trouble of the listener, and since when (milliseconds since the Unix epoch).
pub(crate) type Fault = (u64, String);

/// Where the page is served; cheap to clone.
#[derive(Clone)]
pub struct Listener {
    address: SocketAddr,
    taken: Arc<Mutex<Taken>>,
}

/// The socket until it is used, or why there is none.
enum Taken {
    Waiting(StdListener),
    Serving,
    Fault(Fault),
}

impl Listener {
    /// Takes the address, if that is possible: a node does not need it to do its work, and
    /// [`Server::run`] tries again.
    pub fn bind(address: SocketAddr) -> Self {
        let bound = StdListener::bind(address);
        let address = bound
            .as_ref()
            .ok()
            .and_then(|socket| socket.local_addr().ok())
            .unwrap_or(address);
        let listener = Self {
            address,
            taken: Arc::new(Mutex::new(Taken::Serving)),
        };
        match bound {
            Ok(socket) => drop(listener.set(Taken::Waiting(socket))),
            Err(error) => listener.fail(&error),
        }
        listener
    }

    /// The address, with the port that the system has chosen.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Why the page is not served, where it is not.
    pub(crate) fn fault(&self) -> Option<Fault> {
        match &*self.taken.lock().unwrap_or_else(PoisonError::into_inner) {
            Taken::Fault(fault) => Some(fault.clone()),
            Taken::Waiting(_) | Taken::Serving => None,
        }
    }

    fn set(&self, taken: Taken) -> Taken {
        let mut place = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *place, taken)
    }

    fn fail(&self, error: &io::Error) {
        let since = match self.fault() {
            Some((since, _)) => since,
            None => {
                tracing::warn!(address = %self.address, %error, "metrics are not served; it is tried again");
                now_ms()
            }
        };
        self.set(Taken::Fault((since, error.to_string())));
    }

    /// The socket, once there is one.
    async fn socket(&self) -> TcpListener {
        loop {
            let socket = match self.set(Taken::Serving) {
                Taken::Waiting(socket) => Ok(socket),
                before => {
                    // It is still known since when.
                    self.set(before);
                    StdListener::bind(self.address)
                }
            };
            match socket.and_then(into_tokio) {
                Ok(socket) => {
                    self.set(Taken::Serving);
                    tracing::info!(address = %self.address, "metrics are served");
                    return socket;
                }
                Err(error) => self.fail(&error),
            }
            sleep(RETRY_INTERVAL).await;
        }
    }
}

fn into_tokio(socket: StdListener) -> io::Result<TcpListener> {
    socket.set_nonblocking(true)?;
    TcpListener::from_std(socket)
}

/// Serves a page; cheap to clone.
#[derive(Clone)]
pub struct Server {
    listener: Listener,
    page: Arc<Page>,
}

impl Server {
    /// A server of this page, which works while [`Server::run`] does.
    pub fn new(listener: Listener, page: Page) -> Self {
        Self {
            listener,
            page: Arc::new(page),
        }
    }

    /// Serves until the shutdown.
    ///
    /// # Errors
    /// Never; an address that is taken is tried again.
    pub async fn run(self, shutdown: CancellationToken) -> Result<(), Infallible> {
        shutdown.run_until_cancelled(self.serve()).await;
        Ok(())
    }

    async fn serve(&self) {
        let socket = self.listener.socket().await;
        let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        loop {
            let Ok(place) = places.clone().acquire_owned().await else {
                return;
            };
            match socket.accept().await {
                Ok((stream, _)) => {
                    let page = self.page.clone();
                    tokio::spawn(async move {
                        answer(stream, page).await;
                        drop(place);
                    });
                }
                Err(error) => {
                    tracing::debug!(%error, "a connection for metrics was not accepted");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

async fn answer(stream: TcpStream, page: Arc<Page>) {
    let service = service_fn(move |request| {
        let page = page.clone();
        async move { Ok::<_, Infallible>(respond(&request, &page)) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_PATIENCE)
        .max_buf_size(MAX_HEAD)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    match timeout(CONNECTION_PATIENCE, connection).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "a connection for metrics failed"),
        Err(_) => tracing::debug!("a connection for metrics took too long"),
    }
}

fn respond(request: &Request<Incoming>, page: &Page) -> Response<Full<Bytes>> {
    if request.uri().path() != "/metrics" {
        return plain(StatusCode::NOT_FOUND, "Metrics are at /metrics.\n");
    }
    if ![Method::GET, Method::HEAD].contains(request.method()) {
        let mut refused = plain(StatusCode::METHOD_NOT_ALLOWED, "Metrics can be read only.\n");
        refused
            .headers_mut()
            .insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return refused;
    }
    let mut response = Response::new(Full::new(page.text()));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn plain(status: StatusCode, text: &'static str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from_static(text.as_bytes())));
    *response.status_mut() = status;
    let kind = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}
