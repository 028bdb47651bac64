//! Changes of keys that were begun.

use async_trait::async_trait;
use dm_core::ports::{BegunKeyChange, CatalogError, KeyChanges};

use super::{
    SqliteCatalog,
    change::SingleChange,
    columns::{Columns, storable},
    error::{failed, from_sqlx},
    pages::Source,
    sql::{self, Connection, Row},
};

const KEY_CHANGES: Source = Source::new("key_changes", "id");

pub(super) const BEGIN: &str = "INSERT INTO key_changes (id, change, events) VALUES (?, ?, ?)
    ON CONFLICT (id) DO UPDATE SET change = excluded.change, events = excluded.events";
pub(super) const END: &str = "DELETE FROM key_changes WHERE id = ?";
/// There are none but those that a stop has interrupted.
const BEGUN: &str = "SELECT id, change, events FROM key_changes ORDER BY events, id";

pub(super) async fn begin(
    connection: &mut Connection<'_>,
    begun: &BegunKeyChange,
) -> Result<(), CatalogError> {
    let change =
        serde_json::to_string(&begun.change).map_err(|_| failed("a change of keys has no JSON form"))?;
    let query = sql::query(BEGIN)
        .bind(begun.id.to_vec())
        .bind(change)
        .bind(storable(begun.events)?);
    query.execute(connection).await.map_err(from_sqlx)?;
    Ok(())
}

pub(super) async fn end(connection: &mut Connection<'_>, id: &[u8; 16]) -> Result<(), CatalogError> {
    let query = sql::query(END).bind(id.to_vec());
    query.execute(connection).await.map_err(from_sqlx)?;
    Ok(())
}

fn begun(row: &Row) -> Result<BegunKeyChange, CatalogError> {
    let change: String = row.value("change")?;
    Ok(BegunKeyChange {
        id: row.bytes("id")?,
        change: serde_json::from_str(&change)
            .map_err(|error| CatalogError::Corrupt(format!("a change of keys cannot be read: {error}")))?,
        events: row.number("events")?,
    })
}

#[async_trait]
impl KeyChanges for SqliteCatalog {
    async fn begin_key_change(&self, begun: &BegunKeyChange) -> Result<(), CatalogError> {
        self.make(SingleChange::KeyChangeBegun(Box::new(begun.clone())))
            .await
    }

    async fn begun_key_changes(&self) -> Result<Vec<BegunKeyChange>, CatalogError> {
        self.all(KEY_CHANGES, sql::query(BEGUN), begun).await
    }

    async fn end_key_change(&self, id: &[u8; 16]) -> Result<(), CatalogError> {
        self.make(SingleChange::KeyChangeEnded(*id)).await
    }
}
