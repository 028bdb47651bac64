//! Pages of the inbox, newest first. Each state with the rarest of the terms that are asked
//! for is a range of an index, which is read from its end. So a page by one term costs as
//! much as it holds, whatever the length of the inbox; of several terms, the rarest decides.

use dm_core::{
    inbox::{InboxItem, InboxQuery, ItemState, Term},
    ports::CatalogError,
};
use sqlx::{QueryBuilder, Sqlite, SqlitePool};

use super::{
    columns::{bound, row_limit},
    error::from_sqlx,
    inbox::{number_of, read},
};

/// Items with a term that are counted at most, to find the rarest one.
const COUNTED: i64 = 1000;

pub(super) const COUNT: &str = "SELECT count(*) FROM (SELECT 1 FROM inbox_terms WHERE term = ? LIMIT ?)";
pub(super) const FIRST_SINCE: &str =
    "SELECT number FROM inbox WHERE received_at >= ? ORDER BY received_at, number LIMIT 1";
pub(super) const IS_ANY_DUE: &str = "SELECT EXISTS (SELECT 1 FROM inbox
    WHERE expires_at IS NOT NULL AND expires_at <= ? AND state < 3)";

/// Whether the time of an item is over that can still be read.
pub(super) async fn is_any_due(pool: &SqlitePool, now: u64) -> Result<bool, CatalogError> {
    let query = sqlx::query_scalar(IS_ANY_DUE).bind(bound(now));
    query.fetch_one(pool).await.map_err(from_sqlx)
}

pub(super) async fn page(
    pool: &SqlitePool,
    asked: &InboxQuery,
) -> Result<Vec<(u64, InboxItem)>, CatalogError> {
    let Some(numbers) = numbers(pool, asked).await? else {
        return Ok(Vec::new());
    };
    let terms = rarest_first(pool, &asked.terms).await?;
    let mut query = query(asked, &terms, numbers);
    let rows = query.build().fetch_all(pool).await.map_err(from_sqlx)?;
    rows.iter().map(read).collect()
}

/// The first number, and the one after the last; `None` where there is no item.
async fn numbers(pool: &SqlitePool, asked: &InboxQuery) -> Result<Option<(i64, i64)>, CatalogError> {
    let end = asked.before.map_or(i64::MAX, bound);
    let Some(since) = asked.since else {
        return Ok(Some((0, end)));
    };
    let first: Option<i64> = sqlx::query_scalar(FIRST_SINCE)
        .bind(bound(since))
        .fetch_optional(pool)
        .await
        .map_err(from_sqlx)?;
    Ok(first.map(|first| (first, end)))
}

async fn rarest_first(pool: &SqlitePool, terms: &[Term]) -> Result<Vec<Term>, CatalogError> {
    if terms.len() < 2 {
        return Ok(terms.to_vec());
    }
    let mut counted = Vec::with_capacity(terms.len());
    for term in terms {
        let count: i64 = sqlx::query_scalar(COUNT)
            .bind(term.0.to_vec())
            .bind(COUNTED)
            .fetch_one(pool)
            .await
            .map_err(from_sqlx)?;
        counted.push((count, *term));
    }
    counted.sort_unstable();
    Ok(counted.into_iter().map(|(_, term)| term).collect())
}

/// The newest of the newest of each range.
pub(super) fn query(asked: &InboxQuery, terms: &[Term], numbers: (i64, i64)) -> QueryBuilder<Sqlite> {
    let states: Vec<ItemState> = match asked.states.is_empty() {
        true => ItemState::ALL.to_vec(),
        false => asked.states.iter().copied().collect(),
    };
    let rows = row_limit(asked.limit);
    let mut query = QueryBuilder::new("SELECT i.* FROM (SELECT number FROM (");
    for (place, state) in states.into_iter().enumerate() {
        if place > 0 {
            query.push(" UNION ALL ");
        }
        push_range(&mut query, terms, state, numbers, rows);
    }
    query
        .push(") ORDER BY number DESC LIMIT ")
        .push_bind(rows)
        .push(") n CROSS JOIN inbox i ON i.number = n.number ORDER BY n.number DESC");
    query
}

fn push_range(
    query: &mut QueryBuilder<Sqlite>,
    terms: &[Term],
    state: ItemState,
    (first, end): (i64, i64),
    rows: i64,
) {
    match terms.split_first() {
        None => query.push("SELECT * FROM (SELECT r.number FROM inbox r WHERE r.state = "),
        Some((rarest, _)) => query
            .push("SELECT * FROM (SELECT r.number FROM inbox_terms r WHERE r.term = ")
            .push_bind(rarest.0.to_vec())
            .push(" AND r.state = "),
    };
    query
        .push_bind(number_of(state))
        .push(" AND r.number >= ")
        .push_bind(first)
        .push(" AND r.number < ")
        .push_bind(end);
    for other in terms.iter().skip(1) {
        query
            .push(" AND EXISTS (SELECT 1 FROM inbox_terms o WHERE o.state = r.state AND o.number = r.number AND o.term = ")
            .push_bind(other.0.to_vec())
            .push(")");
    }
    query
        .push(" ORDER BY r.number DESC LIMIT ")
        .push_bind(rows)
        .push(")");
}
