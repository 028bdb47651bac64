//! What recipients have acknowledged.

use async_trait::async_trait;
use bytes::Bytes;
use dm_core::{
    Address,
    acknowledgement::{Delivery, SignedAcknowledgement},
    envelope::ObjectId,
    hash::DataHash,
    inbox::ItemState,
    ports::{CatalogError, DeliveryCatalog, LogEntry},
};

use super::{
    SqliteCatalog,
    change::SingleChange,
    columns::{Columns, bound, storable},
    error::{corrupt, failed, from_sqlx},
    inbox,
    pages::Source,
    sent,
    sql::{self, Connection, Row, Target},
};

const DELIVERIES: Source = Source::new("deliveries", "number");

pub(super) const KEEP: &str = "INSERT INTO deliveries
    (locator, owner, recipient, data_hash, statement) VALUES (?, ?, ?, ?, ?)
    ON CONFLICT (locator, owner, recipient) DO UPDATE SET statement = excluded.statement, event_index = NULL";
pub(super) const GET: &str = "SELECT * FROM deliveries WHERE locator = ? AND owner = ? AND recipient = ?";
pub(super) const OF_OBJECT: &str =
    "SELECT * FROM deliveries WHERE locator = ? AND owner = ? ORDER BY recipient";
pub(super) const UNRECORDED: &str =
    "SELECT * FROM deliveries WHERE event_index IS NULL AND number > ? ORDER BY number LIMIT +?";
pub(super) const MARK_RECORDED: &str = "UPDATE deliveries SET event_index = ?
    WHERE locator = ? AND owner = ? AND recipient = ? AND statement = ? AND event_index IS NULL";

pub(super) async fn keep(connection: &mut Connection<'_>, delivery: &Delivery) -> Result<(), CatalogError> {
    let statement = &delivery.statement;
    let kept = get(&mut *connection, &statement.object, statement.recipient).await?;
    if kept.is_some_and(|kept| !kept.makes_way_for(statement.sequence)) {
        return Ok(());
    }
    let query = sql::query(KEEP)
        .bind(statement.object.locator.as_bytes().to_vec())
        .bind(statement.object.owner.to_vec())
        .bind(statement.recipient.to_vec())
        .bind(delivery.data_hash.as_bytes().to_vec())
        .bind(statement.bytes().to_vec());
    query.execute(connection).await.map(|_| ()).map_err(from_sqlx)
}

/// Notes the position with each delivery that these events record, and that the items of
/// those which this node has made are acknowledged, and its shares that the others speak of.
pub(super) async fn mark_recorded(
    connection: &mut Connection<'_>,
    entries: &[&LogEntry],
) -> Result<(), CatalogError> {
    for LogEntry { index, event, .. } in entries {
        let Some(statement) = event.trusted_evidence() else {
            continue;
        };
        let query = sql::query(MARK_RECORDED)
            .bind(storable(*index)?)
            .bind(statement.object.locator.as_bytes().to_vec())
            .bind(statement.object.owner.to_vec())
            .bind(statement.recipient.to_vec())
            .bind(statement.bytes().to_vec());
        query.execute(&mut *connection).await.map_err(from_sqlx)?;
        if statement.recipient == event.log {
            let (object, at) = (&statement.object, statement.fetched_at);
            inbox::advance(connection, object, ItemState::Acknowledged, at).await?;
        } else {
            sent::acknowledge(connection, &statement, *index).await?;
        }
    }
    Ok(())
}

async fn get(
    executor: impl Into<Target<'_>>,
    object: &ObjectId,
    recipient: Address,
) -> Result<Option<Delivery>, CatalogError> {
    let query = sql::query(GET)
        .bind(object.locator.as_bytes().to_vec())
        .bind(object.owner.to_vec())
        .bind(recipient.to_vec());
    let row = query.fetch_optional(executor).await.map_err(from_sqlx)?;
    row.as_ref().map(read).transpose()
}

fn read(row: &Row) -> Result<Delivery, CatalogError> {
    let statement = Bytes::from(row.value::<Vec<u8>>("statement")?);
    let statement = SignedAcknowledgement::from_trusted(statement)
        .map_err(|error| corrupt(format_args!("a delivery has no acknowledgement: {error}")))?;
    Ok(Delivery {
        data_hash: DataHash::from_bytes(row.bytes("data_hash")?),
        statement,
        leaf_index: row.optional_number("event_index")?,
    })
}

#[async_trait]
impl DeliveryCatalog for SqliteCatalog {
    async fn keep_delivery(&self, new: &Delivery) -> Result<Delivery, CatalogError> {
        self.make(SingleChange::KeepDelivery(Box::new(new.clone())))
            .await?;
        let kept = self
            .delivery(&new.statement.object, new.statement.recipient)
            .await?;
        kept.ok_or_else(|| failed("a delivery that was kept is not there"))
    }

    async fn delivery(
        &self,
        object: &ObjectId,
        recipient: Address,
    ) -> Result<Option<Delivery>, CatalogError> {
        get(&self.reads, object, recipient).await
    }

    async fn deliveries(&self, object: &ObjectId) -> Result<Vec<Delivery>, CatalogError> {
        let query = sql::query(OF_OBJECT)
            .bind(object.locator.as_bytes().to_vec())
            .bind(object.owner.to_vec());
        self.all(DELIVERIES, query, read).await
    }

    async fn unrecorded_deliveries(
        &self,
        after: u64,
        limit: usize,
    ) -> Result<Vec<(u64, Delivery)>, CatalogError> {
        let query = |rows| sql::query(UNRECORDED).bind(bound(after)).bind(rows);
        let numbered = |row: &Row| Ok((row.number("number")?, read(row)?));
        self.page(DELIVERIES, limit, query, numbered).await
    }
}
