//! API keys, which command-line tools may change beside a running node.

use std::{collections::BTreeSet, sync::Arc};

use async_trait::async_trait;
use dm_core::{
    address::parse_address,
    api_key::{ApiKeyRecord, KeyUsage, Rights},
    ports::{ApiKeyCatalog, CatalogError},
};

use super::{
    SqliteCatalog,
    change::{Outcome, SingleChange},
    columns::{Columns, storable},
    error::{corrupt, from_sqlx},
    pages::Source,
    sql::{self, Connection, Row},
};

const API_KEYS: Source = Source::new("api_keys", "id");

pub(super) const INSERT: &str = "INSERT INTO api_keys
    (id, name, secret_hash, scopes, routes, recipients, bytes_budget, created_at, expires_at, revoked_at)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (id) DO NOTHING";
pub(super) const REVOKE: &str = "UPDATE api_keys SET revoked_at = coalesce(revoked_at, ?) WHERE id = ?";
pub(super) const GET: &str = "SELECT * FROM api_keys LEFT JOIN api_key_usage USING (id) WHERE id = ?";
pub(super) const LIST: &str =
    "SELECT * FROM api_keys LEFT JOIN api_key_usage USING (id) ORDER BY created_at, ordinal";
pub(super) const PUT_USAGE: &str = "INSERT INTO api_key_usage (id, bytes_used, last_used_at)
    SELECT id, ?2, ?3 FROM api_keys WHERE id = ?1
    ON CONFLICT (id) DO UPDATE SET bytes_used = ?2, last_used_at = ?3";
/// Counted by triggers, so that it does not matter which process wrote, and
/// nothing but a change of the keys counts.
pub(super) const GENERATION: &str = "SELECT g.value FROM api_key_generation g WHERE g.only = 1";

pub(super) async fn insert(
    connection: &mut Connection<'_>,
    key: &ApiKeyRecord,
) -> Result<Outcome, CatalogError> {
    let rights = &key.rights;
    let query = sql::query(INSERT)
        .bind(key.id.clone())
        .bind(key.name.clone())
        .bind(key.secret_hash.to_vec())
        .bind(joined(&rights.scopes))
        .bind(joined(&rights.routes))
        .bind(joined(&rights.recipients))
        .bind(rights.bytes_budget.map(storable).transpose()?)
        .bind(storable(key.created_at)?)
        .bind(key.expires_at.map(storable).transpose()?)
        .bind(key.revoked_at.map(storable).transpose()?);
    let done = query.execute(connection).await.map_err(from_sqlx)?;
    Ok(match done {
        0 => Outcome::Refused(format!("there is an API key {} already", key.id)),
        _ => Outcome::Done,
    })
}

pub(super) async fn revoke(
    connection: &mut Connection<'_>,
    id: &str,
    now: u64,
) -> Result<Outcome, CatalogError> {
    let query = sql::query(REVOKE).bind(storable(now)?).bind(id.to_owned());
    let done = query.execute(connection).await.map_err(from_sqlx)?;
    Ok(Outcome::Existed(done > 0))
}

pub(super) async fn put_usage(
    connection: &mut Connection<'_>,
    usage: &[(Arc<str>, KeyUsage)],
) -> Result<(), CatalogError> {
    for (id, usage) in usage {
        let query = sql::query(PUT_USAGE)
            .bind(id.to_string())
            .bind(storable(usage.bytes_used)?)
            .bind(usage.last_used_at.map(storable).transpose()?);
        query.execute(&mut *connection).await.map_err(from_sqlx)?;
    }
    Ok(())
}

/// Names of which none has a comma, in one column.
fn joined<T: ToString>(names: &BTreeSet<T>) -> String {
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    names.join(",")
}

fn parted<T: Ord, E>(
    row: &Row,
    column: &str,
    parse: impl Fn(&str) -> Result<T, E>,
) -> Result<BTreeSet<T>, CatalogError> {
    let names: &str = row.value(column)?;
    let parsed: Result<_, E> = names
        .split(',')
        .filter(|name| !name.is_empty())
        .map(parse)
        .collect();
    parsed.map_err(|_| corrupt(format_args!("an API key has unknown {column}")))
}

fn read(row: &Row) -> Result<ApiKeyRecord, CatalogError> {
    let rights = Rights {
        scopes: parted(row, "scopes", str::parse)?,
        routes: parted(row, "routes", str::parse)?,
        recipients: parted(row, "recipients", parse_address)?,
        bytes_budget: row.optional_number("bytes_budget")?,
    };
    Ok(ApiKeyRecord {
        id: row.value("id")?,
        name: row.value("name")?,
        secret_hash: row.bytes("secret_hash")?,
        rights: Arc::new(rights),
        created_at: row.number("created_at")?,
        expires_at: row.optional_number("expires_at")?,
        revoked_at: row.optional_number("revoked_at")?,
        usage: KeyUsage {
            bytes_used: row.optional_number("bytes_used")?.unwrap_or_default(),
            last_used_at: row.optional_number("last_used_at")?,
        },
    })
}

#[async_trait]
impl ApiKeyCatalog for SqliteCatalog {
    async fn insert_api_key(&self, key: &ApiKeyRecord) -> Result<(), CatalogError> {
        self.make(SingleChange::InsertApiKey(key.clone())).await
    }

    async fn api_key(&self, id: &str) -> Result<Option<ApiKeyRecord>, CatalogError> {
        let query = sql::query(GET).bind(id.to_owned());
        let row = query.fetch_optional(&self.reads).await.map_err(from_sqlx)?;
        row.as_ref().map(read).transpose()
    }

    async fn api_keys(&self) -> Result<Vec<ApiKeyRecord>, CatalogError> {
        self.all(API_KEYS, sql::query(LIST), read).await
    }

    async fn revoke_api_key(&self, id: &str, now: u64) -> Result<bool, CatalogError> {
        self.make_if_there(SingleChange::RevokeApiKey {
            id: id.to_owned(),
            now,
        })
        .await
    }

    async fn put_api_key_usage(&self, usage: &[(Arc<str>, KeyUsage)]) -> Result<(), CatalogError> {
        self.make(SingleChange::PutApiKeyUsage(usage.to_vec())).await
    }

    async fn api_key_generation(&self) -> Result<u64, CatalogError> {
        let row = sql::query(GENERATION)
            .fetch_one(&self.reads)
            .await
            .map_err(from_sqlx)?;
        row.number("value")
    }
}
