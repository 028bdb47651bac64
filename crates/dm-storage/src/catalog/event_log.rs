//! The compliance log: events in their order and the nodes of their tree.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    ops::Range,
    str::FromStr,
    sync::LazyLock,
};

use async_trait::async_trait;
use dm_core::{
    Address, B256,
    event::{Event, EventKind},
    hash::{DataHash, Locator},
    mandate::Mandate,
    ports::{
        AnchoredCheckpoint, CatalogError, EventFilter, EventLog, LogEntry, LogPage, TracedEvent, TreeNode,
    },
    span::TraceContext,
};

use super::{
    SqliteCatalog,
    bulk::BulkStatement,
    change::{BulkChange, SingleChange},
    checkpoints,
    columns::{Columns, bound, row_limit, storable},
    deliveries,
    error::{corrupt, failed, from_sqlx},
    history, order_writes,
    sql::{self, Connection, Dialects, Pool, Row, Target},
};

pub(super) const LENGTH: &str = "SELECT coalesce(max(position) + 1, 0) AS length FROM events";
pub(super) const GET: &str = "SELECT * FROM events WHERE position = ?";
pub(super) const TRACED: &str = "SELECT trace, timestamp FROM events
    WHERE position >= ? AND position < ? AND trace IS NOT NULL ORDER BY position LIMIT +?";
/// The positions come as one JSON array, so that one statement serves any number.
pub(super) const NODES: Dialects = Dialects {
    sqlite: "SELECT n.position, n.hash FROM json_each(?) AS wanted
        CROSS JOIN tree_nodes n ON n.position = wanted.value",
    postgres: "SELECT n.position, n.hash FROM json_array_elements_text(CAST(? AS JSON)) AS wanted (value)
        JOIN tree_nodes n ON n.position = CAST(wanted.value AS BIGINT)",
};

static INSERT_EVENTS: LazyLock<BulkStatement> = LazyLock::new(|| {
    BulkStatement::new(
        "INSERT INTO events
            (position, version, kind, log, data_hash, recipient, timestamp, nonce, details, mandate, trace)
         SELECT * FROM",
        11,
        "",
    )
});

static INSERT_NODES: LazyLock<BulkStatement> =
    LazyLock::new(|| BulkStatement::new("INSERT INTO tree_nodes (position, hash) SELECT * FROM", 2, ""));

pub(super) static MARK_RECORDED: LazyLock<BulkStatement> = LazyLock::new(|| {
    BulkStatement::new(
        "UPDATE shares SET event_index = column3 FROM",
        3,
        "AND locator = column1 AND recipient = column2 AND event_index IS NULL",
    )
});

/// Number of events.
pub(super) async fn length(executor: impl Into<Target<'_>>) -> Result<u64, CatalogError> {
    let row = sql::query(LENGTH).fetch_one(executor).await.map_err(from_sqlx)?;
    row.number("length")
}

/// Writes events that were found to go on where the log ends, their tree
/// nodes, and at which position their shares, deliveries and orders are recorded.
pub(super) async fn append(
    connection: &mut Connection<'_>,
    entries: &[&LogEntry],
    nodes: &mut [&TreeNode],
) -> Result<(), CatalogError> {
    insert_events(connection, entries).await?;
    // In the table's order, so that it grows at its end.
    nodes.sort_unstable_by_key(|node| node.position);
    insert_nodes(connection, nodes).await?;
    mark_recorded(connection, entries).await?;
    deliveries::mark_recorded(connection, entries).await?;
    order_writes::mark_recorded(connection, entries).await
}

async fn insert_events(connection: &mut Connection<'_>, entries: &[&LogEntry]) -> Result<(), CatalogError> {
    for (sql, run) in INSERT_EVENTS.runs(entries) {
        let mut query = sql::query(sql);
        for LogEntry { index, event, trace } in run {
            query = query
                .bind(storable(*index)?)
                .bind(event.version)
                .bind(event.event_type.as_str())
                .bind(event.log.to_vec())
                .bind(event.data_hash.map(|hash| hash.as_bytes().to_vec()))
                .bind(event.recipient.map(|recipient| recipient.to_vec()))
                .bind(storable(event.timestamp)?)
                .bind(event.nonce.to_vec())
                .bind(details_to_json(&event.details)?)
                .bind(mandate_to_json(event.mandate.as_deref())?)
                .bind(trace.map(|trace| trace.to_bytes().to_vec()));
        }
        query.execute(&mut *connection).await.map_err(from_sqlx)?;
    }
    Ok(())
}

async fn insert_nodes(connection: &mut Connection<'_>, nodes: &[&TreeNode]) -> Result<(), CatalogError> {
    for (sql, run) in INSERT_NODES.runs(nodes) {
        let mut query = sql::query(sql);
        for node in run {
            query = query.bind(storable(node.position)?).bind(node.hash.to_vec());
        }
        query.execute(&mut *connection).await.map_err(from_sqlx)?;
    }
    Ok(())
}

/// Notes the position with each share that these events record.
async fn mark_recorded(connection: &mut Connection<'_>, entries: &[&LogEntry]) -> Result<(), CatalogError> {
    let recorded = first_records(entries);
    for (sql, run) in MARK_RECORDED.runs(&recorded) {
        let mut query = sql::query(sql);
        for (locator, recipient, index) in run {
            query = query
                .bind(locator.as_bytes().to_vec())
                .bind(recipient.to_vec())
                .bind(storable(*index)?);
        }
        query.execute(&mut *connection).await.map_err(from_sqlx)?;
    }
    Ok(())
}

/// The shares that events record, each with the first position that does.
fn first_records(entries: &[&LogEntry]) -> Vec<(Locator, Address, u64)> {
    let mut seen = HashSet::new();
    let mut records = Vec::new();
    for LogEntry { index, event, .. } in entries {
        if matches!(event.event_type, EventKind::DataShare | EventKind::Grant)
            && let (Some(data_hash), Some(recipient)) = (event.data_hash, event.recipient)
            && seen.insert((data_hash, recipient))
        {
            records.push((data_hash.locator(), recipient, *index));
        }
    }
    records
}

async fn nodes(pool: &Pool, positions: &[u64]) -> Result<Vec<B256>, CatalogError> {
    let wanted: Vec<i64> = positions.iter().copied().map(bound).collect();
    let wanted = serde_json::to_string(&wanted).map_err(|_| failed("positions have no JSON form"))?;
    let rows = sql::query(NODES)
        .bind(wanted)
        .fetch_all(pool)
        .await
        .map_err(from_sqlx)?;
    let mut found = HashMap::with_capacity(rows.len());
    for row in rows {
        found.insert(row.number("position")?, B256::from(row.bytes("hash")?));
    }
    let hash = |position: &u64| {
        let missing = || corrupt(format_args!("the log's tree has no node {position}"));
        found.get(position).copied().ok_or_else(missing)
    };
    positions.iter().map(hash).collect()
}

pub(super) fn read(row: &Row) -> Result<LogEntry, CatalogError> {
    let kind: &str = row.value("kind")?;
    let version = u8::try_from(row.small_number("version")?)
        .map_err(|_| corrupt("an event's version is out of range"))?;
    Ok(LogEntry {
        index: row.number("position")?,
        event: Event {
            version,
            event_type: EventKind::from_str(kind).map_err(|_| corrupt("an event has no known kind"))?,
            log: row.address("log")?,
            data_hash: row.optional_bytes("data_hash")?.map(DataHash::from_bytes),
            recipient: row.optional_bytes("recipient")?.map(Address::new),
            timestamp: row.number("timestamp")?,
            nonce: row.bytes("nonce")?,
            details: details_from_json(row.value("details")?)?,
            mandate: mandate_from_json(row.value("mandate")?)?,
        },
        trace: trace_of(row)?,
    })
}

/// The trace that a row belongs to. Bytes that are none cost the row nothing else.
pub(super) fn trace_of(row: &Row) -> Result<Option<TraceContext>, CatalogError> {
    let bytes: Option<&[u8]> = row.value("trace")?;
    Ok(bytes.and_then(TraceContext::from_bytes))
}

async fn traced(pool: &Pool, positions: Range<u64>, limit: usize) -> Result<Vec<TracedEvent>, CatalogError> {
    let rows = sql::query(TRACED)
        .bind(bound(positions.start))
        .bind(bound(positions.end))
        .bind(row_limit(limit))
        .fetch_all(pool)
        .await
        .map_err(from_sqlx)?;
    let mut found = Vec::with_capacity(rows.len());
    for row in &rows {
        if let Some(trace) = trace_of(row)? {
            let recorded_at = row.number("timestamp")?;
            found.push(TracedEvent { trace, recorded_at });
        }
    }
    Ok(found)
}

fn details_to_json(details: &BTreeMap<String, String>) -> Result<Option<String>, CatalogError> {
    if details.is_empty() {
        return Ok(None);
    }
    serde_json::to_string(details)
        .map(Some)
        .map_err(|_| failed("details have no JSON form"))
}

fn details_from_json(json: Option<&str>) -> Result<BTreeMap<String, String>, CatalogError> {
    json.map_or_else(|| Ok(BTreeMap::new()), serde_json::from_str)
        .map_err(|_| corrupt("an event's details are no JSON object of texts"))
}

fn mandate_to_json(mandate: Option<&Mandate>) -> Result<Option<String>, CatalogError> {
    mandate
        .map(serde_json::to_string)
        .transpose()
        .map_err(|_| failed("a mandate has no JSON form"))
}

fn mandate_from_json(json: Option<&str>) -> Result<Option<Box<Mandate>>, CatalogError> {
    json.map(serde_json::from_str)
        .transpose()
        .map_err(|_| corrupt("an event's mandate is no JSON object of a mandate"))
}

#[async_trait]
impl EventLog for SqliteCatalog {
    async fn append(&self, entries: &[LogEntry], nodes: &[TreeNode]) -> Result<(), CatalogError> {
        let (entries, nodes) = (entries.to_vec(), nodes.to_vec());
        self.make(BulkChange::Append { entries, nodes }).await
    }

    async fn event_count(&self) -> Result<u64, CatalogError> {
        length(&self.reads).await
    }

    async fn event(&self, index: u64) -> Result<Option<LogEntry>, CatalogError> {
        let Ok(index) = i64::try_from(index) else {
            return Ok(None);
        };
        let row = sql::query(GET)
            .bind(index)
            .fetch_optional(&self.reads)
            .await
            .map_err(from_sqlx)?;
        row.as_ref().map(read).transpose()
    }

    async fn events(
        &self,
        filter: &EventFilter,
        before: Option<u64>,
        limit: usize,
    ) -> Result<LogPage, CatalogError> {
        history::page(&self.reads, filter, before.map_or(i64::MAX, bound), limit).await
    }

    async fn traced_events(
        &self,
        positions: Range<u64>,
        limit: usize,
    ) -> Result<Vec<TracedEvent>, CatalogError> {
        traced(&self.reads, positions, limit).await
    }

    async fn tree_nodes(&self, positions: &[u64]) -> Result<Vec<B256>, CatalogError> {
        nodes(&self.reads, positions).await
    }

    async fn put_checkpoint(&self, checkpoint: &AnchoredCheckpoint) -> Result<(), CatalogError> {
        self.make(SingleChange::PutCheckpoint(*checkpoint)).await
    }

    async fn remove_checkpoint(&self, size: u64) -> Result<(), CatalogError> {
        self.make(SingleChange::RemoveCheckpoint(size)).await
    }

    async fn checkpoint_covering(&self, index: u64) -> Result<Option<AnchoredCheckpoint>, CatalogError> {
        checkpoints::covering(&self.reads, index).await
    }

    async fn checkpoints_covering(
        &self,
        indexes: &[u64],
    ) -> Result<BTreeMap<u64, AnchoredCheckpoint>, CatalogError> {
        checkpoints::covering_all(&self.reads, indexes).await
    }

    async fn last_checkpoint(&self) -> Result<Option<AnchoredCheckpoint>, CatalogError> {
        checkpoints::last(&self.reads).await
    }

    async fn open_checkpoints(&self) -> Result<Vec<AnchoredCheckpoint>, CatalogError> {
        checkpoints::open(self).await
    }
}
