//! What happened, for programs that must not miss anything.

mod cloud_event;
mod keeper;

use std::{sync::Arc, time::Duration};

use alloy_primitives::Address;
use dm_core::{
    bus::{EventBus, NodeEvent},
    journal::{Cursor, JournalId, Topics},
    ports::{EventJournal, JournalExtent},
};
use tokio::{
    sync::broadcast,
    time::{Instant, timeout_at},
};
use tokio_util::sync::CancellationToken;

pub use self::{cloud_event::CloudEvent, keeper::EventKeeper};
use crate::ServiceError;

/// Where to begin reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum From {
    /// With the oldest event that is kept.
    Beginning,
    /// With the next event.
    Now,
    /// After this place.
    After(Cursor),
}

/// Events in their order.
#[derive(Debug, Clone, PartialEq)]
pub struct EventPage {
    /// The events.
    pub events: Vec<CloudEvent>,
    /// Where the next page begins.
    pub cursor: Cursor,
    /// Events between the place that was asked for and the first one that is still kept:
    /// whoever asked came too late for them.
    pub missed: u64,
}

/// Reads the journal of events, and tells what passes; cheap to clone.
#[derive(Clone)]
pub struct Events {
    journal: Arc<dyn EventJournal>,
    bus: EventBus,
    node: Address,
    ending: CancellationToken,
}

impl Events {
    /// Events of the node with this account.
    pub fn new(journal: Arc<dyn EventJournal>, bus: EventBus, node: Address) -> Self {
        Self {
            journal,
            bus,
            node,
            ending: CancellationToken::new(),
        }
    }

    /// At most so many events of these topics. Where there is none yet, the next one is
    /// waited for, no longer than `patience`.
    ///
    /// # Errors
    /// [`ServiceError::Invalid`] for a place in another journal or beyond the end of this
    /// one; faults of the catalog.
    pub async fn page(
        &self,
        topics: &Topics,
        from: From,
        limit: usize,
        patience: Duration,
    ) -> Result<EventPage, ServiceError> {
        let deadline = Instant::now() + patience;
        let mut growth = self.journal.journal_growth();
        let extent = self.journal.journal_extent().await?;
        let begin = position_of(from, &extent)?;
        let missed = extent.forgotten_after(begin);
        let mut read_to = begin;
        loop {
            growth.mark_unchanged();
            let page = self.journal.journal_page(topics, read_to, limit).await?;
            let has_more_to_look_at = page.read_to > read_to;
            read_to = page.read_to;
            if !page.events.is_empty() {
                let events = page.events.into_iter();
                return Ok(EventPage {
                    events: events.map(|event| self.cloud_event(extent.id, event)).collect(),
                    cursor: cursor(extent.id, read_to),
                    missed,
                });
            }
            if has_more_to_look_at {
                continue;
            }
            let growing = timeout_at(deadline, growth.changed());
            // Nobody tells of growth any more where the catalog is closed.
            if !matches!(self.ending.run_until_cancelled(growing).await, Some(Ok(Ok(())))) {
                return Ok(EventPage {
                    events: Vec::new(),
                    cursor: cursor(extent.id, read_to),
                    missed,
                });
            }
        }
    }

    /// The newest events of all topics, at most so many.
    ///
    /// # Errors
    /// Faults of the catalog.
    pub async fn latest(&self, count: usize) -> Result<EventPage, ServiceError> {
        let extent = self.journal.journal_extent().await?;
        let count = u64::try_from(count).unwrap_or(u64::MAX);
        let begin = extent
            .last
            .saturating_sub(count)
            .max(extent.first.saturating_sub(1));
        let limit = usize::try_from(extent.last - begin).unwrap_or(usize::MAX);
        let page = self.journal.journal_page(&Topics::all(), begin, limit).await?;
        let events = page.events.into_iter();
        Ok(EventPage {
            events: events.map(|event| self.cloud_event(extent.id, event)).collect(),
            cursor: cursor(extent.id, page.read_to),
            missed: 0,
        })
    }

    /// What passes from now on: news that the journal does not keep. Whoever comes late has
    /// missed them.
    pub fn passing(&self) -> Passing {
        Passing(self.bus.subscribe())
    }

    /// How many events are kept.
    ///
    /// # Errors
    /// Faults of the catalog.
    pub async fn kept(&self) -> Result<u64, ServiceError> {
        let extent = self.journal.journal_extent().await?;
        Ok((extent.last + 1).saturating_sub(extent.first))
    }

    /// Lets nobody wait any longer, because the node stops.
    pub fn end_waiting(&self) {
        self.ending.cancel();
    }

    /// Whether the node stops.
    pub fn are_ending(&self) -> bool {
        self.ending.is_cancelled()
    }

    /// The place after the newest event.
    ///
    /// # Errors
    /// Faults of the catalog.
    pub async fn end(&self) -> Result<Cursor, ServiceError> {
        let extent = self.journal.journal_extent().await?;
        Ok(cursor(extent.id, extent.last))
    }
}

/// News that the journal does not keep, as they happen.
pub struct Passing(broadcast::Receiver<NodeEvent>);

impl Passing {
    /// The next one; `None` where nobody tells any more. Those that were not taken in time are
    /// passed over.
    pub async fn next(&mut self) -> Option<NodeEvent> {
        loop {
            match self.0.recv().await {
                Ok(event) if event.news.is_passing() => return Some(event),
                Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => {}
                Err(broadcast::error::RecvError::Closed) => return None,
            }
        }
    }
}

fn cursor(journal: JournalId, position: u64) -> Cursor {
    Cursor { journal, position }
}

/// The position after which to read.
pub(crate) fn position_of(from: From, extent: &JournalExtent) -> Result<u64, ServiceError> {
    match from {
        From::Beginning => Ok(extent.first - 1),
        From::Now => Ok(extent.last),
        From::After(cursor) if cursor.journal != extent.id => Err(ServiceError::invalid(
            "cursor",
            "belongs to another journal: this node's catalog was replaced, or the cursor is of another node",
        )),
        From::After(cursor) if cursor.position > extent.last => Err(ServiceError::invalid(
            "cursor",
            "is beyond the newest event: this node's catalog was restored from a backup",
        )),
        From::After(cursor) => Ok(cursor.position),
    }
}
