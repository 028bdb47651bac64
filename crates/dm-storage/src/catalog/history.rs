//! Pages of the log, newest first. Each filter becomes ranges of an index that
//! are read from their end, so that a page costs as much as it holds, whatever
//! the length of the log.

use std::collections::BTreeSet;

use dm_core::{
    event::EventKind,
    ports::{CatalogError, EventFilter, LogEntry, LogPage},
};

use super::{
    columns::row_limit,
    error::from_sqlx,
    event_log,
    sql::{Pool, QueryBuilder},
};

/// At most `limit` events that match and stand before position `before`.
pub(super) async fn page(
    pool: &Pool,
    filter: &EventFilter,
    before: i64,
    limit: usize,
) -> Result<LogPage, CatalogError> {
    // One more tells whether there is a next page.
    let query = query(filter, before, row_limit(limit.saturating_add(1)));
    let rows = query.build().fetch_all(pool).await.map_err(from_sqlx)?;
    let has_next = rows.len() > limit;
    let entries: Result<Vec<LogEntry>, _> = rows.iter().take(limit).map(event_log::read).collect();
    let entries = entries?;
    let next = entries.last().filter(|_| has_next).map(|entry| entry.index);
    Ok(LogPage { entries, next })
}

/// The newest of the newest of each range.
pub(super) fn query(filter: &EventFilter, before: i64, rows: i64) -> QueryBuilder {
    let mut query = QueryBuilder::new("SELECT * FROM (");
    for (number, kind) in ranges(filter).into_iter().enumerate() {
        if number > 0 {
            query.push(" UNION ALL ");
        }
        push_range(&mut query, filter, kind, before, rows);
    }
    query
        .push(") AS subquery ORDER BY position DESC LIMIT +")
        .push_bind(rows);
    query
}

/// The kinds of which each is a range of an index; `None` is the whole log.
fn ranges(filter: &EventFilter) -> Vec<Option<EventKind>> {
    let of_anything = filter.data_hash.is_none() && filter.recipient.is_none();
    let all: BTreeSet<EventKind> = EventKind::ALL.into();
    let every_kind = filter.kinds.is_empty() || filter.kinds == all;
    match (every_kind, of_anything) {
        (true, true) => vec![None],
        (true, false) => all.into_iter().map(Some).collect(),
        (false, _) => filter.kinds.iter().copied().map(Some).collect(),
    }
}

fn push_range(
    query: &mut QueryBuilder,
    filter: &EventFilter,
    kind: Option<EventKind>,
    before: i64,
    rows: i64,
) {
    query
        .push("SELECT * FROM (SELECT * FROM events WHERE position < ")
        .push_bind(before);
    if let Some(kind) = kind {
        // Bound, it would be compared with the condition of a partial index, and SQLite would
        // plan the query anew each time.
        query.push(" AND kind = '").push(kind.as_str()).push("'");
    }
    if let Some(data_hash) = filter.data_hash {
        query
            .push(" AND data_hash = ")
            .push_bind(data_hash.as_bytes().to_vec());
    }
    if let Some(recipient) = filter.recipient {
        // With a data hash, that is the narrower index; + keeps the other out.
        let column = if filter.data_hash.is_some() {
            " AND +recipient = "
        } else {
            " AND recipient = "
        };
        query.push(column).push_bind(recipient.to_vec());
    }
    query
        .push(" ORDER BY position DESC LIMIT +")
        .push_bind(rows)
        .push(") AS subquery");
}
