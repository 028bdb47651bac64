//! A server that runs beside the node's other tasks.

use std::{io, time::Duration};

use actix_web::dev::{Server, ServerHandle};
use tokio::{
    task::JoinHandle,
    time::{Instant, sleep},
};

use crate::middleware::in_progress::Requests;

/// What a server may need beyond its patience before it is cut off.
const MARGIN: Duration = Duration::from_secs(1);
/// How long a client may neither send nor take anything before a server that stops gives
/// its request up.
const STALL: Duration = Duration::from_secs(2);
/// How long last answers may take to leave.
const FLUSH: Duration = Duration::from_millis(500);
/// Between two looks at the requests.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);

/// An HTTP server on its own threads. Dropping it does not stop the server.
pub struct RunningServer {
    handle: ServerHandle,
    task: JoinHandle<io::Result<()>>,
    patience: Duration,
    requests: Option<Requests>,
}

impl RunningServer {
    /// Runs a server that was told to stop within `patience`.
    pub(crate) fn new(server: Server, patience: Duration) -> Self {
        Self {
            handle: server.handle(),
            task: tokio::spawn(server),
            patience,
            requests: None,
        }
    }

    /// The same, with a look at its requests: those whose clients do nothing do not hold it
    /// up when it stops, nor do connections without a request.
    pub(crate) fn watching(self, requests: Requests) -> Self {
        Self {
            requests: Some(requests),
            ..self
        }
    }

    /// Takes no more requests, waits for those in progress as long as the
    /// server was told to, and cuts off what is left.
    pub async fn stop(self) {
        let graceful = tokio::time::timeout(self.patience + MARGIN, self.handle.stop(true));
        let nobody_is_left = async {
            match &self.requests {
                Some(requests) => nothing_to_wait_for(requests).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            in_time = graceful => {
                if in_time.is_err() {
                    tracing::warn!("requests were cut off when a server stopped");
                    self.handle.stop(false).await;
                }
                join(self.task).await;
            }
            // What is left of the server are connections that nobody uses; they end with
            // its own patience, or with the process.
            () = nobody_is_left => {}
        }
    }
}

async fn join(task: JoinHandle<io::Result<()>>) {
    if let Ok(Err(error)) = task.await {
        tracing::warn!(%error, "a server stopped with an error");
    }
}

/// Waits until every request is finished, or waits for a client that does nothing; those
/// are given up then.
async fn nothing_to_wait_for(requests: &Requests) {
    requests.stop();
    let (mut before, mut since) = (requests.look(), Instant::now());
    loop {
        sleep(LOOK_INTERVAL).await;
        let now = requests.look();
        if now != before {
            (before, since) = (now, Instant::now());
        }
        let quiet_for = if now.open == 0 { FLUSH } else { STALL };
        if now.working == 0 && since.elapsed() >= quiet_for {
            break;
        }
    }
    if before.open > 0 {
        tracing::warn!(
            requests = before.open,
            "requests whose clients do nothing were cut off"
        );
    }
    requests.cut();
    sleep(FLUSH).await;
}
