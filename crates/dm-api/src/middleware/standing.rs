//! Ends what is under way for an API key that is not valid any more, or for a person whose session
//! or token is over.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use actix_web::{
    Error, HttpMessage,
    body::{self, BodySize, BodyStream, BoxBody, MessageBody, SizedStream},
    dev::{Payload, ServiceRequest, ServiceResponse},
    error::PayloadError,
    http::Method,
    middleware::Next,
};
use dm_core::{
    api_key::Principal,
    ports::{ApiKeyError, ApiKeys},
};
use futures::{
    FutureExt, Stream, StreamExt,
    future::{Either, LocalBoxFuture, select},
    stream,
};
use tokio::{runtime::Handle, time::Instant};
use tokio_util::sync::CancellationToken;

use crate::{error::ApiError, on_runtime::OnRuntime};

/// Between two looks: a revoked key ends within a second, of which another process
/// and the cache of keys may take a quarter.
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(500);
/// How long a token is believed at most, whatever it says.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// Watches whether who makes a request may still make it.
#[derive(Clone)]
pub(super) struct Standing(Ground);

/// What it rests on.
#[derive(Clone)]
enum Ground {
    /// An API key.
    Key {
        keys: Arc<dyn ApiKeys>,
        bearer: Principal,
        runtime: Handle,
    },
    /// The session or token of a person.
    Person {
        until: Instant,
        ended: CancellationToken,
    },
}

impl Standing {
    /// As long as the key is valid.
    pub(super) fn of_key(keys: Arc<dyn ApiKeys>, bearer: Principal, runtime: Handle) -> Self {
        Self(Ground::Key {
            keys,
            bearer,
            runtime,
        })
    }

    /// For so long, if it is not ended before.
    pub(super) fn of_person(remaining: Duration, ended: CancellationToken) -> Self {
        let until = Instant::now() + remaining.min(LONGEST);
        Self(Ground::Person { until, ended })
    }

    /// Comes to its end once the request may not be made any more. A catalog that does not
    /// answer says nothing about a key.
    fn lost(&self) -> LocalBoxFuture<'static, ()> {
        match self.0.clone() {
            Ground::Key {
                keys,
                bearer,
                runtime,
            } => {
                let watching = async move {
                    loop {
                        tokio::time::sleep(LOOK_AGAIN_AFTER).await;
                        if matches!(keys.is_valid(&bearer).await, Ok(false)) {
                            tracing::info!(key = %bearer.key_id, "what was under way for an API key ended with it");
                            return;
                        }
                    }
                };
                OnRuntime::new(&runtime, watching).boxed_local()
            }
            Ground::Person { until, ended } => async move {
                let _ = tokio::time::timeout_at(until, ended.cancelled()).await;
            }
            .boxed_local(),
        }
    }

    /// Has a request answered as long as it may be made.
    pub(super) async fn pass(
        self,
        mut request: ServiceRequest,
        next: Next<BoxBody>,
    ) -> Result<ServiceResponse<BoxBody>, Error> {
        match request.take_payload() {
            Payload::None => {}
            payload => request.set_payload(self.received(payload)),
        }
        let method = request.method().clone();
        let answer = self.answered(&method, next.call(request)).await?;
        if method == Method::HEAD {
            return Ok(answer);
        }
        Ok(answer.map_body(|_, body| self.sent(body)))
    }

    /// The answer of a handler. One that only reads is given up with the key; one that
    /// changes something is not, which would leave open what it has done.
    pub(super) async fn answered<T>(
        &self,
        method: &Method,
        handler: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        if !method.is_safe() {
            return handler.await;
        }
        match select(Box::pin(handler), self.lost()).await {
            Either::Left((answer, _)) => answer,
            Either::Right(_) => Err(ApiError::unauthorized().into()),
        }
    }

    /// A request's body, which breaks off with it.
    pub(super) fn received(&self, mut payload: Payload) -> Payload {
        let broken_off = || PayloadError::Io(std::io::Error::other(ApiKeyError::Unknown));
        let next = move |context: &mut Context<'_>| payload.poll_next_unpin(context);
        Payload::Stream {
            payload: Box::pin(self.watched(next, broken_off)),
        }
    }

    /// An answer's body, which breaks off with the key; one that is there as a whole
    /// goes out.
    pub(super) fn sent(&self, body: BoxBody) -> BoxBody {
        let body = match body.try_into_bytes() {
            Ok(bytes) => return BoxBody::new(bytes),
            Err(body) => body,
        };
        let size = body.size();
        let mut body = body;
        let next = move |context: &mut Context<'_>| {
            let piece = Pin::new(&mut body).poll_next(context);
            piece.map(|piece| piece.map(|piece| piece.map_err(actix_web::error::ErrorInternalServerError)))
        };
        let pieces = self.watched(next, || ApiError::unauthorized().into());
        match size {
            BodySize::None => BoxBody::new(body::None::new()),
            BodySize::Sized(size) => BoxBody::new(SizedStream::new(size, pieces)),
            BodySize::Stream => BoxBody::new(BodyStream::new(pieces)),
        }
    }

    /// The pieces of a body until the key is lost, and then an error.
    fn watched<T, E, N, B>(
        &self,
        mut next: N,
        broken_off: B,
    ) -> impl Stream<Item = Result<T, E>> + use<T, E, N, B>
    where
        N: FnMut(&mut Context<'_>) -> Poll<Option<Result<T, E>>>,
        B: Fn() -> E,
    {
        let mut lost = self.lost();
        let mut is_over = false;
        stream::poll_fn(move |context| {
            if is_over {
                return Poll::Ready(None);
            }
            if lost.poll_unpin(context).is_ready() {
                is_over = true;
                return Poll::Ready(Some(Err(broken_off())));
            }
            next(context)
        })
    }
}
