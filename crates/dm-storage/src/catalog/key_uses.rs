//! Which versions of the node's key wrap content keys, and which must not any more.

use std::collections::BTreeMap;

use async_trait::async_trait;
use dm_core::ports::{CatalogError, KeyUses, Retirement};

use super::{
    SqliteCatalog,
    change::{OrderedChange, Outcome},
    columns::Columns,
    error::{failed, from_sqlx},
    sql::{self, Connection},
};

/// Walks through the indexes of versions: an operator asks for it, no request of a client.
const USES: &str = "SELECT key_version, count(*) AS wraps
    FROM (SELECT key_version FROM readable_objects UNION ALL SELECT key_version FROM prepared_keys
        UNION ALL SELECT key_version FROM uploads WHERE key_version IS NOT NULL) AS subquery
    GROUP BY key_version";
pub(super) const WRAPS: &str = "SELECT (SELECT count(*) FROM readable_objects WHERE key_version = ?1)
    + (SELECT count(*) FROM prepared_keys WHERE key_version = ?1)
    + (SELECT count(*) FROM uploads WHERE key_version = ?1)";
pub(super) const RETIRE: &str =
    "INSERT INTO retired_key_versions (version) VALUES (?) ON CONFLICT DO NOTHING";

/// Retires a version that wraps nothing. The writer's transaction keeps others from
/// wrapping with it between the count and the mark.
pub(super) async fn retire(
    connection: &mut Connection<'_>,
    version: u32,
) -> Result<Retirement, CatalogError> {
    let count = sql::query_scalar(WRAPS).bind(version);
    let count: i64 = count.fetch_one(&mut *connection).await.map_err(from_sqlx)?;
    if count > 0 {
        return Ok(Retirement::Wraps(count.unsigned_abs()));
    }
    let mark = sql::query(RETIRE).bind(version);
    mark.execute(connection).await.map_err(from_sqlx)?;
    Ok(Retirement::Retired)
}

#[async_trait]
impl KeyUses for SqliteCatalog {
    async fn uses(&self) -> Result<BTreeMap<u32, u64>, CatalogError> {
        let rows = sql::query(USES).fetch_all(&self.reads).await.map_err(from_sqlx)?;
        rows.iter()
            .map(|row| Ok((row.small_number("key_version")?, row.number("wraps")?)))
            .collect()
    }

    async fn retire(&self, version: u32) -> Result<Retirement, CatalogError> {
        match self.writer.write(OrderedChange::RetireKey(version)).await? {
            Outcome::Retirement(retirement) => Ok(retirement),
            _ => Err(failed("the catalog does not say what became of a key version")),
        }
    }
}
