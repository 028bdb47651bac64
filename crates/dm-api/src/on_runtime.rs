//! Runs a service's future on a server's worker thread and its background work
//! on the node's own runtime.
//!
//! Each actix worker is a current-thread runtime of its own, which ends with
//! the server. A service that spawns tasks or blocking work must not lose them
//! with it, and every worker's own pool of blocking threads would cost memory.
//! So the node's runtime is entered around each poll: the poll itself stays
//! here, without a hop between threads, and `tokio::spawn`, `spawn_blocking`
//! and timers inside it belong to the node.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use dm_services::ServiceError;
use futures::{Stream, stream::BoxStream};
use tokio::runtime::Handle;

/// A service's future, polled and dropped inside the node's runtime: what it
/// cleans up when a client goes away may need the runtime, too.
pub(crate) struct OnRuntime<F> {
    runtime: Handle,
    /// `None` only while it is being dropped.
    work: Option<Pin<Box<F>>>,
}

impl<F: Future> OnRuntime<F> {
    pub(crate) fn new(runtime: &Handle, work: F) -> Self {
        Self {
            runtime: runtime.clone(),
            work: Some(Box::pin(work)),
        }
    }
}

impl<F: Future> Future for OnRuntime<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.get_mut();
        let _entered = this.runtime.enter();
        match &mut this.work {
            Some(work) => work.as_mut().poll(context),
            None => Poll::Pending,
        }
    }
}

impl<F> Drop for OnRuntime<F> {
    fn drop(&mut self) {
        let _entered = self.runtime.enter();
        self.work = None;
    }
}

/// A service's stream of bytes, polled and dropped inside the node's runtime.
pub(crate) struct ServiceStream {
    runtime: Handle,
    inner: BoxStream<'static, Result<Bytes, ServiceError>>,
}

impl ServiceStream {
    pub(crate) fn new(runtime: Handle, inner: BoxStream<'static, Result<Bytes, ServiceError>>) -> Self {
        Self { runtime, inner }
    }
}

impl Stream for ServiceStream {
    type Item = Result<Bytes, ServiceError>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        let _entered = this.runtime.enter();
        this.inner.as_mut().poll_next(context)
    }
}

impl Drop for ServiceStream {
    fn drop(&mut self) {
        let _entered = self.runtime.enter();
        self.inner = Box::pin(futures::stream::empty());
    }
}
