//! `Expect: 100-continue`: a client is told to send its body once a handler asks for it,
//! and not before.
//!
//! actix has a hook for the expectation, which says yes or no before the application sees
//! the request; but only the application can say. So the application runs inside the hook
//! until it reads from the body for the first time, and is then handed over to the service
//! that goes on with it. What was refused until then is the hook's no.

use std::{
    cell::Cell,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

use actix_http::{BoxedPayloadStream, Payload, Request, Response};
use actix_service::{IntoServiceFactory, Service, ServiceFactory, fn_factory, fn_service};
use actix_web::{
    Error, HttpMessage,
    body::BoxBody,
    dev::{AppConfig, ServiceResponse},
    error::PayloadError,
};
use bytes::Bytes;
use futures::{Stream, StreamExt, future::LocalBoxFuture};

type Answer = LocalBoxFuture<'static, Result<Response<BoxBody>, Response<BoxBody>>>;

/// What answers requests, or goes on with what the [`expectation`] has begun.
pub(crate) fn service<S>(
    app: impl IntoServiceFactory<S, Request>,
) -> impl ServiceFactory<
    Request,
    Config = (),
    Response = Response<BoxBody>,
    Error = Response<BoxBody>,
    InitError = (),
>
where
    S: ServiceFactory<
            Request,
            Config = AppConfig,
            Response = ServiceResponse<BoxBody>,
            Error = Error,
            InitError = (),
        > + 'static,
{
    let app = app.into_factory();
    fn_factory(move || {
        let app = app.new_service(AppConfig::default());
        async move {
            let app = Application(Rc::new(app.await?));
            Ok::<_, ()>(fn_service(move |request| app.clone().go_on(request)))
        }
    })
}

/// What says whether a client shall send the body that it announces.
pub(crate) fn expectation<S>(
    app: impl IntoServiceFactory<S, Request>,
) -> impl ServiceFactory<Request, Config = (), Response = Request, Error = Response<BoxBody>, InitError = ()>
where
    S: ServiceFactory<
            Request,
            Config = AppConfig,
            Response = ServiceResponse<BoxBody>,
            Error = Error,
            InitError = (),
        > + 'static,
{
    let app = app.into_factory();
    fn_factory(move || {
        let app = app.new_service(AppConfig::default());
        async move {
            let app = Application(Rc::new(app.await?));
            Ok::<_, ()>(fn_service(move |request| app.clone().begin(request)))
        }
    })
}

/// An application that has asked for the body of its request, among the extensions of the
/// request that stands for it.
struct Begun(Answer);

/// The application of a worker thread, which both services call.
struct Application<S>(Rc<S>);

impl<S> Clone for Application<S> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<S> Application<S>
where
    S: Service<Request, Response = ServiceResponse<BoxBody>, Error = Error> + 'static,
    S::Future: 'static,
{
    fn answer(&self, request: Request) -> Answer {
        let answer = self.0.call(request);
        Box::pin(async move {
            match answer.await {
                Ok(response) => Ok(response.into()),
                Err(error) => Err(error.error_response().into()),
            }
        })
    }

    /// Answers a request, or goes on with one that was begun before.
    async fn go_on(self, request: Request) -> Result<Response<BoxBody>, Response<BoxBody>> {
        let begun = request.extensions_mut().remove::<Begun>();
        match begun {
            Some(Begun(answer)) => answer.await,
            None => self.answer(request).await,
        }
    }

    /// Runs until the body is asked for. An answer before that is the error.
    async fn begin(self, mut request: Request) -> Result<Request, Response<BoxBody>> {
        let asked = Rc::new(Cell::new(false));
        let body = AskedFor {
            body: request.take_payload(),
            asked: asked.clone(),
        };
        let (request, _) = request.replace_payload(Payload::Stream {
            payload: Box::pin(body) as BoxedPayloadStream,
        });
        let mut answer = self.answer(request);
        let early = std::future::poll_fn(|context| match answer.as_mut().poll(context) {
            Poll::Ready(early) => Poll::Ready(Some(early)),
            Poll::Pending if asked.get() => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        });
        let early = early.await;
        match early {
            Some(Ok(response) | Err(response)) => Err(response),
            None => {
                let stand_in = Request::new();
                stand_in.extensions_mut().insert(Begun(answer));
                Ok(stand_in)
            }
        }
    }
}

/// A body of which it is noted that it was asked for; then first the client must hear of it.
struct AskedFor {
    body: Payload,
    asked: Rc<Cell<bool>>,
}

impl Stream for AskedFor {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if !self.asked.replace(true) {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.body.poll_next_unpin(context)
    }
}
