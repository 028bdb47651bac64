//! Pages of a list whose entries have a number, a state and terms, newest first. Each state
//! with the rarest of the terms that are asked for is a range of an index, which is read from
//! its end. So a page by one term costs as much as it holds, whatever the length of the list;
//! of several terms, the rarest decides.

use dm_core::{inbox::Term, ports::CatalogError};

use super::{
    error::from_sqlx,
    sql::{self, Pool, QueryBuilder, Statement},
};

/// Entries with a term that are counted at most, to find the rarest one: about what a page may
/// look through.
const COUNTED: i64 = 10_000;

/// Where a list is kept.
pub(super) struct Listing {
    /// The table of entries: `number`, `state`.
    entries: &'static str,
    /// The table of their terms: `term`, `state`, `number`.
    terms: &'static str,
}

/// The part of a list that a page is taken from.
pub(super) struct Range<'a> {
    /// Entries that have all of these, the rarest first.
    pub(super) terms: &'a [Term],
    /// Entries in one of these states, of which there is at least one.
    pub(super) states: &'a [i64],
    /// The first number, and the one after the last.
    pub(super) numbers: (i64, i64),
    /// At most so many.
    pub(super) rows: i64,
}

pub(super) const INBOX: Listing = Listing {
    entries: "inbox",
    terms: "inbox_terms",
};
pub(super) const SENT: Listing = Listing {
    entries: "sent",
    terms: "sent_terms",
};

impl Listing {
    pub(super) fn count(&self) -> String {
        format!(
            "SELECT count(*) FROM (SELECT 1 FROM {} WHERE term = ? LIMIT +?) AS subquery",
            self.terms
        )
    }

    pub(super) async fn rarest_first(&self, pool: &Pool, terms: &[Term]) -> Result<Vec<Term>, CatalogError> {
        if terms.len() < 2 {
            return Ok(terms.to_vec());
        }
        let mut counted = Vec::with_capacity(terms.len());
        for term in terms {
            let count: i64 = sql::query_scalar(Statement::Built(self.count().into()))
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

    /// Adds a query for the numbers of the newest entries: the newest of the newest of each
    /// range.
    pub(super) fn push_numbers(&self, query: &mut QueryBuilder, range: &Range<'_>) {
        query.push("SELECT number FROM (");
        for (place, state) in range.states.iter().enumerate() {
            if place > 0 {
                query.push(" UNION ALL ");
            }
            self.push_state(query, range, *state);
        }
        query
            .push(") AS subquery ORDER BY number DESC LIMIT +")
            .push_bind(range.rows);
    }

    fn push_state(&self, query: &mut QueryBuilder, range: &Range<'_>, state: i64) {
        query.push("SELECT * FROM (SELECT r.number FROM ");
        match range.terms.split_first() {
            None => query.push(self.entries).push(" r WHERE r.state = "),
            Some((rarest, _)) => query
                .push(self.terms)
                .push(" r WHERE r.term = ")
                .push_bind(rarest.0.to_vec())
                .push(" AND r.state = "),
        };
        let (first, end) = range.numbers;
        query
            .push_bind(state)
            .push(" AND r.number >= ")
            .push_bind(first)
            .push(" AND r.number < ")
            .push_bind(end);
        for other in range.terms.iter().skip(1) {
            query
                .push(" AND EXISTS (SELECT 1 FROM ")
                .push(self.terms)
                .push(" o WHERE o.state = r.state AND o.number = r.number AND o.term = ")
                .push_bind(other.0.to_vec())
                .push(")");
        }
        query
            .push(" ORDER BY r.number DESC LIMIT +")
            .push_bind(range.rows)
            .push(") AS subquery");
    }
}
