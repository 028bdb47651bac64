//! The instances of this node.

use async_trait::async_trait;
use dm_core::{
    instance::{Instance, InstanceId, SeenInstance},
    ports::{CatalogError, INSTANCE_KEPT_MS, Instances},
};

use super::{
    SqliteCatalog,
    change::{Outcome, SingleChange},
    clock::with_now,
    columns::{Columns, storable},
    error::{corrupt, failed, from_sqlx},
    pages::Source,
    sql::{self, Connection, Dialects, Row},
};

const INSTANCES: Source = Source::new("instances", "id");

const NOW: Dialects = with_now!("");
pub(super) const PUT: &str = "INSERT INTO instances
    (id, name, version, peer_id, addresses, started_at, seen_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6)
    ON CONFLICT (id) DO UPDATE SET name = excluded.name, version = excluded.version,
        peer_id = excluded.peer_id, addresses = excluded.addresses, seen_at = excluded.seen_at";
/// There are a few; none has an index.
const FORGET: &str = "DELETE FROM instances WHERE seen_at < ?";
pub(super) const REMOVE: &str = "DELETE FROM instances WHERE id = ?";
const LIST: Dialects = with_now!(", i.* FROM instances i ORDER BY i.started_at, i.id");

pub(super) async fn note(connection: &mut Connection<'_>, instance: &Instance) -> Result<(), CatalogError> {
    let row = sql::query(NOW)
        .fetch_one(&mut *connection)
        .await
        .map_err(from_sqlx)?;
    let now = row.number("now")?;
    let addresses =
        serde_json::to_string(&instance.addresses).map_err(|_| failed("texts have no JSON form"))?;
    let query = sql::query(PUT)
        .bind(instance.id.0.to_vec())
        .bind(instance.name.clone())
        .bind(instance.version.clone())
        .bind(instance.peer_id.clone())
        .bind(addresses)
        .bind(storable(now)?);
    query.execute(&mut *connection).await.map_err(from_sqlx)?;
    let silent = sql::query(FORGET).bind(storable(now.saturating_sub(INSTANCE_KEPT_MS))?);
    silent.execute(connection).await.map_err(from_sqlx)?;
    Ok(())
}

pub(super) async fn remove(connection: &mut Connection<'_>, id: InstanceId) -> Result<Outcome, CatalogError> {
    let query = sql::query(REMOVE).bind(id.0.to_vec());
    let removed = query.execute(connection).await.map_err(from_sqlx)?;
    Ok(Outcome::Existed(removed > 0))
}

fn read(row: &Row) -> Result<SeenInstance, CatalogError> {
    let addresses: &str = row.value("addresses")?;
    let seen_at = row.number("seen_at")?;
    Ok(SeenInstance {
        instance: Instance {
            id: InstanceId(row.bytes("id")?),
            name: row.value("name")?,
            version: row.value("version")?,
            peer_id: row.value("peer_id")?,
            addresses: serde_json::from_str(addresses)
                .map_err(|_| corrupt("an instance's addresses are no JSON array of texts"))?,
        },
        started_at: row.number("started_at")?,
        seen_at,
        silent_ms: row.number("now")?.saturating_sub(seen_at),
    })
}

#[async_trait]
impl Instances for SqliteCatalog {
    async fn note_instance(&self, instance: &Instance) -> Result<(), CatalogError> {
        self.make(SingleChange::NoteInstance(Box::new(instance.clone())))
            .await
    }

    async fn instances(&self) -> Result<Vec<SeenInstance>, CatalogError> {
        self.all(INSTANCES, sql::query(LIST), read).await
    }

    async fn remove_instance(&self, id: InstanceId) -> Result<bool, CatalogError> {
        self.make_if_there(SingleChange::RemoveInstance(id)).await
    }
}
