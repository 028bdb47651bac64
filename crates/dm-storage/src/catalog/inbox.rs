//! The inbox: items that were listed, and objects that have come.

use std::{collections::HashSet, sync::LazyLock};

use async_trait::async_trait;
use bytes::Bytes;
use dm_core::{
    envelope::ObjectId,
    hash::{DataHash, Locator},
    inbox::{Arrival, InboxItem, InboxQuery, ItemState, Term},
    ports::{CatalogError, ErasureCause, InboxCatalog},
};

use super::{
    SqliteCatalog,
    bulk::BulkStatement,
    change::{OrderedChange, Outcome, SingleChange},
    columns::{Columns, bound, storable},
    error::{corrupt, from_sqlx},
    inbox_pages,
    pages::Source,
    sql::{self, Connection, Row},
};

const ITEMS: Source = Source::new("inbox", "number");
const ARRIVALS: Source = Source::new("arrivals", "locator");

/// The state of an item that was taken out of the list.
const REMOVED: i64 = 6;

pub(super) const GET: &str = "SELECT * FROM inbox WHERE locator = ? AND owner = ?";
pub(super) const IS_LISTED: &str =
    "SELECT EXISTS (SELECT 1 FROM inbox WHERE locator = ? AND owner = ? AND state < 6)";
pub(super) static LISTED_AMONG: LazyLock<BulkStatement> = LazyLock::new(|| {
    BulkStatement::new(
        "SELECT i.locator, i.owner FROM inbox i,",
        2,
        "AND i.locator = column1 AND i.owner = column2 AND i.state < 6",
    )
});
pub(super) const OF_DATA: &str = "SELECT * FROM inbox WHERE locator = ? AND state < 6";
pub(super) const INSERT: &str = "INSERT INTO inbox
    (locator, owner, data_hash, size, descriptor, sequence, shared_at, received_at, expires_at, state,
        fetched_at, anchored)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7,
        coalesce((SELECT received_at FROM
            (SELECT received_at FROM inbox ORDER BY number DESC LIMIT 1) AS newest WHERE received_at > ?8), ?8),
        ?9, ?10, ?11, ?12)
    RETURNING number";
pub(super) const UPDATE: &str = "UPDATE inbox SET size = ?, descriptor = ?, sequence = ?, shared_at = ?,
    expires_at = ?, anchored = CASE WHEN anchored = 1 THEN 1 ELSE ? END,
    state = CASE WHEN state BETWEEN 3 AND 5 THEN ? ELSE state END,
    fetched_at = coalesce(fetched_at, ?)
    WHERE number = ? AND sequence <= ?";
pub(super) const SET_ANCHORED: &str = "UPDATE inbox SET anchored = 1 WHERE number = ?";
pub(super) const ADD_TERM: &str = "INSERT INTO inbox_terms (term, state, number)
    SELECT ?, state, number FROM inbox WHERE number = ? ON CONFLICT DO NOTHING";
pub(super) const REMOVE_TERMS: &str = "DELETE FROM inbox_terms WHERE number = ?";
/// Forward while it can be read, to an end at any time, from an end nowhere.
pub(super) const ADVANCE: &str = "UPDATE inbox SET state = ?1,
    fetched_at = coalesce(fetched_at, CASE WHEN ?1 IN (1, 2) THEN ?4 END)
    WHERE locator = ?2 AND owner = ?3 AND state < 3 AND state < ?1";
pub(super) const EXPIRE: &str = "UPDATE inbox SET state = 5
    WHERE expires_at IS NOT NULL AND expires_at <= ? AND state < 3";
pub(super) const END: &str = "UPDATE inbox SET state = ? WHERE locator = ? AND state < 3";
pub(super) const REMOVE_TERMS_OF: &str =
    "DELETE FROM inbox_terms WHERE number IN (SELECT number FROM inbox WHERE locator = ?)";
pub(super) const REMOVE: &str =
    "UPDATE inbox SET state = 6, descriptor = ?2 WHERE locator = ?1 AND state < 6";
pub(super) const NOTE_ARRIVAL: &str = "INSERT INTO arrivals (locator, owner, sequence) VALUES (?, ?, ?)
    ON CONFLICT (locator, owner) DO UPDATE SET sequence = excluded.sequence
    WHERE arrivals.sequence < excluded.sequence";
pub(super) const ARRIVED: &str = "SELECT locator, owner, sequence FROM arrivals
    WHERE (locator, owner) > (?, ?) ORDER BY locator, owner LIMIT +?";
pub(super) const SETTLE_ARRIVAL: &str =
    "DELETE FROM arrivals WHERE locator = ? AND owner = ? AND sequence <= ?";

/// Whether an item speaks of this object.
pub(super) async fn is_listed(
    connection: &mut Connection<'_>,
    object: &ObjectId,
) -> Result<bool, CatalogError> {
    let query = sql::query_scalar(IS_LISTED)
        .bind(object.locator.as_bytes().to_vec())
        .bind(object.owner.to_vec());
    query.fetch_one(connection).await.map_err(from_sqlx)
}

/// Keeps an item that is new, or what a newer envelope says of one that is listed.
pub(super) async fn list(
    connection: &mut Connection<'_>,
    item: &InboxItem,
    terms: &[Term],
) -> Result<Outcome, CatalogError> {
    let present = sql::query(GET)
        .bind(item.data_hash.locator().as_bytes().to_vec())
        .bind(item.owner.to_vec())
        .fetch_optional(&mut *connection)
        .await
        .map_err(from_sqlx)?;
    let Some(row) = present else {
        let number = insert(connection, item).await?;
        put_terms(connection, number, terms).await?;
        return Ok(Outcome::Existed(false));
    };
    if row.value::<i64>("state")? == REMOVED {
        return Ok(Outcome::Existed(true));
    }
    let number = row.value("number")?;
    if update(connection, number, item).await? {
        put_terms(connection, number, terms).await?;
    } else if item.anchored {
        let query = sql::query(SET_ANCHORED).bind(number);
        query.execute(connection).await.map_err(from_sqlx)?;
    }
    Ok(Outcome::Existed(true))
}

async fn insert(connection: &mut Connection<'_>, item: &InboxItem) -> Result<i64, CatalogError> {
    sql::query_scalar(INSERT)
        .bind(item.data_hash.locator().as_bytes().to_vec())
        .bind(item.owner.to_vec())
        .bind(item.data_hash.as_bytes().to_vec())
        .bind(storable(item.size)?)
        .bind(item.descriptor.to_vec())
        .bind(storable(item.sequence)?)
        .bind(storable(item.shared_at)?)
        .bind(storable(item.received_at)?)
        .bind(item.expires_at.map(storable).transpose()?)
        .bind(number_of(item.state))
        .bind(item.fetched_at.map(storable).transpose()?)
        .bind(item.anchored)
        .fetch_one(connection)
        .await
        .map_err(from_sqlx)
}

async fn update(
    connection: &mut Connection<'_>,
    number: i64,
    item: &InboxItem,
) -> Result<bool, CatalogError> {
    let query = sql::query(UPDATE)
        .bind(storable(item.size)?)
        .bind(item.descriptor.to_vec())
        .bind(storable(item.sequence)?)
        .bind(storable(item.shared_at)?)
        .bind(item.expires_at.map(storable).transpose()?)
        .bind(item.anchored)
        .bind(number_of(item.state))
        .bind(item.fetched_at.map(storable).transpose()?)
        .bind(number)
        .bind(storable(item.sequence)?);
    let updated = query.execute(connection).await.map_err(from_sqlx)?;
    Ok(updated > 0)
}

async fn put_terms(connection: &mut Connection<'_>, number: i64, terms: &[Term]) -> Result<(), CatalogError> {
    let query = sql::query(REMOVE_TERMS).bind(number);
    query.execute(&mut *connection).await.map_err(from_sqlx)?;
    for Term(term) in terms {
        let query = sql::query(ADD_TERM).bind(term.to_vec()).bind(number);
        query.execute(&mut *connection).await.map_err(from_sqlx)?;
    }
    Ok(())
}

pub(super) async fn advance(
    connection: &mut Connection<'_>,
    object: &ObjectId,
    state: ItemState,
    now: u64,
) -> Result<Outcome, CatalogError> {
    let query = sql::query(ADVANCE)
        .bind(number_of(state))
        .bind(object.locator.as_bytes().to_vec())
        .bind(object.owner.to_vec())
        .bind(storable(now)?);
    let advanced = query.execute(connection).await.map_err(from_sqlx)?;
    Ok(Outcome::Existed(advanced > 0))
}

pub(super) async fn expire(connection: &mut Connection<'_>, now: u64) -> Result<(), CatalogError> {
    let query = sql::query(EXPIRE).bind(bound(now));
    query.execute(connection).await.map(|_| ()).map_err(from_sqlx)
}

/// Ends the items of data that is erased.
pub(super) async fn end(
    connection: &mut Connection<'_>,
    data_hash: &DataHash,
    cause: ErasureCause,
) -> Result<(), CatalogError> {
    let query = sql::query(END)
        .bind(number_of(ItemState::of_erasure(cause)))
        .bind(data_hash.locator().as_bytes().to_vec());
    query.execute(connection).await.map(|_| ()).map_err(from_sqlx)
}

pub(super) async fn remove(
    connection: &mut Connection<'_>,
    data_hash: &DataHash,
) -> Result<Outcome, CatalogError> {
    let locator = data_hash.locator().as_bytes().to_vec();
    let query = sql::query(REMOVE_TERMS_OF).bind(locator.clone());
    query.execute(&mut *connection).await.map_err(from_sqlx)?;
    let query = sql::query(REMOVE).bind(locator).bind(Vec::new());
    let removed = query.execute(connection).await;
    Ok(Outcome::Existed(removed.map_err(from_sqlx)? > 0))
}

pub(super) async fn note_arrivals(
    connection: &mut Connection<'_>,
    arrivals: &[Arrival],
) -> Result<(), CatalogError> {
    for Arrival { object, sequence } in arrivals {
        let query = sql::query(NOTE_ARRIVAL)
            .bind(object.locator.as_bytes().to_vec())
            .bind(object.owner.to_vec())
            .bind(bound(*sequence));
        query.execute(&mut *connection).await.map_err(from_sqlx)?;
    }
    Ok(())
}

pub(super) async fn settle_arrival(
    connection: &mut Connection<'_>,
    Arrival { object, sequence }: &Arrival,
) -> Result<(), CatalogError> {
    let query = sql::query(SETTLE_ARRIVAL)
        .bind(object.locator.as_bytes().to_vec())
        .bind(object.owner.to_vec())
        .bind(bound(*sequence));
    query.execute(connection).await.map(|_| ()).map_err(from_sqlx)
}

/// The state as a number, by which states are ordered.
pub(super) fn number_of(state: ItemState) -> i64 {
    match state {
        ItemState::New => 0,
        ItemState::Fetched => 1,
        ItemState::Acknowledged => 2,
        ItemState::Revoked => 3,
        ItemState::Erased => 4,
        ItemState::Expired => 5,
    }
}

/// The item in a row, and its number.
pub(super) fn read(row: &Row) -> Result<(u64, InboxItem), CatalogError> {
    let state: i64 = row.value("state")?;
    let item = InboxItem {
        data_hash: DataHash::from_bytes(row.bytes("data_hash")?),
        owner: row.address("owner")?,
        size: row.number("size")?,
        descriptor: Bytes::from(row.value::<Vec<u8>>("descriptor")?),
        sequence: row.number("sequence")?,
        shared_at: row.number("shared_at")?,
        received_at: row.number("received_at")?,
        expires_at: row.optional_number("expires_at")?,
        state: ItemState::ALL
            .into_iter()
            .find(|known| number_of(*known) == state)
            .ok_or_else(|| corrupt(format_args!("an item of the inbox has the state {state}")))?,
        fetched_at: row.optional_number("fetched_at")?,
        anchored: row.value("anchored")?,
    };
    Ok((row.number("number")?, item))
}

fn read_arrival(row: &Row) -> Result<Arrival, CatalogError> {
    Ok(Arrival {
        object: read_object(row)?,
        sequence: row.number("sequence")?,
    })
}

fn read_object(row: &Row) -> Result<ObjectId, CatalogError> {
    Ok(ObjectId {
        locator: Locator::from_bytes(row.bytes("locator")?),
        owner: row.address("owner")?,
    })
}

#[async_trait]
impl InboxCatalog for SqliteCatalog {
    async fn list_item(&self, item: &InboxItem, terms: &[Term]) -> Result<bool, CatalogError> {
        let (item, terms) = (Box::new(item.clone()), terms.to_vec());
        let existed = self.make_if_there(SingleChange::ListItem { item, terms }).await?;
        Ok(!existed)
    }

    async fn inbox_item(&self, object: &ObjectId) -> Result<Option<InboxItem>, CatalogError> {
        let row = sql::query(GET)
            .bind(object.locator.as_bytes().to_vec())
            .bind(object.owner.to_vec())
            .fetch_optional(&self.reads)
            .await
            .map_err(from_sqlx)?;
        match row {
            Some(row) if row.value::<i64>("state")? != REMOVED => Ok(Some(read(&row)?.1)),
            _ => Ok(None),
        }
    }

    async fn listed_among(&self, objects: &[ObjectId]) -> Result<HashSet<ObjectId>, CatalogError> {
        let mut listed = HashSet::new();
        for (sql, run) in LISTED_AMONG.runs(objects) {
            let query = run.iter().fold(sql::query(sql), |query, object| {
                let (locator, owner) = (object.locator.as_bytes().to_vec(), object.owner.to_vec());
                query.bind(locator).bind(owner)
            });
            for row in query.fetch_all(&self.reads).await.map_err(from_sqlx)? {
                listed.insert(read_object(&row)?);
            }
        }
        Ok(listed)
    }

    async fn items_of(&self, data_hash: &DataHash) -> Result<Vec<InboxItem>, CatalogError> {
        let query = sql::query(OF_DATA).bind(data_hash.locator().as_bytes().to_vec());
        let mut items = self.all(ITEMS, query, read).await?;
        items.sort_unstable_by_key(|(number, _)| std::cmp::Reverse(*number));
        Ok(items.into_iter().map(|(_, item)| item).collect())
    }

    async fn inbox_items(&self, query: &InboxQuery) -> Result<Vec<(u64, InboxItem)>, CatalogError> {
        inbox_pages::page(&self.reads, query).await
    }

    async fn advance_item(
        &self,
        object: &ObjectId,
        state: ItemState,
        now: u64,
    ) -> Result<bool, CatalogError> {
        let object = *object;
        self.make_if_there(SingleChange::AdvanceItem { object, state, now })
            .await
    }

    async fn expire_items(&self, now: u64) -> Result<(), CatalogError> {
        if inbox_pages::is_any_due(&self.reads, now).await? {
            self.make(SingleChange::ExpireItems(now)).await?;
        }
        Ok(())
    }

    async fn remove_items(&self, data_hash: &DataHash) -> Result<bool, CatalogError> {
        self.make_if_there(OrderedChange::RemoveItems(*data_hash)).await
    }

    async fn note_arrivals(&self, arrivals: &[Arrival]) -> Result<(), CatalogError> {
        self.make(SingleChange::NoteArrivals(arrivals.to_vec())).await
    }

    async fn arrivals(&self, after: Option<ObjectId>, limit: usize) -> Result<Vec<Arrival>, CatalogError> {
        // The empty blob is before all others.
        let (locator, owner) = match after {
            Some(after) => (after.locator.as_bytes().to_vec(), after.owner.to_vec()),
            None => (Vec::new(), Vec::new()),
        };
        let query = |rows| {
            sql::query(ARRIVED)
                .bind(locator.clone())
                .bind(owner.clone())
                .bind(rows)
        };
        self.page(ARRIVALS, limit, query, read_arrival).await
    }

    async fn settle_arrival(&self, arrival: &Arrival) -> Result<(), CatalogError> {
        self.make(SingleChange::SettleArrival(*arrival)).await
    }
}
