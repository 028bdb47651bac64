//! The checkpoints of the log that stand on the chain.

use std::collections::BTreeMap;

use dm_core::{
    B256,
    news::News,
    ports::{AnchoredCheckpoint, CatalogError, LogEntry},
    receipt::{Anchor, Checkpoint},
};

use super::{
    SqliteCatalog,
    columns::{Columns, bound, storable},
    error::{failed, from_sqlx},
    event_log,
    pages::Source,
    sql::{self, Connection, Dialects, Pool, Row},
    traced_news::TracedNews,
};

const CHECKPOINTS: Source = Source::new("checkpoints", "size");

/// Triggers of the database see to receipts whose anchor moves or leaves.
pub(super) const PUT: &str = "INSERT INTO checkpoints
    (size, root, chain_id, contract, tx_hash, block, timestamp, is_final) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (size) DO UPDATE SET root = excluded.root, chain_id = excluded.chain_id,
        contract = excluded.contract, tx_hash = excluded.tx_hash, block = excluded.block,
        timestamp = excluded.timestamp, is_final = excluded.is_final";
pub(super) const AT: &str = "SELECT * FROM checkpoints WHERE size = ?";
/// Those that the checkpoint before this one does not cover.
pub(super) const SHARES_COVERED_FIRST: &str = "SELECT * FROM events
    WHERE position >= coalesce((SELECT max(size) FROM checkpoints WHERE size < ?1), 0) AND position < ?1
        AND +kind IN ('data_share', 'grant') ORDER BY position";
pub(super) const REMOVE: &str = "DELETE FROM checkpoints WHERE size = ?";
pub(super) const COVERING: &str = "SELECT * FROM checkpoints WHERE size > ? ORDER BY size LIMIT 1";
pub(super) const COVERING_ALL: Dialects = Dialects {
    sqlite: "SELECT wanted.value AS event, c.* FROM json_each(?) AS wanted
        CROSS JOIN checkpoints c
        ON c.size = (SELECT size FROM checkpoints WHERE size > wanted.value ORDER BY size LIMIT 1)",
    postgres: "SELECT CAST(wanted.value AS BIGINT) AS event, c.*
        FROM json_array_elements_text(CAST(? AS JSON)) AS wanted (value)
        JOIN LATERAL (SELECT * FROM checkpoints
            WHERE size > CAST(wanted.value AS BIGINT) ORDER BY size LIMIT 1) AS c ON TRUE",
};
pub(super) const LAST: &str = "SELECT * FROM checkpoints ORDER BY size DESC LIMIT 1";
pub(super) const OPEN: &str = "SELECT * FROM checkpoints WHERE is_final = 0 ORDER BY size";

/// Keeps a checkpoint. Where it is at a new place, all shares are news that it is the
/// first to cover.
pub(super) async fn put(
    connection: &mut Connection<'_>,
    anchored: &AnchoredCheckpoint,
) -> Result<Vec<TracedNews>, CatalogError> {
    let before = sql::query(AT).bind(storable(anchored.checkpoint.size)?);
    let before = before.fetch_optional(&mut *connection).await.map_err(from_sqlx)?;
    let place = |anchor: &Anchor| (anchor.tx_hash, anchor.block, anchor.timestamp);
    let before = before.as_ref().map(read).transpose()?;
    write(connection, anchored).await?;
    match before {
        Some(before) if place(&before.anchor) == place(&anchored.anchor) => Ok(Vec::new()),
        _ => anchored_shares(connection, anchored).await,
    }
}

async fn anchored_shares(
    connection: &mut Connection<'_>,
    anchored: &AnchoredCheckpoint,
) -> Result<Vec<TracedNews>, CatalogError> {
    let query = sql::query(SHARES_COVERED_FIRST).bind(storable(anchored.checkpoint.size)?);
    let rows = query.fetch_all(connection).await.map_err(from_sqlx)?;
    let mut news = Vec::with_capacity(rows.len());
    for row in &rows {
        let LogEntry { event, trace, .. } = event_log::read(row)?;
        let of_anchor = News::of_anchor(&event, &anchored.anchor);
        news.extend(of_anchor.map(|news| TracedNews { news, trace }));
    }
    Ok(news)
}

async fn write(connection: &mut Connection<'_>, anchored: &AnchoredCheckpoint) -> Result<(), CatalogError> {
    let AnchoredCheckpoint {
        checkpoint,
        anchor,
        is_final,
    } = anchored;
    let query = sql::query(PUT)
        .bind(storable(checkpoint.size)?)
        .bind(checkpoint.root.to_vec())
        .bind(storable(anchor.chain_id)?)
        .bind(anchor.contract.to_vec())
        .bind(anchor.tx_hash.to_vec())
        .bind(storable(anchor.block)?)
        .bind(storable(anchor.timestamp)?)
        .bind(*is_final);
    query.execute(connection).await.map(|_| ()).map_err(from_sqlx)
}

pub(super) async fn remove(connection: &mut Connection<'_>, size: u64) -> Result<(), CatalogError> {
    let Ok(size) = i64::try_from(size) else {
        return Ok(());
    };
    let query = sql::query(REMOVE).bind(size);
    query.execute(connection).await.map(|_| ()).map_err(from_sqlx)
}

/// The first checkpoint with more than `index` events.
pub(super) async fn covering(pool: &Pool, index: u64) -> Result<Option<AnchoredCheckpoint>, CatalogError> {
    let query = sql::query(COVERING).bind(bound(index));
    let row = query.fetch_optional(pool).await.map_err(from_sqlx)?;
    row.as_ref().map(read).transpose()
}

/// The first checkpoint with more events than each index, for those that have one.
pub(super) async fn covering_all(
    pool: &Pool,
    indexes: &[u64],
) -> Result<BTreeMap<u64, AnchoredCheckpoint>, CatalogError> {
    let wanted: Vec<i64> = indexes.iter().copied().map(bound).collect();
    let wanted = serde_json::to_string(&wanted).map_err(|_| failed("positions have no JSON form"))?;
    let query = sql::query(COVERING_ALL).bind(wanted);
    let rows = query.fetch_all(pool).await.map_err(from_sqlx)?;
    rows.iter()
        .map(|row| Ok((row.number("event")?, read(row)?)))
        .collect()
}

/// The largest checkpoint.
pub(super) async fn last(pool: &Pool) -> Result<Option<AnchoredCheckpoint>, CatalogError> {
    let row = sql::query(LAST).fetch_optional(pool).await.map_err(from_sqlx)?;
    row.as_ref().map(read).transpose()
}

/// Checkpoints that are not final yet, smallest first.
pub(super) async fn open(catalog: &SqliteCatalog) -> Result<Vec<AnchoredCheckpoint>, CatalogError> {
    catalog.all(CHECKPOINTS, sql::query(OPEN), read).await
}

fn read(row: &Row) -> Result<AnchoredCheckpoint, CatalogError> {
    Ok(AnchoredCheckpoint {
        checkpoint: Checkpoint {
            size: row.number("size")?,
            root: B256::from(row.bytes("root")?),
        },
        anchor: Anchor {
            chain_id: row.number("chain_id")?,
            contract: row.address("contract")?,
            tx_hash: B256::from(row.bytes("tx_hash")?),
            block: row.number("block")?,
            timestamp: row.number("timestamp")?,
        },
        is_final: row.value("is_final")?,
    })
}
