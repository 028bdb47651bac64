//! Pages of the shares of this node, newest first, with where each of them stands.

use async_trait::async_trait;
use bytes::Bytes;
use dm_core::{
    Address,
    hash::{DataHash, Locator},
    inbox::Term,
    ports::{CatalogError, SentCatalog},
    sent::{SentQuery, SentShare, SentState, ShareListing},
};

use super::{
    SqliteCatalog,
    change::SingleChange,
    columns::{Columns, bound, row_limit},
    error::{corrupt, from_sqlx},
    listing_pages::{Range, SENT},
    pages::Source,
    sent::{number_of, term_of},
    sql::{self, QueryBuilder, Row},
};

const SHARES: Source = Source::new("sent", "number");

/// What is known of rows of `sent`, which `FROM` gives as `s`.
macro_rules! select_shares {
    ($from:literal) => {
        concat!(
            "SELECT s.*, h.grant_owed, r.size, r.replicas, x.expires_at,
                e.position AS leaf_index, e.timestamp AS recorded_at,
                EXISTS (SELECT 1 FROM orders o
                    WHERE o.locator = s.locator AND o.recipient = s.recipient) AS has_payment
             FROM ",
            $from,
            " LEFT JOIN shares h ON h.locator = s.locator AND h.recipient = s.recipient AND s.state < 3
             LEFT JOIN readable_objects r ON r.locator = s.locator AND s.state < 3
             LEFT JOIN expiries x ON x.locator = s.locator AND s.state < 3
             LEFT JOIN events e ON e.position = coalesce(s.event_index, h.event_index)"
        )
    };
}

pub(super) const OF_DATA: &str = concat!(
    select_shares!("sent s"),
    " WHERE s.locator = ? ORDER BY s.number DESC LIMIT +?"
);
pub(super) const WITH_RECIPIENT: &str = concat!(
    select_shares!("sent s"),
    " WHERE s.locator = ? AND s.recipient = ? ORDER BY s.number DESC LIMIT 1"
);
/// The numbers of the page come first, as a table of their own.
const OF_NUMBERS: &str = concat!(
    select_shares!("numbers n CROSS JOIN sent s ON s.number = n.number"),
    " ORDER BY n.number DESC"
);

pub(super) fn query(asked: &SentQuery, terms: &[Term]) -> QueryBuilder {
    let states: Vec<i64> = match asked.states.is_empty() {
        true => SentState::ALL.map(number_of).to_vec(),
        false => asked.states.iter().copied().map(number_of).collect(),
    };
    let mut query = QueryBuilder::new("WITH numbers AS MATERIALIZED (");
    let range = Range {
        terms,
        states: &states,
        numbers: (0, asked.before.map_or(i64::MAX, bound)),
        rows: row_limit(asked.limit),
    };
    SENT.push_numbers(&mut query, &range);
    query.push(") ").push(OF_NUMBERS);
    query
}

fn read(row: &Row) -> Result<(u64, SentShare), CatalogError> {
    let state: i64 = row.value("state")?;
    let replicas = row.optional_number("replicas")?;
    let owed: Option<bool> = row.value("grant_owed")?;
    let share = SentShare {
        data_hash: DataHash::from_bytes(row.bytes("data_hash")?),
        recipient: row.address("recipient")?,
        descriptor: row.value::<Option<Vec<u8>>>("descriptor")?.map(Bytes::from),
        state: SentState::ALL
            .into_iter()
            .find(|known| number_of(*known) == state)
            .ok_or_else(|| corrupt(format_args!("a share has the state {state}")))?,
        created_at: row.number("created_at")?,
        size: row.optional_number("size")?,
        replicas: replicas.map_or(0, |count| u32::try_from(count).unwrap_or(u32::MAX)),
        grant_pending: owed.unwrap_or(false),
        granted_at: row.optional_number("granted_at")?,
        leaf_index: row.optional_number("leaf_index")?,
        recorded_at: row.optional_number("recorded_at")?,
        notified_at: row.optional_number("notified_at")?,
        fetched_at: row.optional_number("fetched_at")?,
        acknowledged_at: row.optional_number("acknowledged_at")?,
        delivery_index: row.optional_number("delivery_index")?,
        ended_at: row.optional_number("ended_at")?,
        expires_at: row.optional_number("expires_at")?,
        has_payment: row.value("has_payment")?,
    };
    Ok((row.number("number")?, share))
}

#[async_trait]
impl SentCatalog for SqliteCatalog {
    async fn sent_shares(&self, query: &SentQuery) -> Result<Vec<(u64, SentShare)>, CatalogError> {
        let recipient = query.recipient.map(term_of);
        let terms: Vec<Term> = recipient.into_iter().chain(query.terms.iter().copied()).collect();
        let terms = SENT.rarest_first(&self.reads, &terms).await?;
        let query = self::query(query, &terms);
        let rows = query.build().fetch_all(&self.reads).await.map_err(from_sqlx)?;
        rows.iter().map(read).collect()
    }

    async fn sent_shares_of(
        &self,
        data_hash: &DataHash,
        limit: usize,
    ) -> Result<Vec<SentShare>, CatalogError> {
        let query = |rows| {
            sql::query(OF_DATA)
                .bind(data_hash.locator().as_bytes().to_vec())
                .bind(rows)
        };
        let share = |row: &Row| Ok(read(row)?.1);
        self.page(SHARES, limit, query, share).await
    }

    async fn sent_share(
        &self,
        data_hash: &DataHash,
        recipient: Address,
    ) -> Result<Option<SentShare>, CatalogError> {
        let query = sql::query(WITH_RECIPIENT)
            .bind(data_hash.locator().as_bytes().to_vec())
            .bind(recipient.to_vec());
        let row = query.fetch_optional(&self.reads).await.map_err(from_sqlx)?;
        row.as_ref().map(|row| Ok(read(row)?.1)).transpose()
    }

    async fn relist_shares(&self, data_hash: &DataHash, listing: &ShareListing) -> Result<(), CatalogError> {
        let (data_hash, listing) = (*data_hash, Box::new(listing.clone()));
        self.make(SingleChange::RelistShares { data_hash, listing }).await
    }

    async fn note_notified(&self, told: &[(Locator, Address)], now: u64) -> Result<(), CatalogError> {
        if told.is_empty() {
            return Ok(());
        }
        let told = told.to_vec();
        self.make(SingleChange::NoteNotified { told, now }).await
    }
}
