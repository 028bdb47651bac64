//! What an instance learns of what other instances do to the log.

use std::{convert::Infallible, sync::Arc, time::Duration};

use dm_core::ports::CatalogError;
use tokio_util::sync::CancellationToken;

use crate::{board::Board, local_log::LocalLog};

/// Between two looks into the catalog.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// Looks into the catalog for events that other instances have recorded, and where this one
/// does not anchor for the anchors of the one that does.
#[derive(Clone)]
pub(crate) struct Follower {
    pub(crate) log: LocalLog,
    pub(crate) board: Arc<Board>,
}

impl Follower {
    /// Runs until the node stops. A catalog that is away is told elsewhere.
    pub(crate) async fn run(self, shutdown: CancellationToken) -> Result<(), Infallible> {
        loop {
            if let Err(error) = self.look().await {
                tracing::debug!(%error, "what other instances did to the log is not known");
            }
            let pause = tokio::time::sleep(LOOK_INTERVAL);
            if shutdown.run_until_cancelled(pause).await.is_none() {
                return Ok(());
            }
        }
    }

    async fn look(&self) -> Result<(), CatalogError> {
        let events = self.log.events();
        self.board.note_recorded(events.event_count().await?);
        let last = events.last_checkpoint().await?;
        self.board
            .note_anchored_elsewhere(last.map_or(0, |last| last.checkpoint.size));
        Ok(())
    }
}
