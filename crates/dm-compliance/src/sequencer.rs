//! The one task that appends to the log: gives waiting events their positions
//! and makes them durable together.

use std::sync::Arc;

use dm_core::{
    lease::in_right,
    ports::{CatalogError, ComplianceError, LogEntry, Recorded},
    span::TraceContext,
};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::{
    batch_error::BatchError,
    board::Board,
    leaf::Leaf,
    local_log::LocalLog,
    queue::{Answer, Queue, Waiting},
    tree::RightEdge,
};

/// Most events in one append: enough to share the cost of a durable commit,
/// few enough that hashing them holds an async thread for less than a
/// millisecond (the leaves were hashed by their callers).
const LARGEST_BATCH: usize = 512;

/// Appends events in the order of their arrival.
#[derive(Clone)]
pub(crate) struct Sequencer {
    pub(crate) queue: Arc<Queue>,
    pub(crate) log: LocalLog,
    pub(crate) board: Arc<Board>,
}

impl Sequencer {
    /// Runs until the node stops; what was accepted by then is still appended.
    pub(crate) async fn run(self, shutdown: CancellationToken) -> Result<(), ComplianceError> {
        let mut edge = None;
        while let Some(batch) = self.next_batch(&shutdown).await {
            let span = tracing::debug_span!("append", events = batch.len());
            let right = batch.first().map(|first| first.right.clone());
            let append = self.append(edge, batch).instrument(span);
            edge = in_right(right.unwrap_or_default(), append).await;
        }
        Ok(())
    }

    async fn next_batch(&self, shutdown: &CancellationToken) -> Option<Vec<Waiting>> {
        tokio::select! {
            batch = self.queue.next_batch(LARGEST_BATCH) => return batch,
            () = shutdown.cancelled() => self.queue.close(),
        }
        self.queue.next_batch(LARGEST_BATCH).await
    }

    /// Appends a batch and answers its callers. Returns the edge behind it, or
    /// `None` after a failure: then it is unknown what the catalog holds, and
    /// the edge must be read again.
    async fn append(&self, edge: Option<RightEdge>, batch: Vec<Waiting>) -> Option<RightEdge> {
        let (leaves, answers): (Vec<_>, Vec<_>) = batch
            .into_iter()
            .map(|waiting| ((waiting.leaf, waiting.trace), waiting.answer))
            .unzip();
        match self.append_at_end(edge, leaves).await {
            Ok((edge, entries)) => {
                self.board.note_recorded(edge.size());
                self.answer(entries, answers);
                Some(edge)
            }
            Err(error) => {
                if let ComplianceError::Catalog(CatalogError::NotLeading(_) | CatalogError::TurnLost) = error
                {
                    tracing::info!(%error, "what this instance wanted to record is left to another one");
                } else {
                    tracing::error!(%error, events = answers.len(), "events could not be recorded");
                }
                let error = BatchError::from(error);
                for answer in answers {
                    // An error only says that the caller has gone away.
                    let _ = answer.send(Err(error.for_caller()));
                }
                None
            }
        }
    }

    /// Appends behind the edge, and behind whatever other instances have appended meanwhile:
    /// the catalog refuses events that do not go on where the log ends.
    async fn append_at_end(
        &self,
        edge: Option<RightEdge>,
        leaves: Vec<(Leaf, Option<TraceContext>)>,
    ) -> Result<(RightEdge, Vec<LogEntry>), ComplianceError> {
        let mut edge = match edge {
            Some(edge) => edge,
            None => self.log.right_edge().await?,
        };
        let (mut entries, hashes): (Vec<_>, Vec<_>) = leaves
            .into_iter()
            .map(|(Leaf { event, hash }, trace)| {
                let index = 0;
                (LogEntry { index, event, trace }, hash)
            })
            .unzip();
        loop {
            let start = edge.size();
            let mut nodes = Vec::with_capacity(2 * hashes.len());
            for (entry, hash) in entries.iter_mut().zip(&hashes) {
                entry.index = edge.size();
                edge.push(*hash, &mut nodes);
            }
            let refused = match self.log.events().append(&entries, &nodes).await {
                Ok(()) => return Ok((edge, entries)),
                Err(error @ CatalogError::Conflict(_)) => error,
                Err(error) => return Err(error.into()),
            };
            edge = self.log.right_edge().await?;
            if edge.size() == start {
                return Err(refused.into());
            }
        }
    }

    fn answer(&self, entries: Vec<LogEntry>, answers: Vec<oneshot::Sender<Answer>>) {
        for (LogEntry { index, event, .. }, answer) in entries.into_iter().zip(answers) {
            // An error only says that the caller has gone away; the event stands.
            let _ = answer.send(Ok(Recorded { index, event }));
        }
    }
}
