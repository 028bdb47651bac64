//! API keys, which command-line tools may change beside a running node.

use std::collections::BTreeSet;

use async_trait::async_trait;
use dm_core::{
    api_key::{ApiKeyRecord, Scope},
    ports::{ApiKeyCatalog, CatalogError},
};
use sqlx::{SqliteConnection, sqlite::SqliteRow};

use super::{
    SqliteCatalog,
    change::{Change, Outcome},
    columns::{Columns, storable},
    error::{corrupt, from_sqlx},
};

pub(super) const INSERT: &str = "INSERT INTO api_keys
    (id, name, secret_hash, scopes, created_at, expires_at, revoked_at) VALUES (?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (id) DO NOTHING";
pub(super) const REVOKE: &str = "UPDATE api_keys SET revoked_at = coalesce(revoked_at, ?) WHERE id = ?";
pub(super) const GET: &str = "SELECT * FROM api_keys WHERE id = ?";
pub(super) const LIST: &str = "SELECT * FROM api_keys ORDER BY created_at, ordinal";
/// Counted by triggers, so that it does not matter which process wrote, and
/// nothing but a change of the keys counts.
pub(super) const GENERATION: &str = "SELECT value FROM api_key_generation WHERE only = 1";

pub(super) async fn insert(
    connection: &mut SqliteConnection,
    key: &ApiKeyRecord,
) -> Result<Outcome, CatalogError> {
    let scopes: Vec<&str> = key.scopes.iter().map(|scope| scope.as_str()).collect();
    let query = sqlx::query(INSERT)
        .bind(key.id.clone())
        .bind(key.name.clone())
        .bind(key.secret_hash.to_vec())
        .bind(scopes.join(","))
        .bind(storable(key.created_at)?)
        .bind(key.expires_at.map(storable).transpose()?)
        .bind(key.revoked_at.map(storable).transpose()?);
    let done = query.execute(connection).await.map_err(from_sqlx)?;
    Ok(match done.rows_affected() {
        0 => Outcome::Refused(format!("there is an API key {} already", key.id)),
        _ => Outcome::Done,
    })
}

pub(super) async fn revoke(
    connection: &mut SqliteConnection,
    id: &str,
    now: u64,
) -> Result<Outcome, CatalogError> {
    let query = sqlx::query(REVOKE).bind(storable(now)?).bind(id.to_owned());
    let done = query.execute(connection).await.map_err(from_sqlx)?;
    Ok(Outcome::Existed(done.rows_affected() > 0))
}

fn read(row: &SqliteRow) -> Result<ApiKeyRecord, CatalogError> {
    let scopes: &str = row.value("scopes")?;
    let scopes: Result<BTreeSet<Scope>, _> = scopes
        .split(',')
        .filter(|scope| !scope.is_empty())
        .map(str::parse)
        .collect();
    Ok(ApiKeyRecord {
        id: row.value("id")?,
        name: row.value("name")?,
        secret_hash: row.bytes("secret_hash")?,
        scopes: scopes.map_err(|_| corrupt("an API key has an unknown scope"))?,
        created_at: row.number("created_at")?,
        expires_at: row.optional_number("expires_at")?,
        revoked_at: row.optional_number("revoked_at")?,
    })
}

#[async_trait]
impl ApiKeyCatalog for SqliteCatalog {
    async fn insert_api_key(&self, key: &ApiKeyRecord) -> Result<(), CatalogError> {
        self.make(Change::InsertApiKey(key.clone())).await
    }

    async fn api_key(&self, id: &str) -> Result<Option<ApiKeyRecord>, CatalogError> {
        let query = sqlx::query(GET).bind(id.to_owned());
        let row = query.fetch_optional(&self.reads).await.map_err(from_sqlx)?;
        row.as_ref().map(read).transpose()
    }

    async fn api_keys(&self) -> Result<Vec<ApiKeyRecord>, CatalogError> {
        let rows = sqlx::query(LIST)
            .fetch_all(&self.reads)
            .await
            .map_err(from_sqlx)?;
        rows.iter().map(read).collect()
    }

    async fn revoke_api_key(&self, id: &str, now: u64) -> Result<bool, CatalogError> {
        self.make_if_there(Change::RevokeApiKey {
            id: id.to_owned(),
            now,
        })
        .await
    }

    async fn api_key_generation(&self) -> Result<u64, CatalogError> {
        let row = sqlx::query(GENERATION)
            .fetch_one(&self.reads)
            .await
            .map_err(from_sqlx)?;
        row.number("value")
    }
}
