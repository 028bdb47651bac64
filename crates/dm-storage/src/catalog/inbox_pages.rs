//! Pages of the inbox, newest first.

use dm_core::{
    inbox::{InboxItem, InboxQuery, ItemState, Term},
    ports::CatalogError,
};

use super::{
    columns::{bound, row_limit},
    error::from_sqlx,
    inbox::{number_of, read},
    listing_pages::{INBOX, Range},
    sql::{self, Pool, QueryBuilder},
};

pub(super) const FIRST_SINCE: &str =
    "SELECT number FROM inbox WHERE received_at >= ? ORDER BY received_at, number LIMIT 1";
pub(super) const IS_ANY_DUE: &str = "SELECT EXISTS (SELECT 1 FROM inbox
    WHERE expires_at IS NOT NULL AND expires_at <= ? AND state < 3)";

/// Whether the time of an item is over that can still be read.
pub(super) async fn is_any_due(pool: &Pool, now: u64) -> Result<bool, CatalogError> {
    let query = sql::query_scalar(IS_ANY_DUE).bind(bound(now));
    query.fetch_one(pool).await.map_err(from_sqlx)
}

pub(super) async fn page(pool: &Pool, asked: &InboxQuery) -> Result<Vec<(u64, InboxItem)>, CatalogError> {
    let Some(numbers) = numbers(pool, asked).await? else {
        return Ok(Vec::new());
    };
    let terms = INBOX.rarest_first(pool, &asked.terms).await?;
    let query = query(asked, &terms, numbers);
    let rows = query.build().fetch_all(pool).await.map_err(from_sqlx)?;
    rows.iter().map(read).collect()
}

/// The first number, and the one after the last; `None` where there is no item.
async fn numbers(pool: &Pool, asked: &InboxQuery) -> Result<Option<(i64, i64)>, CatalogError> {
    let end = asked.before.map_or(i64::MAX, bound);
    let Some(since) = asked.since else {
        return Ok(Some((0, end)));
    };
    let first: Option<i64> = sql::query_scalar(FIRST_SINCE)
        .bind(bound(since))
        .fetch_optional(pool)
        .await
        .map_err(from_sqlx)?;
    Ok(first.map(|first| (first, end)))
}

pub(super) fn query(asked: &InboxQuery, terms: &[Term], numbers: (i64, i64)) -> QueryBuilder {
    let states: Vec<i64> = match asked.states.is_empty() {
        true => ItemState::ALL.map(number_of).to_vec(),
        false => asked.states.iter().copied().map(number_of).collect(),
    };
    let mut query = QueryBuilder::new("SELECT i.* FROM (");
    let range = Range {
        terms,
        states: &states,
        numbers,
        rows: row_limit(asked.limit),
    };
    INBOX.push_numbers(&mut query, &range);
    query.push(") n CROSS JOIN inbox i ON i.number = n.number ORDER BY n.number DESC");
    query
}
