//! The peer book.

use std::sync::LazyLock;

use async_trait::async_trait;
use dm_core::{
    peer::PeerRecord,
    ports::{CatalogError, PeerCatalog},
};

use super::{
    SqliteCatalog,
    bulk::{BulkStatement, last_of_each},
    change::SingleChange,
    columns::{Columns, storable},
    error::{corrupt, failed, from_sqlx},
    pages::Source,
    sql::{self, Connection, Dialects, Row},
};

const PEERS: Source = Source::new("peers", "peer_id");

pub(super) const LIST: &str = "SELECT * FROM peers ORDER BY last_seen DESC, peer_id";
pub(super) const REMOVE: Dialects = Dialects {
    sqlite: "DELETE FROM peers WHERE peer_id IN (SELECT value FROM json_each(?))",
    postgres: "DELETE FROM peers WHERE peer_id IN (SELECT json_array_elements_text(CAST(? AS JSON)))",
};

static PUT: LazyLock<BulkStatement> = LazyLock::new(|| {
    BulkStatement::new(
        "INSERT INTO peers
            (peer_id, addresses, first_seen, last_seen, latency_ms, successes, failures) SELECT * FROM",
        7,
        "ON CONFLICT (peer_id) DO UPDATE SET addresses = excluded.addresses,
            first_seen = excluded.first_seen, last_seen = excluded.last_seen,
            latency_ms = excluded.latency_ms, successes = excluded.successes, failures = excluded.failures",
    )
});

pub(super) async fn put(connection: &mut Connection<'_>, records: &[PeerRecord]) -> Result<(), CatalogError> {
    let records = last_of_each(records, |record| &record.peer_id);
    for (sql, run) in PUT.runs(&records) {
        let mut query = sql::query(sql);
        for record in run {
            query = query
                .bind(record.peer_id.clone())
                .bind(json(&record.addresses)?)
                .bind(storable(record.first_seen)?)
                .bind(storable(record.last_seen)?)
                .bind(record.latency_ms)
                .bind(storable(record.successes)?)
                .bind(storable(record.failures)?);
        }
        query.execute(&mut *connection).await.map_err(from_sqlx)?;
    }
    Ok(())
}

pub(super) async fn remove(connection: &mut Connection<'_>, peer_ids: &[String]) -> Result<(), CatalogError> {
    let query = sql::query(REMOVE).bind(json(peer_ids)?);
    query.execute(connection).await.map(|_| ()).map_err(from_sqlx)
}

fn json(texts: &[String]) -> Result<String, CatalogError> {
    serde_json::to_string(texts).map_err(|_| failed("texts have no JSON form"))
}

fn read(row: &Row) -> Result<PeerRecord, CatalogError> {
    let addresses: &str = row.value("addresses")?;
    let latency = row.optional_number("latency_ms")?;
    Ok(PeerRecord {
        peer_id: row.value("peer_id")?,
        addresses: serde_json::from_str(addresses)
            .map_err(|_| corrupt("a peer's addresses are no JSON array of texts"))?,
        first_seen: row.number("first_seen")?,
        last_seen: row.number("last_seen")?,
        latency_ms: latency.map(|ms| u32::try_from(ms).unwrap_or(u32::MAX)),
        successes: row.number("successes")?,
        failures: row.number("failures")?,
    })
}

#[async_trait]
impl PeerCatalog for SqliteCatalog {
    async fn put_peers(&self, peers: &[PeerRecord]) -> Result<(), CatalogError> {
        self.make(SingleChange::PutPeers(peers.to_vec())).await
    }

    async fn peers(&self) -> Result<Vec<PeerRecord>, CatalogError> {
        self.all(PEERS, sql::query(LIST), read).await
    }

    async fn remove_peers(&self, peer_ids: &[String]) -> Result<(), CatalogError> {
        self.make(SingleChange::RemovePeers(peer_ids.to_vec())).await
    }
}
