//! Which requests a server has not finished, and whether they wait for their clients: a
//! server that stops finishes its own work, and waits for nobody who sends nothing.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use actix_web::{
    Error, HttpMessage,
    body::{BodySize, BoxBody, MessageBody},
    dev::{Payload, ServiceRequest, ServiceResponse},
    error::PayloadError,
    http::{ConnectionType, StatusCode},
    middleware::Next,
};
use bytes::Bytes;
use futures::StreamExt;
use tokio_util::sync::CancellationToken;

use crate::error::ApiError;

/// The requests of one server that are not answered to the end.
#[derive(Clone, Default)]
pub(crate) struct Requests(Arc<Shared>);

#[derive(Default)]
struct Shared {
    /// Requests that are not finished.
    open: AtomicUsize,
    /// Those among them that do not wait for their clients.
    working: AtomicUsize,
    /// Grows with each piece that a client sends or takes, and with each request that ends.
    progress: AtomicU64,
    /// The server stops: a connection has no further request.
    stopping: AtomicBool,
    /// Requests that are left are given up.
    cut: CancellationToken,
}

/// A look at the requests of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Look {
    /// Requests that are not finished.
    pub(crate) open: usize,
    /// Those that do not wait for their clients.
    pub(crate) working: usize,
    /// Another one than at an earlier look where something has happened since.
    pub(crate) progress: u64,
}

impl Requests {
    /// Has every connection closed after the request that it is at.
    pub(crate) fn stop(&self) {
        self.0.stopping.store(true, Ordering::Relaxed);
    }

    /// Gives up what is left.
    pub(crate) fn cut(&self) {
        self.0.cut.cancel();
    }

    /// How far the requests are.
    pub(crate) fn look(&self) -> Look {
        Look {
            open: self.0.open.load(Ordering::Relaxed),
            working: self.0.working.load(Ordering::Relaxed),
            progress: self.0.progress.load(Ordering::Relaxed),
        }
    }

    fn begin(&self) -> Arc<Request> {
        self.0.open.fetch_add(1, Ordering::Relaxed);
        self.0.working.fetch_add(1, Ordering::Relaxed);
        Arc::new(Request {
            shared: self.0.clone(),
            waits: AtomicBool::new(false),
        })
    }
}

/// One request, until this is dropped.
struct Request {
    shared: Arc<Shared>,
    /// Whether it waits for its client.
    waits: AtomicBool,
}

impl Request {
    fn waits_for_client(&self, waits: bool) {
        if self.waits.swap(waits, Ordering::Relaxed) == waits {
            return;
        }
        if waits {
            self.shared.working.fetch_sub(1, Ordering::Relaxed);
        } else {
            self.shared.working.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn progresses(&self) {
        self.shared.progress.fetch_add(1, Ordering::Relaxed);
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        self.waits_for_client(true);
        self.progresses();
        self.shared.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Has a request answered, and notes what it waits for.
pub(crate) async fn note(
    requests: Requests,
    mut request: ServiceRequest,
    next: Next<BoxBody>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let noted = requests.begin();
    match request.take_payload() {
        Payload::None => {}
        payload => request.set_payload(received(payload, noted.clone())),
    }
    let answered = requests.0.cut.run_until_cancelled(next.call(request)).await;
    let (request, mut response) = answered.ok_or_else(given_up)??.into_parts();
    if requests.0.stopping.load(Ordering::Relaxed) {
        response.head_mut().set_connection_type(ConnectionType::Close);
    }
    let (head, body) = response.into_parts();
    Ok(ServiceResponse::new(request, head.set_body(sent(body, noted))))
}

fn given_up() -> ApiError {
    ApiError::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "the node stops; nothing more of this request was waited for",
    )
}

/// A body that comes in: whoever asks for its next piece waits for the client.
fn received(mut payload: Payload, request: Arc<Request>) -> Payload {
    let noted = futures::stream::poll_fn(move |context| -> Poll<Option<Result<Bytes, PayloadError>>> {
        let piece = payload.poll_next_unpin(context);
        request.waits_for_client(piece.is_pending());
        if piece.is_ready() {
            request.progresses();
        }
        piece
    });
    Payload::Stream {
        payload: Box::pin(noted),
    }
}

/// A body that goes out piece by piece; one that is whole goes out at once.
fn sent(body: BoxBody, request: Arc<Request>) -> BoxBody {
    if body.size() == BodySize::None {
        return body;
    }
    match body.try_into_bytes() {
        Ok(bytes) => BoxBody::new(bytes),
        Err(body) => BoxBody::new(NotedBody { body, request }),
    }
}

struct NotedBody {
    body: BoxBody,
    request: Arc<Request>,
}

impl MessageBody for NotedBody {
    type Error = <BoxBody as MessageBody>::Error;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    /// Between two pieces the client has to take the first.
    fn poll_next(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Self::Error>>> {
        let piece = Pin::new(&mut self.body).poll_next(context);
        self.request.waits_for_client(piece.is_ready());
        if piece.is_ready() {
            self.request.progresses();
        }
        piece
    }
}
