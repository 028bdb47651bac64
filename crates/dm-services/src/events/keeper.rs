//! Keeps the journal: writes down what no change of the catalog brings about, and
//! forgets what is old.

use std::{sync::Arc, time::Duration};

use dm_core::{
    bus::{EventBus, NodeEvent},
    clock::now_ms,
    config::EventsConfig,
    news::News,
    ports::{CatalogError, EventJournal},
};
use tokio::sync::broadcast::{Receiver, error::RecvError};
use tokio_util::sync::CancellationToken;

use crate::ServiceError;

/// Between two looks for what is too old.
const PRUNE_INTERVAL: Duration = Duration::from_secs(60);
/// News that are written down together.
const MAX_TOGETHER: usize = 64;

/// Keeps the journal; cheap to clone.
#[derive(Clone)]
pub struct EventKeeper {
    journal: Arc<dyn EventJournal>,
    bus: EventBus,
    config: EventsConfig,
}

impl EventKeeper {
    /// Nothing happens before [`EventKeeper::run`].
    pub fn new(journal: Arc<dyn EventJournal>, bus: EventBus, config: EventsConfig) -> Self {
        Self { journal, bus, config }
    }

    /// Works until it is told to stop, and writes down then what has happened until then.
    ///
    /// # Errors
    /// Faults of the catalog.
    pub async fn run(&self, shutdown: CancellationToken) -> Result<(), ServiceError> {
        let mut events = self.bus.subscribe();
        let work = async { tokio::try_join!(self.write_down(&mut events), self.forget()).map(|_| ()) };
        if let Some(ended) = shutdown.run_until_cancelled(work).await {
            return Ok(ended?);
        }
        let last = waiting(&mut events);
        if !last.is_empty() {
            self.journal.append_news(last).await?;
        }
        Ok(())
    }

    async fn write_down(&self, events: &mut Receiver<NodeEvent>) -> Result<(), CatalogError> {
        loop {
            let first = match events.recv().await {
                Ok(event) => event.news,
                Err(RecvError::Lagged(missed)) => {
                    tracing::warn!(missed, "events came too fast to be kept");
                    continue;
                }
                Err(RecvError::Closed) => std::future::pending().await,
            };
            let mut news = waiting(events);
            if !first.is_passing() {
                news.insert(0, first);
            }
            if !news.is_empty() {
                self.journal.append_news(news).await?;
            }
        }
    }

    async fn forget(&self) -> Result<(), CatalogError> {
        loop {
            let keep = Duration::from_secs(self.config.keep_secs);
            let before = now_ms().saturating_sub(u64::try_from(keep.as_millis()).unwrap_or(u64::MAX));
            while self.journal.prune_journal(before, self.config.max_kept).await? > 0 {}
            tokio::time::sleep(PRUNE_INTERVAL).await;
        }
    }
}

/// What waits on the bus and is for the journal.
fn waiting(events: &mut Receiver<NodeEvent>) -> Vec<News> {
    let mut news = Vec::new();
    while news.len() < MAX_TOGETHER
        && let Ok(event) = events.try_recv()
    {
        if !event.news.is_passing() {
            news.push(event.news);
        }
    }
    news
}
