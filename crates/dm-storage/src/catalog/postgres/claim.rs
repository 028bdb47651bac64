//! Whose database it is: a row of `writers` has the node account as its id, of 20 bytes. Those of
//! writers have 16.

use dm_core::{Address, ports::CatalogError};
use sqlx::{Connection, PgConnection};

use super::super::error::from_sqlx;

/// As every writer does, so that two nodes do not claim it at once.
const LOCK: &str = "SELECT 1 FROM catalog_head WHERE catalog_head.only = 1 FOR UPDATE";
const OTHER_ACCOUNT: &str = "SELECT id FROM writers WHERE length(id) = 20 AND id <> $1";
const CLAIM: &str = "INSERT INTO writers (id, batch, at) VALUES ($1, 0, clock_timestamp())
    ON CONFLICT (id) DO NOTHING";

/// Makes the database that of the node of this account.
///
/// # Errors
/// [`CatalogError::Conflict`] where it belongs to another account.
pub(super) async fn claim(connection: &mut PgConnection, account: Address) -> Result<(), CatalogError> {
    let mut transaction = connection.begin().await.map_err(from_sqlx)?;
    sqlx::query(LOCK)
        .persistent(false)
        .execute(&mut *transaction)
        .await
        .map_err(from_sqlx)?;
    let other: Option<Vec<u8>> = sqlx::query_scalar(OTHER_ACCOUNT)
        .bind(account.as_slice())
        .persistent(false)
        .fetch_optional(&mut *transaction)
        .await
        .map_err(from_sqlx)?;
    if let Some(other) = other {
        return Err(CatalogError::Conflict(format!(
            "the database belongs to the node of the account 0x{}",
            hex::encode(other)
        )));
    }
    sqlx::query(CLAIM)
        .bind(account.as_slice())
        .persistent(false)
        .execute(&mut *transaction)
        .await
        .map_err(from_sqlx)?;
    transaction.commit().await.map_err(from_sqlx)
}
