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
    error::{corrupt, failed, from_sqlx},
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
/// The largest number that can be kept is not passed.
pub(super) const ADD_USAGE: &str = "INSERT INTO api_key_usage (id, bytes_used, last_used_at)
    SELECT id, ?2, ?3 FROM api_keys WHERE id = ?1
    ON CONFLICT (id) DO UPDATE SET
        bytes_used = CASE
            WHEN api_key_usage.bytes_used > 9223372036854775807 - excluded.bytes_used THEN 9223372036854775807
            ELSE api_key_usage.bytes_used + excluded.bytes_used END,
        last_used_at = CASE
            WHEN excluded.last_used_at IS NULL OR api_key_usage.last_used_at > excluded.last_used_at
            THEN api_key_usage.last_used_at
            ELSE excluded.last_used_at END
    RETURNING bytes_used, last_used_at";
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

/// Adds what keys were used for; what is kept of them then.
pub(super) async fn add_usage(
    connection: &mut Connection<'_>,
    usage: &[(Arc<str>, KeyUsage)],
) -> Result<Outcome, CatalogError> {
    let mut kept = Vec::with_capacity(usage.len());
    for (id, usage) in usage {
        let query = sql::query(ADD_USAGE)
            .bind(id.to_string())
            .bind(storable(usage.bytes_used)?)
            .bind(usage.last_used_at.map(storable).transpose()?);
        let row = query.fetch_optional(&mut *connection).await.map_err(from_sqlx)?;
        if let Some(row) = row {
            kept.push((Arc::clone(id), read_usage(&row)?));
        }
    }
    Ok(Outcome::Usage(kept))
}

fn read_usage(row: &Row) -> Result<KeyUsage, CatalogError> {
    Ok(KeyUsage {
        bytes_used: row.optional_number("bytes_used")?.unwrap_or_default(),
        last_used_at: row.optional_number("last_used_at")?,
    })
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
        usage: read_usage(row)?,
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

    async fn add_api_key_usage(
        &self,
        usage: &[(Arc<str>, KeyUsage)],
    ) -> Result<Vec<(Arc<str>, KeyUsage)>, CatalogError> {
        let added = SingleChange::AddApiKeyUsage(usage.to_vec());
        match self.writer.write(added).await? {
            Outcome::Usage(kept) => Ok(kept),
            _ => Err(failed("the use of API keys has no such outcome")),
        }
    }

    async fn api_key_generation(&self) -> Result<u64, CatalogError> {
        let row = sql::query(GENERATION)
            .fetch_one(&self.reads)
            .await
            .map_err(from_sqlx)?;
        row.number("value")
    }
}
