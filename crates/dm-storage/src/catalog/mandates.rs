//! The statements on which shares were made.

use async_trait::async_trait;
use dm_core::{
    B256,
    mandate::{KeptMandate, Mandate},
    ports::{CatalogError, UsedMandates},
};

use super::{
    SqliteCatalog,
    change::SingleChange,
    columns::{Columns, bound, storable},
    error::{corrupt, from_sqlx},
    sql::{self, Connection, Row},
};

/// What was kept first stays: another signature over the same statement says nothing new.
pub(super) const INSERT: &str =
    "INSERT INTO mandates (digest, user_id, key, key_kind, statement, signature, expires_at)
    VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (digest) DO NOTHING";
pub(super) const IS_USED: &str = "SELECT EXISTS (SELECT 1 FROM mandates WHERE digest = ?) AS is_used";
pub(super) const UNUSE: &str = "DELETE FROM mandates WHERE digest = ?";
pub(super) const FORGET: &str = "DELETE FROM mandates WHERE expires_at < ? AND NOT EXISTS
    (SELECT 1 FROM shares WHERE shares.event_index IS NULL AND shares.mandate = mandates.digest)";

pub(super) async fn insert(
    connection: &mut Connection<'_>,
    KeptMandate { mandate, expires_at }: &KeptMandate,
) -> Result<(), CatalogError> {
    let query = sql::query(INSERT)
        .bind(mandate.digest().to_vec())
        .bind(mandate.user_id.as_str().to_owned())
        .bind(mandate.key.clone())
        .bind(mandate.key_kind.as_str())
        .bind(mandate.statement.clone())
        .bind(mandate.signature.clone())
        .bind(storable(*expires_at)?);
    query.execute(connection).await.map(|_| ()).map_err(from_sqlx)
}

/// The share on this statement never was: the statement can be used.
pub(super) async fn unuse(connection: &mut Connection<'_>, digest: B256) -> Result<(), CatalogError> {
    let query = sql::query(UNUSE).bind(digest.to_vec());
    query.execute(connection).await.map(|_| ()).map_err(from_sqlx)
}

pub(super) async fn forget(connection: &mut Connection<'_>, now: u64) -> Result<(), CatalogError> {
    let query = sql::query(FORGET).bind(bound(now));
    query.execute(connection).await.map(|_| ()).map_err(from_sqlx)
}

/// The columns of a mandate that were joined to those of its share.
pub(super) fn read_joined(row: &Row) -> Result<Option<Box<KeptMandate>>, CatalogError> {
    let Some(expires_at) = row.optional_number("expires_at")? else {
        return Ok(None);
    };
    let (user_id, kind): (&str, &str) = (row.value("user_id")?, row.value("key_kind")?);
    let unreadable = |_| corrupt("a mandate names no valid user");
    Ok(Some(Box::new(KeptMandate {
        mandate: Mandate {
            key: row.value("key")?,
            key_kind: kind
                .parse()
                .map_err(|_| corrupt("a mandate has a key of an unknown kind"))?,
            signature: row.value("signature")?,
            statement: row.value("statement")?,
            user_id: user_id.parse().map_err(unreadable)?,
        },
        expires_at,
    })))
}

#[async_trait]
impl UsedMandates for SqliteCatalog {
    async fn is_mandate_used(&self, digest: B256) -> Result<bool, CatalogError> {
        let query = sql::query(IS_USED).bind(digest.to_vec());
        let row = query.fetch_one(&self.reads).await.map_err(from_sqlx)?;
        row.value("is_used")
    }

    async fn forget_mandates(&self, now: u64) -> Result<(), CatalogError> {
        self.make(SingleChange::ForgetMandates(now)).await
    }
}
