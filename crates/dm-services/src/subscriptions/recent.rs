//! The newest events of the journal, read once for all subscriptions: with a thousand of
//! them, an event would else be read a thousand times.

use std::{collections::VecDeque, sync::Arc};

use dm_core::{
    journal::{JournalEvent, Topics},
    ports::{CatalogError, EventJournal},
};
use tokio::sync::{Mutex, watch};

/// Events that are kept for those who are behind.
const MAX_RECENT: usize = 1000;
/// Events that are read from the journal at once.
const PAGE: usize = 100;

/// Events of a subscription, in their order.
pub(super) struct Page {
    pub(super) events: Vec<Arc<JournalEvent>>,
    /// Events before them that are not kept any more.
    pub(super) forgotten: u64,
    /// Where the next page begins.
    pub(super) read_to: u64,
    /// Whether there is no next page before the journal grows.
    pub(super) is_end: bool,
}

/// Reads the journal; cheap to clone.
#[derive(Clone)]
pub(super) struct RecentEvents {
    journal: Arc<dyn EventJournal>,
    growth: watch::Receiver<u64>,
    recent: Arc<Mutex<Option<Recent>>>,
}

/// All events after one position, up to another.
struct Recent {
    after: u64,
    read_to: u64,
    events: VecDeque<Arc<JournalEvent>>,
}

impl RecentEvents {
    pub(super) fn new(journal: Arc<dyn EventJournal>) -> Self {
        Self {
            growth: journal.journal_growth(),
            journal,
            recent: Arc::default(),
        }
    }

    /// The next events of these topics after this position.
    pub(super) async fn page(&self, topics: &Topics, after: u64) -> Result<Page, CatalogError> {
        if let Some(page) = self.recent_page(topics, after).await? {
            return Ok(page);
        }
        let forgotten = self.journal.journal_extent().await?.forgotten_after(after);
        let page = self.journal.journal_page(topics, after + forgotten, PAGE);
        let page = page.await?;
        Ok(Page {
            events: page.events.into_iter().map(Arc::new).collect(),
            forgotten,
            read_to: page.read_to,
            is_end: false,
        })
    }

    /// `None` for a position before the recent ones.
    async fn recent_page(&self, topics: &Topics, after: u64) -> Result<Option<Page>, CatalogError> {
        let mut recent = self.recent.lock().await;
        let recent = match recent.as_mut() {
            Some(recent) => recent,
            None => recent.insert(Recent::after(self.journal.journal_extent().await?.last)),
        };
        let grown_to = *self.growth.borrow();
        if recent.read_to + MAX_RECENT as u64 <= grown_to {
            *recent = Recent::after(grown_to - MAX_RECENT as u64);
        }
        if recent.read_to < grown_to {
            recent.read_on(self.journal.as_ref()).await?;
        }
        Ok((after >= recent.after).then(|| recent.page(topics, after)))
    }
}

impl Recent {
    fn after(position: u64) -> Self {
        Self {
            after: position,
            read_to: position,
            events: VecDeque::new(),
        }
    }

    async fn read_on(&mut self, journal: &dyn EventJournal) -> Result<(), CatalogError> {
        let page = journal
            .journal_page(&Topics::all(), self.read_to, MAX_RECENT)
            .await?;
        self.read_to = page.read_to;
        self.events.extend(page.events.into_iter().map(Arc::new));
        while self.events.len() > MAX_RECENT
            && let Some(oldest) = self.events.pop_front()
        {
            self.after = oldest.position;
        }
        Ok(())
    }

    fn page(&self, topics: &Topics, after: u64) -> Page {
        let first = self.events.partition_point(|event| event.position <= after);
        let wanted = self
            .events
            .iter()
            .skip(first)
            .filter(|event| topics.contain(&event.topic));
        let events: Vec<_> = wanted.take(PAGE).cloned().collect();
        let read_to = match events.last() {
            Some(last) if events.len() == PAGE => last.position,
            _ => self.read_to.max(after),
        };
        Page {
            is_end: read_to >= self.read_to,
            events,
            forgotten: 0,
            read_to,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

    use alloy_primitives::Address;
    use dm_core::news::News;
    use dm_testing::catalog::MemoryCatalog;

    use super::*;

    async fn append(journal: &MemoryCatalog, count: usize) {
        let mut news = vec![News::NodeStopping {}; count];
        for every_third in news.iter_mut().step_by(3) {
            *every_third = News::NodeStarted {
                address: Address::ZERO,
                node_id: String::new(),
            };
        }
        journal.append_news(news).await.unwrap();
    }

    /// All positions of these topics after one, by pages.
    async fn read(events: &RecentEvents, topics: &Topics, mut after: u64) -> Vec<u64> {
        let mut positions = Vec::new();
        loop {
            let page = events.page(topics, after).await.unwrap();
            positions.extend(page.events.iter().map(|event| event.position));
            after = page.read_to;
            if page.is_end {
                return positions;
            }
        }
    }

    async fn expected(journal: &MemoryCatalog, topics: &Topics, after: u64) -> Vec<u64> {
        let page = journal.journal_page(topics, after, usize::MAX >> 1).await;
        page.unwrap().events.iter().map(|event| event.position).collect()
    }

    #[tokio::test]
    async fn whoever_is_behind_and_whoever_is_not_read_the_journal_without_a_gap() {
        let journal = Arc::new(MemoryCatalog::new());
        append(&journal, 250).await;
        let events = RecentEvents::new(journal.clone());
        let some = Topics::new(["system.node_started"]).unwrap();
        // Within what is kept, more than is kept, and more than one page.
        for grown_by in [0, 1, 99, 101, MAX_RECENT - 1, MAX_RECENT, 2 * MAX_RECENT + 7] {
            append(&journal, grown_by).await;
            let last = journal.journal_extent().await.unwrap().last;
            for topics in [&Topics::all(), &some] {
                for after in [0, 1, 200, last.saturating_sub(300), last - 1, last] {
                    let positions = read(&events, topics, after).await;
                    assert_eq!(
                        positions,
                        expected(&journal, topics, after).await,
                        "{last}, {after}"
                    );
                }
            }
        }
    }

    #[tokio::test]
    async fn a_thousand_readers_of_the_newest_event_read_the_journal_once() {
        let journal = Arc::new(MemoryCatalog::new());
        let events = RecentEvents::new(journal.clone());
        read(&events, &Topics::all(), 0).await;
        append(&journal, 1).await;
        let first = events.page(&Topics::all(), 0).await.unwrap();
        for _ in 0..1000 {
            let again = events.clone().page(&Topics::all(), 0).await.unwrap();
            assert!(Arc::ptr_eq(&again.events[0], &first.events[0]));
        }
    }
}
