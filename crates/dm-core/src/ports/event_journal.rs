use async_trait::async_trait;
use tokio::sync::watch;

use super::CatalogError;
use crate::{
    journal::{JournalEvent, JournalId, Topics},
    news::News,
};

/// Positions that one page looks at, at most.
pub const JOURNAL_WINDOW: u64 = 10_000;

/// What the journal holds now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JournalExtent {
    /// Which journal it is.
    pub id: JournalId,
    /// Position of the oldest event that is kept; one more than `last` where none is.
    pub first: u64,
    /// Position of the newest event; 0 where there has been none.
    pub last: u64,
}

impl JournalExtent {
    /// Events after this position that are not kept any more.
    pub fn forgotten_after(&self, position: u64) -> u64 {
        self.first.saturating_sub(position + 1)
    }
}

/// Events in their order.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct JournalPage {
    /// The events.
    pub events: Vec<JournalEvent>,
    /// Everything up to this position has been looked at: where the next page begins.
    pub read_to: u64,
}

/// Keeps what happened, in the transaction that makes it happen:
///
/// | change | news |
/// | --- | --- |
/// | [`commit_share`](super::ShareCatalog::commit_share) of a new share | `data.shared` |
/// | [`append`](super::EventLog::append) | `compliance.event` for each event; `data.acknowledged` for each `delivery` and `acknowledgement` |
/// | [`put_checkpoint`](super::EventLog::put_checkpoint) at a new place on the chain | `share.anchored` for each share that it is the first to cover |
/// | [`begin_revocation`](super::Revocations::begin_revocation) | `data.revoked` |
/// | [`begin_erasure`](super::Erasures::begin_erasure) | `data.erased` or `data.expired` |
/// | [`put_readable`](super::ReadableObjects::put_readable) of data that was not readable | `data.fetched` where the inbox lists it, else `data.received` |
/// | [`list_item`](super::InboxCatalog::list_item) of a new item that was not read before | `data.received` |
/// | [`add_token`](super::TokenCatalog::add_token) of a new token | `token.added` |
/// | [`set_order_state`](super::OrderCatalog::set_order_state) and [`set_order_tries`](super::OrderCatalog::set_order_tries) | `token.transfer_completed`, `token.transfer_failed` |
///
/// Positions are given in the order of the commits and without gaps, so that a reader
/// who has read up to a position misses nothing that comes later.
#[async_trait]
pub trait EventJournal: Send + Sync {
    /// Appends news that belong to no other change of the catalog; durable when it returns.
    async fn append_news(&self, news: Vec<News>) -> Result<(), CatalogError>;

    /// What the journal holds now.
    async fn journal_extent(&self) -> Result<JournalExtent, CatalogError>;

    /// Events of these topics after this position, oldest first, at most so many. A page
    /// looks at [`JOURNAL_WINDOW`] positions at most, so that it may be empty although
    /// the journal goes on; the next one begins at [`JournalPage::read_to`].
    async fn journal_page(
        &self,
        topics: &Topics,
        after: u64,
        limit: usize,
    ) -> Result<JournalPage, CatalogError>;

    /// Forgets events that happened before `before` (milliseconds since the Unix epoch),
    /// and all but the newest `keep`; never the newest one. Takes some thousand at once:
    /// how many were forgotten, 0 when all are.
    async fn prune_journal(&self, before: u64, keep: u64) -> Result<u64, CatalogError>;

    /// The position of the newest event, as this process has learned of it, so that
    /// whoever waits for the next one need not ask again and again.
    fn journal_growth(&self) -> watch::Receiver<u64>;
}
