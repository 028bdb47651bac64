//! The journal of events.

use std::sync::LazyLock;

use async_trait::async_trait;
use dm_core::{
    clock::now_ms,
    hash::DataHash,
    journal::{JournalEvent, JournalId, Topics},
    news::{DURABLE_TOPICS, News},
    ports::{CatalogError, EventJournal, JOURNAL_WINDOW, JournalExtent, JournalPage},
};
use tokio::sync::watch;

use super::{
    SqliteCatalog,
    bulk::BulkStatement,
    change::{Outcome, SingleChange},
    columns::{Columns, bound, row_limit, storable},
    error::{corrupt, failed, from_sqlx},
    event_log::trace_of,
    pages::Source,
    sql::{self, Connection, Dialects, Row},
    traced_news::TracedNews,
};

const JOURNAL: Source = Source::new("journal", "position");
/// Events that one call forgets at most.
const MAX_FORGOTTEN: u64 = 5_000;

static INSERT: LazyLock<BulkStatement> = LazyLock::new(|| {
    BulkStatement::new(
        "INSERT INTO journal (position, at, topic, subject, data, trace) SELECT * FROM",
        6,
        "",
    )
});

pub(super) const EXTENT: &str = "SELECT i.id, (SELECT min(position) FROM journal) AS first,
    (SELECT max(position) FROM journal) AS last FROM journal_identity i WHERE i.only = 1";
pub(super) const LAST: &str = "SELECT coalesce(max(position), 0) AS last FROM journal";
/// The topics come as one JSON array, so that one statement serves any number.
pub(super) const PAGE: Dialects = Dialects {
    sqlite: "SELECT * FROM journal WHERE position > ? AND position <= ?
        AND topic IN (SELECT value FROM json_each(?)) ORDER BY position LIMIT +?",
    postgres: "SELECT * FROM journal WHERE position > ? AND position <= ?
        AND topic IN (SELECT json_array_elements_text(CAST(? AS JSON))) ORDER BY position LIMIT +?",
};
/// The oldest event that is young enough to stay.
pub(super) const FIRST_SINCE: &str = "SELECT position FROM journal WHERE at >= ? ORDER BY position LIMIT 1";
pub(super) const FORGET: &str = "DELETE FROM journal WHERE position < ?";

/// Writes news down, each at the position after the last one: whoever writes has the
/// database's lock until the commit, so that positions have the order of the commits.
/// The position of the last one, where there is one.
pub(super) async fn append(
    connection: &mut Connection<'_>,
    news: &[TracedNews],
) -> Result<Option<u64>, CatalogError> {
    if news.is_empty() {
        return Ok(None);
    }
    let now = storable(now_ms())?;
    let row = sql::query(LAST).fetch_one(&mut *connection).await;
    let last = row.map_err(from_sqlx)?.value::<i64>("last")?;
    let numbered: Vec<(i64, &TracedNews)> = (last + 1..).zip(news).collect();
    for (sql, run) in INSERT.runs(&numbered) {
        let mut query = sql::query(sql);
        for (position, TracedNews { news, trace }) in run {
            let (topic, data) = news.parts();
            query = query
                .bind(*position)
                .bind(now)
                .bind(topic)
                .bind(news.subject().map(|subject| subject.as_bytes().to_vec()))
                .bind(data.to_string())
                .bind(trace.map(|trace| trace.to_bytes().to_vec()));
        }
        query.execute(&mut *connection).await.map_err(from_sqlx)?;
    }
    Ok(numbered.last().map(|(position, _)| position.unsigned_abs()))
}

/// Forgets what is too old or too much; how many events.
pub(super) async fn prune(
    connection: &mut Connection<'_>,
    before: u64,
    keep: u64,
) -> Result<Outcome, CatalogError> {
    let row = sql::query(EXTENT)
        .fetch_one(&mut *connection)
        .await
        .map_err(from_sqlx)?;
    let extent = extent(&row)?;
    let query = sql::query(FIRST_SINCE).bind(bound(before));
    let young = query.fetch_optional(&mut *connection).await.map_err(from_sqlx)?;
    let young = young.map_or(Ok(extent.last), |row| row.number("position"))?;
    let kept_first = young
        .max((extent.last + 1).saturating_sub(keep))
        .min(extent.last)
        .min(extent.first + MAX_FORGOTTEN);
    let query = sql::query(FORGET).bind(storable(kept_first)?);
    let done = query.execute(connection).await.map_err(from_sqlx)?;
    Ok(Outcome::Count(done))
}

fn extent(row: &Row) -> Result<JournalExtent, CatalogError> {
    let last = row.optional_number("last")?.unwrap_or(0);
    Ok(JournalExtent {
        id: JournalId(row.bytes("id")?),
        first: row.optional_number("first")?.unwrap_or(last + 1),
        last,
    })
}

fn event(row: &Row) -> Result<JournalEvent, CatalogError> {
    let data: &str = row.value("data")?;
    Ok(JournalEvent {
        position: row.number("position")?,
        at: row.number("at")?,
        topic: row.value("topic")?,
        subject: row.optional_bytes("subject")?.map(DataHash::from_bytes),
        data: serde_json::from_str(data).map_err(|_| corrupt("an event of the journal is not JSON"))?,
        trace: trace_of(row)?,
    })
}

#[async_trait]
impl EventJournal for SqliteCatalog {
    async fn append_news(&self, news: Vec<News>) -> Result<(), CatalogError> {
        self.make(SingleChange::AppendNews(news)).await
    }

    async fn journal_extent(&self) -> Result<JournalExtent, CatalogError> {
        let row = sql::query(EXTENT)
            .fetch_one(&self.reads)
            .await
            .map_err(from_sqlx)?;
        extent(&row)
    }

    async fn journal_page(
        &self,
        topics: &Topics,
        after: u64,
        limit: usize,
    ) -> Result<JournalPage, CatalogError> {
        let JournalExtent { first, last, .. } = self.journal_extent().await?;
        let after = after.max(first - 1);
        let window = last.min(after.saturating_add(JOURNAL_WINDOW));
        let wanted: Vec<&str> = DURABLE_TOPICS
            .into_iter()
            .filter(|topic| topics.contain(topic))
            .collect();
        let wanted = serde_json::to_string(&wanted).map_err(|_| failed("topics have no JSON form"))?;
        let rows = sql::query(PAGE)
            .bind(bound(after))
            .bind(bound(window))
            .bind(wanted)
            .bind(row_limit(limit))
            .fetch_all(&self.reads)
            .await
            .map_err(from_sqlx)?;
        let read_to = match rows.last() {
            Some(row) if rows.len() >= limit => row.number("position")?,
            _ => window.max(after),
        };
        let events = self.unreadable.read_all(JOURNAL, &rows, event)?;
        Ok(JournalPage { events, read_to })
    }

    async fn prune_journal(&self, before: u64, keep: u64) -> Result<u64, CatalogError> {
        match self
            .writer
            .write(SingleChange::PruneJournal { before, keep })
            .await?
        {
            Outcome::Count(count) => Ok(count),
            _ => Ok(0),
        }
    }

    fn journal_growth(&self) -> watch::Receiver<u64> {
        self.journal_growth.subscribe()
    }
}
