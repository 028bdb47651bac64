//! A server that runs beside the node's other tasks.

use std::{io, time::Duration};

use actix_web::dev::{Server, ServerHandle};
use tokio::task::JoinHandle;

/// What a server may need beyond its patience before it is cut off.
const MARGIN: Duration = Duration::from_secs(1);

/// An HTTP server on its own threads. Dropping it does not stop the server.
pub struct RunningServer {
    handle: ServerHandle,
    task: JoinHandle<io::Result<()>>,
    patience: Duration,
}

impl RunningServer {
    /// Runs a server that was told to stop within `patience`.
    pub(crate) fn new(server: Server, patience: Duration) -> Self {
        Self {
            handle: server.handle(),
            task: tokio::spawn(server),
            patience,
        }
    }

    /// Takes no more requests, waits for those in progress as long as the
    /// server was told to, and cuts off what is left.
    pub async fn stop(self) {
        let graceful = tokio::time::timeout(self.patience + MARGIN, self.handle.stop(true));
        if graceful.await.is_err() {
            tracing::warn!("requests were cut off when a server stopped");
            self.handle.stop(false).await;
        }
        if let Ok(Err(error)) = self.task.await {
            tracing::warn!(%error, "a server stopped with an error");
        }
    }
}
