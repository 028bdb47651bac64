//! Changes of orders, many at a time.

use std::{
    collections::{HashMap, HashSet},
    sync::LazyLock,
};

use dm_core::{
    event::EventKind,
    idempotency::IdempotencyKey,
    news::News,
    operation::OperationId,
    order::{OrderRecord, OrderState, Tries},
    ports::{CatalogError, LogEntry, OrderInsert},
};

use super::{
    bulk::BulkStatement,
    columns::{Columns, storable},
    error::{failed, from_sqlx},
    order_rows::{PurposeColumns, to_json, tries_column},
    orders,
    sql::{self, Connection, Dialects},
};

/// The detail of a transfer event that names its order.
const OPERATION: &str = "operation";

macro_rules! insert {
    ($of_operation:literal) => {
        concat!(
            "INSERT INTO orders
                (id, content, purpose, locator, data_hash, recipient, refund_of, client, idempotency_key,
                 created_at, state, status, tries, undelivered, event_index)
             SELECT column1, column2, column3, column4, column5, column6, column7, column8, column9,
                column10, column11, column12, column13, CAST(column4 IS NOT NULL AS INTEGER),
                (SELECT min(position) FROM events WHERE kind = 'transfer' AND ",
            $of_operation,
            ") FROM"
        )
    };
}

/// An order is new where neither its id nor its idempotency key is taken. Its
/// event may be there before it.
pub(super) static INSERT: LazyLock<BulkStatement> = LazyLock::new(|| {
    BulkStatement::new(
        Dialects {
            sqlite: insert!("json_extract(details, '$.operation') = lower(hex(column1))"),
            postgres: insert!("operation = encode(column1, 'hex')"),
        },
        13,
        "ON CONFLICT DO NOTHING RETURNING id, client, idempotency_key",
    )
});

pub(super) static SET_STATE: LazyLock<BulkStatement> = LazyLock::new(|| {
    BulkStatement::new(
        "UPDATE orders SET state = column2, status = column3 FROM",
        3,
        "AND id = column1",
    )
});

pub(super) static CLOSE: LazyLock<BulkStatement> =
    LazyLock::new(|| BulkStatement::new("UPDATE orders SET is_closed = 1 FROM", 1, "AND id = column1"));

pub(super) static MARK_RECORDED: LazyLock<BulkStatement> = LazyLock::new(|| {
    BulkStatement::new(
        "UPDATE orders SET event_index = column2 FROM",
        2,
        "AND id = column1 AND event_index IS NULL",
    )
});

/// Keeps the orders that are new, and says of each, by its place, what became of it.
pub(super) async fn insert(
    connection: &mut Connection<'_>,
    orders: &[(usize, &OrderRecord)],
) -> Result<Vec<(usize, OrderInsert)>, CatalogError> {
    let mut outcomes = Vec::with_capacity(orders.len());
    for (sql, run) in INSERT.runs(orders) {
        let mut query = sql::query(sql);
        for (_, order) in run {
            let purpose = PurposeColumns::from(order.purpose);
            let key = order.idempotency_key.as_ref();
            query = query
                .bind(order.id.as_bytes().to_vec())
                .bind(to_json(&order.order)?)
                .bind(order.purpose.as_str())
                .bind(purpose.locator)
                .bind(purpose.data_hash)
                .bind(purpose.recipient)
                .bind(purpose.refund_of)
                .bind(key.map(|key| key.client.clone()))
                .bind(key.map(|key| key.key.clone()))
                .bind(storable(order.created_at)?)
                .bind(to_json(&order.state)?)
                .bind(order.state.as_str())
                .bind(tries_column(&order.tries)?);
        }
        let mut inserted = HashSet::with_capacity(run.len());
        for row in query.fetch_all(&mut *connection).await.map_err(from_sqlx)? {
            let client: Option<String> = row.value("client")?;
            let key: Option<String> = row.value("idempotency_key")?;
            let key = client
                .zip(key)
                .map(|(client, key)| IdempotencyKey { client, key });
            inserted.insert((OperationId::from_bytes(row.bytes("id")?), key));
        }
        for (place, order) in run {
            // Removed, so that only the first of two equal orders is the new one.
            let outcome = if inserted.remove(&(order.id, order.idempotency_key.clone())) {
                OrderInsert::Inserted
            } else {
                OrderInsert::Exists(Box::new(obstacle(connection, order).await?))
            };
            outcomes.push((*place, outcome));
        }
    }
    Ok(outcomes)
}

/// What keeps an order from being new.
async fn obstacle(connection: &mut Connection<'_>, order: &OrderRecord) -> Result<OrderRecord, CatalogError> {
    if let Some(kept) = orders::by_id(&mut *connection, order.id).await? {
        return Ok(kept);
    }
    let kept = match &order.idempotency_key {
        Some(key) => orders::by_key(&mut *connection, key).await?,
        None => None,
    };
    kept.ok_or_else(|| failed("an order was refused although nothing stands against it"))
}

/// Sets the states; of two for the same order the later one stays. Says what the
/// journal is to learn of it.
pub(super) async fn set_states(
    connection: &mut Connection<'_>,
    states: &[(OperationId, &OrderState)],
) -> Result<Vec<News>, CatalogError> {
    // SQLite does not say which of two rows for the same order it would take.
    let last: HashMap<OperationId, &OrderState> = states.iter().copied().collect();
    let last: Vec<(OperationId, &OrderState)> = last.into_iter().collect();
    for (sql, run) in SET_STATE.runs(&last) {
        let mut query = sql::query(sql);
        for (id, state) in run {
            query = query
                .bind(id.as_bytes().to_vec())
                .bind(to_json(state)?)
                .bind(state.as_str());
        }
        query.execute(&mut *connection).await.map_err(from_sqlx)?;
    }
    let mut news = Vec::new();
    for (id, _) in last {
        news.extend(news_of(connection, id).await?);
    }
    Ok(news)
}

async fn news_of(connection: &mut Connection<'_>, id: OperationId) -> Result<Option<News>, CatalogError> {
    let order = orders::by_id(connection, id).await?;
    Ok(order.as_ref().and_then(News::of_order))
}

pub(super) const SET_TRIES: &str =
    "UPDATE orders SET state = ?2, status = ?3, tries = ?4, is_closed = 0 WHERE id = ?1";

/// Sets a state together with what came of the attempts, and opens the order. Says what
/// the journal is to learn of it.
pub(super) async fn set_tries(
    connection: &mut Connection<'_>,
    id: OperationId,
    state: &OrderState,
    tries: &Tries,
) -> Result<Option<News>, CatalogError> {
    let query = sql::query(SET_TRIES)
        .bind(id.as_bytes().to_vec())
        .bind(to_json(state)?)
        .bind(state.as_str())
        .bind(tries_column(tries)?);
    query.execute(&mut *connection).await.map_err(from_sqlx)?;
    news_of(connection, id).await
}

/// Notes that nothing is left to do for these orders.
pub(super) async fn close(connection: &mut Connection<'_>, ids: &[OperationId]) -> Result<(), CatalogError> {
    for (sql, run) in CLOSE.runs(ids) {
        let mut query = sql::query(sql);
        for id in run {
            query = query.bind(id.as_bytes().to_vec());
        }
        query.execute(&mut *connection).await.map_err(from_sqlx)?;
    }
    Ok(())
}

/// Notes the position with each order that these events record.
pub(super) async fn mark_recorded(
    connection: &mut Connection<'_>,
    entries: &[&LogEntry],
) -> Result<(), CatalogError> {
    let recorded = first_records(entries);
    for (sql, run) in MARK_RECORDED.runs(&recorded) {
        let mut query = sql::query(sql);
        for (id, index) in run {
            query = query.bind(id.as_bytes().to_vec()).bind(storable(*index)?);
        }
        query.execute(&mut *connection).await.map_err(from_sqlx)?;
    }
    Ok(())
}

/// The orders that events record, each with the first position that does.
fn first_records(entries: &[&LogEntry]) -> Vec<(OperationId, u64)> {
    let mut seen = HashSet::new();
    let mut records = Vec::new();
    for LogEntry { index, event, .. } in entries {
        if event.event_type == EventKind::Transfer
            && let Some(operation) = event.details.get(OPERATION)
            && let Ok(id) = operation.parse::<OperationId>()
            // As the index over the log has it, which compares texts.
            && id.to_string() == *operation
            && seen.insert(id)
        {
            records.push((id, *index));
        }
    }
    records
}
