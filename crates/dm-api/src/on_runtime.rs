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
use dm_core::services::ServiceError;
use futures::{Stream, future, stream::BoxStream};
use tokio::runtime::Handle;

/// Polls `work` inside `runtime`.
pub(crate) async fn on_runtime<F: Future>(runtime: &Handle, work: F) -> F::Output {
    let mut work = std::pin::pin!(work);
    future::poll_fn(|context| {
        let _entered = runtime.enter();
        work.as_mut().poll(context)
    })
    .await
}

/// A service's stream of bytes, polled inside the node's runtime.
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
    /// What the stream stops when it is dropped may need the runtime, too.
    fn drop(&mut self) {
        let _entered = self.runtime.enter();
        self.inner = Box::pin(futures::stream::empty());
    }
}
