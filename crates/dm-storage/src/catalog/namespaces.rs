//! Key-value namespaces in the catalog's database.

use std::{
    collections::BTreeMap,
    sync::{Arc, LazyLock},
};

use async_trait::async_trait;
use bytes::Bytes;
use dm_core::{
    lease::Standing,
    ports::{CatalogError, KeyValueStore, StoreError, WriteBatch},
};

use super::{
    SqliteCatalog,
    bulk::BulkStatement,
    change::{Outcome, SingleChange},
    columns::{Columns, row_limit},
    error::from_sqlx,
    sql::{self, Connection, Query, Row},
};
use crate::{key_range::first_behind, namespaces::check_keys};

pub(super) const GET: &str = "SELECT value FROM namespaces WHERE namespace = ? AND key = ?";
pub(super) const REMOVE: &str = "DELETE FROM namespaces WHERE namespace = ? AND key = ?";
pub(super) const PAGE: &str = "SELECT key, value FROM namespaces
    WHERE namespace = ? AND key >= ? AND key < ? ORDER BY key LIMIT +?";
/// Where no key can be greater than those with the prefix.
pub(super) const LAST_PAGE: &str = "SELECT key, value FROM namespaces
    WHERE namespace = ? AND key >= ? ORDER BY key LIMIT +?";

static PUT: LazyLock<BulkStatement> = LazyLock::new(|| {
    BulkStatement::new(
        "INSERT INTO namespaces (namespace, key, value) SELECT * FROM",
        3,
        "ON CONFLICT (namespace, key) DO UPDATE SET value = excluded.value",
    )
});

/// Changes of one namespace that belong together.
#[derive(Debug)]
pub(super) struct EntryChanges {
    namespace: Arc<str>,
    batch: WriteBatch,
}

impl EntryChanges {
    /// Whether an entry is put, and not only deleted.
    pub(super) fn need_space(&self) -> bool {
        self.batch.changes.iter().any(|(_, value)| value.is_some())
    }
}

/// Makes the changes where each entry is what they expect.
pub(super) async fn write(
    connection: &mut Connection<'_>,
    changes: &EntryChanges,
) -> Result<Outcome, CatalogError> {
    let EntryChanges { namespace, batch } = changes;
    for (key, expected) in &batch.expected {
        if find(connection, namespace, key).await? != *expected {
            return Ok(Outcome::Refused("an entry is not what was expected".to_owned()));
        }
    }
    // One statement must not put the same entry twice.
    let last: BTreeMap<&Bytes, &Option<Bytes>> =
        batch.changes.iter().map(|(key, value)| (key, value)).collect();
    let put: Vec<(&Bytes, &Bytes)> = last
        .iter()
        .filter_map(|(key, value)| Some((*key, value.as_ref()?)))
        .collect();
    for (sql, run) in PUT.runs(&put) {
        let mut query = sql::query(sql);
        for (key, value) in run {
            query = query.bind(namespace.to_string()).bind(key.to_vec());
            query = query.bind(value.to_vec());
        }
        query.execute(&mut *connection).await.map_err(from_sqlx)?;
    }
    for (key, _) in last.iter().filter(|(_, value)| value.is_none()) {
        let query = sql::query(REMOVE).bind(namespace.to_string()).bind(key.to_vec());
        query.execute(&mut *connection).await.map_err(from_sqlx)?;
    }
    Ok(Outcome::Done)
}

/// Whether an entry is what an instance relies on, within a transaction that writes.
pub(super) async fn is_as(
    connection: &mut Connection<'_>,
    standing: &Standing,
) -> Result<bool, CatalogError> {
    let found = find(connection, &standing.namespace, &standing.key).await?;
    Ok(found == standing.value)
}

async fn find(
    connection: &mut Connection<'_>,
    namespace: &str,
    key: &[u8],
) -> Result<Option<Bytes>, CatalogError> {
    let row = get(namespace, key).fetch_optional(connection).await;
    row.map_err(from_sqlx)?.as_ref().map(value).transpose()
}

fn get(namespace: &str, key: &[u8]) -> Query {
    sql::query(GET).bind(namespace.to_owned()).bind(key.to_vec())
}

fn value(row: &Row) -> Result<Bytes, CatalogError> {
    row.value::<Vec<u8>>("value").map(Bytes::from)
}

/// A key-value store of its own in a catalog.
struct CatalogNamespace {
    catalog: SqliteCatalog,
    name: Arc<str>,
}

impl SqliteCatalog {
    /// The key-value store of this name in the catalog's database; its entries are apart
    /// from all others. Whoever has the database open sees the same ones.
    pub fn namespace(&self, name: &str) -> Arc<dyn KeyValueStore> {
        Arc::new(CatalogNamespace {
            catalog: self.clone(),
            name: name.into(),
        })
    }
}

#[async_trait]
impl KeyValueStore for CatalogNamespace {
    async fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        let row = get(&self.name, key).fetch_optional(&self.catalog.reads).await;
        let row = row.map_err(|error| to_store(from_sqlx(error)))?;
        row.as_ref().map(value).transpose().map_err(to_store)
    }

    async fn scan(
        &self,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<(Bytes, Bytes)>, StoreError> {
        // Nothing lies between a key and the same one with a zero byte behind it.
        let first = match after {
            Some(after) if after >= prefix => [after, &[0]].concat(),
            _ => prefix.to_vec(),
        };
        let query = match first_behind(prefix) {
            Some(end) => sql::query(PAGE).bind(self.name.to_string()).bind(first).bind(end),
            None => sql::query(LAST_PAGE).bind(self.name.to_string()).bind(first),
        };
        let rows = query.bind(row_limit(limit)).fetch_all(&self.catalog.reads).await;
        let rows = rows.map_err(|error| to_store(from_sqlx(error)))?;
        let entry = |row: &Row| Ok((row.value::<Vec<u8>>("key")?.into(), value(row)?));
        rows.iter().map(entry).collect::<Result<_, _>>().map_err(to_store)
    }

    async fn commit(&self, batch: WriteBatch) -> Result<(), StoreError> {
        check_keys(&batch)?;
        if batch.changes.is_empty() && batch.expected.is_empty() {
            return Ok(());
        }
        let changes = EntryChanges {
            namespace: Arc::clone(&self.name),
            batch,
        };
        let made = self.catalog.make(SingleChange::ChangeEntries(Box::new(changes)));
        made.await.map_err(to_store)
    }
}

fn to_store(error: CatalogError) -> StoreError {
    match error {
        CatalogError::Full => StoreError::Full,
        CatalogError::Conflict(_) => StoreError::Conflict,
        CatalogError::Corrupt(what) => StoreError::Corrupt(what),
        CatalogError::Unavailable(why) => StoreError::Unavailable(why),
        CatalogError::Unsettled(why) => StoreError::Unsettled(why),
        CatalogError::NotLeading(_) | CatalogError::TurnLost => StoreError::Unavailable(error.to_string()),
        CatalogError::Failed(source) => StoreError::Failed(source),
    }
}
