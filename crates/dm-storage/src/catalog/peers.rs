//! The peer book.

use std::sync::LazyLock;

use async_trait::async_trait;
use dm_core::{
    peer::PeerRecord,
    ports::{CatalogError, PeerCatalog},
};
use sqlx::{SqliteConnection, sqlite::SqliteRow};

use super::{
    SqliteCatalog,
    bulk::BulkStatement,
    change::SingleChange,
    columns::{Columns, storable},
    error::{corrupt, failed, from_sqlx},
    pages::Source,
};

const PEERS: Source = Source::new("peers", "peer_id");

pub(super) const LIST: &str = "SELECT * FROM peers ORDER BY last_seen DESC, peer_id";
pub(super) const REMOVE: &str = "DELETE FROM peers WHERE peer_id IN (SELECT value FROM json_each(?))";

static PUT: LazyLock<BulkStatement> = LazyLock::new(|| {
    BulkStatement::new(
        "INSERT OR REPLACE INTO peers
            (peer_id, addresses, first_seen, last_seen, latency_ms, successes, failures) SELECT * FROM",
        7,
        "",
    )
});

pub(super) async fn put(
    connection: &mut SqliteConnection,
    records: &[PeerRecord],
) -> Result<(), CatalogError> {
    for (sql, run) in PUT.runs(records) {
        let mut query = sqlx::query(sql);
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

pub(super) async fn remove(
    connection: &mut SqliteConnection,
    peer_ids: &[String],
) -> Result<(), CatalogError> {
    let query = sqlx::query(REMOVE).bind(json(peer_ids)?);
    query.execute(connection).await.map(|_| ()).map_err(from_sqlx)
}

fn json(texts: &[String]) -> Result<String, CatalogError> {
    serde_json::to_string(texts).map_err(|_| failed("texts have no JSON form"))
}

fn read(row: &SqliteRow) -> Result<PeerRecord, CatalogError> {
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
        self.all(PEERS, sqlx::query(LIST), read).await
    }

    async fn remove_peers(&self, peer_ids: &[String]) -> Result<(), CatalogError> {
        self.make(SingleChange::RemovePeers(peer_ids.to_vec())).await
    }
}
