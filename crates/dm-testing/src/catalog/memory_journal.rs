//! The journal of a [`MemoryCatalog`].

use async_trait::async_trait;
use dm_core::{
    clock::now_ms,
    journal::{JournalEvent, JournalId, Topics},
    news::News,
    ports::{CatalogError, EventJournal, JOURNAL_WINDOW, JournalExtent, JournalPage},
    span::TraceContext,
};
use tokio::sync::watch;

use super::MemoryCatalog;

pub(super) struct MemoryJournal {
    id: JournalId,
    /// In the order of their positions.
    events: Vec<JournalEvent>,
    growth: watch::Sender<u64>,
}

impl Default for MemoryJournal {
    fn default() -> Self {
        Self {
            id: JournalId(rand::random()),
            events: Vec::new(),
            growth: watch::Sender::new(0),
        }
    }
}

impl MemoryJournal {
    pub(super) fn append(&mut self, news: &News) {
        self.append_traced(news, None);
    }

    pub(super) fn append_traced(&mut self, news: &News, trace: Option<TraceContext>) {
        let (topic, data) = news.parts();
        let position = self.last() + 1;
        self.events.push(JournalEvent {
            position,
            at: now_ms(),
            topic,
            subject: news.subject(),
            data,
            trace,
        });
        self.growth.send_replace(position);
    }

    pub(super) fn append_all(&mut self, news: impl IntoIterator<Item = News>) {
        news.into_iter().for_each(|news| self.append(&news));
    }

    fn last(&self) -> u64 {
        self.events.last().map_or(0, |event| event.position)
    }

    fn extent(&self) -> JournalExtent {
        JournalExtent {
            id: self.id,
            first: self.events.first().map_or(1, |event| event.position),
            last: self.last(),
        }
    }

    fn page(&self, topics: &Topics, after: u64, limit: usize) -> JournalPage {
        let JournalExtent { first, last, .. } = self.extent();
        let after = after.max(first - 1);
        let window = last.min(after.saturating_add(JOURNAL_WINDOW));
        let in_window = |event: &&JournalEvent| event.position > after && event.position <= window;
        let wanted = self
            .events
            .iter()
            .filter(in_window)
            .filter(|event| topics.contain(&event.topic));
        let events: Vec<JournalEvent> = wanted.take(limit).cloned().collect();
        let read_to = match events.last() {
            Some(event) if events.len() >= limit => event.position,
            _ => window.max(after),
        };
        JournalPage { events, read_to }
    }

    fn prune(&mut self, before: u64, keep: u64) -> u64 {
        let (count, last) = (self.events.len(), self.last());
        let first_kept = (last + 1).saturating_sub(keep).min(last);
        self.events
            .retain(|event| event.position == last || (event.at >= before && event.position >= first_kept));
        (count - self.events.len()) as u64
    }
}

#[async_trait]
impl EventJournal for MemoryCatalog {
    async fn append_news(&self, news: Vec<News>) -> Result<(), CatalogError> {
        self.write(|state| {
            state.journal.append_all(news);
            Ok(())
        })
    }

    async fn journal_extent(&self) -> Result<JournalExtent, CatalogError> {
        Ok(self.read()?.journal.extent())
    }

    async fn journal_page(
        &self,
        topics: &Topics,
        after: u64,
        limit: usize,
    ) -> Result<JournalPage, CatalogError> {
        Ok(self.read()?.journal.page(topics, after, limit))
    }

    async fn prune_journal(&self, before: u64, keep: u64) -> Result<u64, CatalogError> {
        self.write(|state| Ok(state.journal.prune(before, keep)))
    }

    fn journal_growth(&self) -> watch::Receiver<u64> {
        self.state().journal.growth.subscribe()
    }
}
