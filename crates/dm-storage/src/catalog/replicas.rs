//! How many peers hold each object.

use dm_core::{envelope::ObjectId, ports::CatalogError};

use super::{
    columns::{Columns, storable},
    error::from_sqlx,
    sql::{self, Connection, Pool},
};

pub(super) const GET: &str = "SELECT replicas, sequence FROM replicas WHERE locator = ? AND owner = ?";

/// Three statements in one hand-over to SQLite's thread: the count, its copy
/// beside the readable object, and, with the first replica, that the receipts
/// of the object's shares are due. Parameters: locator, owner, sequence, count.
pub(super) const SET: &str = "
    INSERT INTO replicas (locator, owner, sequence, replicas) VALUES (?1, ?2, ?3, ?4)
    ON CONFLICT (locator, owner) DO UPDATE SET sequence = excluded.sequence, replicas = excluded.replicas;
    UPDATE readable_objects SET replicas = ?4 WHERE locator = ?1 AND owner = ?2;
    UPDATE shares SET receipt_state = 1 WHERE locator = ?1 AND receipt_state = 0 AND ?4 > 0";

/// Sets the count of an object, whether it is readable here or not.
pub(super) async fn set(
    connection: &mut Connection<'_>,
    id: &ObjectId,
    sequence: u64,
    replicas: u32,
) -> Result<(), CatalogError> {
    let query = sql::query(SET)
        .bind(id.locator.as_bytes().to_vec())
        .bind(id.owner.to_vec())
        .bind(storable(sequence)?)
        .bind(replicas);
    query.execute(connection).await.map(|_| ()).map_err(from_sqlx)
}

/// The count of an object and the sequence number that belongs to it.
pub(super) async fn get(pool: &Pool, id: &ObjectId) -> Result<Option<(u32, u64)>, CatalogError> {
    let query = sql::query(GET)
        .bind(id.locator.as_bytes().to_vec())
        .bind(id.owner.to_vec());
    let Some(row) = query.fetch_optional(pool).await.map_err(from_sqlx)? else {
        return Ok(None);
    };
    Ok(Some((row.small_number("replicas")?, row.number("sequence")?)))
}
