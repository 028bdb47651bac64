//! The objects that this node can read, with their wrapped content keys.

use std::sync::LazyLock;

use async_trait::async_trait;
use dm_core::{
    Address,
    envelope::ObjectId,
    hash::{DataHash, Locator},
    ports::{CatalogError, ReadableObjects, Rewrapped},
    share::{ReadableObject, WrappedKey},
};

use super::{
    SqliteCatalog,
    bulk::{BulkStatement, last_of_each},
    change::{BulkChange, OrderedChange, SingleChange},
    columns::{Columns, storable},
    error::from_sqlx,
    pages::Source,
    sql::{self, Connection, Pool, Row},
};

const OBJECTS: Source = Source::new("readable_objects", "id");

macro_rules! object_columns {
    () => {
        "r.id, r.locator, r.data_hash, r.owner, r.size, r.chunk_list, r.key_version, r.key_token"
    };
}

pub(super) const GET: &str = concat!(
    "SELECT ",
    object_columns!(),
    " FROM readable_objects r WHERE r.locator = ?"
);
pub(super) const REMOVE: &str = "DELETE FROM readable_objects WHERE locator = ?";
pub(super) const ORDINAL: &str = "SELECT id FROM readable_objects WHERE locator = ?";
pub(super) const WITH_REPLICAS: &str = concat!(
    "SELECT ",
    object_columns!(),
    " FROM readable_objects r WHERE r.owner = ? AND r.replicas = ? AND r.id > ? ORDER BY r.id LIMIT +?"
);

pub(super) const IS_KNOWN: &str = "SELECT
    EXISTS (SELECT 1 FROM readable_objects WHERE locator = ?1 AND owner = ?2 AND chunk_list = ?3)
    OR EXISTS (SELECT 1 FROM prepared_keys WHERE locator = ?1 AND owner = ?2 AND chunk_list = ?3) AS is_known";
pub(super) const OF_OWNER: &str = concat!(
    "SELECT ",
    object_columns!(),
    " FROM readable_objects r WHERE r.locator > ? AND +r.owner = ? ORDER BY r.locator LIMIT +?"
);
pub(super) const WRAPPED_BY: &str = concat!(
    "SELECT ",
    object_columns!(),
    " FROM readable_objects r WHERE r.key_version = ? AND r.id > ? ORDER BY r.id LIMIT +?"
);
pub(super) const VERSION_BEFORE: &str = "SELECT max(key_version) FROM readable_objects WHERE key_version < ?";
pub(super) const REWRAP: &str = "UPDATE readable_objects SET key_version = ?, key_token = ?
    WHERE locator = ? AND key_version = ? AND key_token = ?";

/// An entry may come after its object's replicas were counted.
pub(super) static PUT: LazyLock<BulkStatement> = LazyLock::new(|| {
    BulkStatement::new(
        "INSERT INTO readable_objects
            (locator, data_hash, owner, size, chunk_list, key_version, key_token, replicas)
         SELECT column1, column2, column3, column4, column5, column6, column7,
            coalesce((SELECT replicas.replicas FROM replicas
                      WHERE replicas.locator = column1 AND replicas.owner = column3), 0)
         FROM",
        7,
        "ON CONFLICT (locator) DO UPDATE SET
            owner = excluded.owner, size = excluded.size, chunk_list = excluded.chunk_list,
            key_version = excluded.key_version, key_token = excluded.key_token, replicas = excluded.replicas",
    )
});

/// Keeps the entries; of two with the same data hash the later one stays.
pub(super) async fn put(
    connection: &mut Connection<'_>,
    objects: &[&ReadableObject],
) -> Result<(), CatalogError> {
    let objects = last_of_each(objects.iter().copied(), |object| object.id.locator);
    for (sql, run) in PUT.runs(&objects) {
        let mut query = sql::query(sql);
        for object in run {
            query = query
                .bind(object.id.locator.as_bytes().to_vec())
                .bind(object.data_hash.as_bytes().to_vec())
                .bind(object.id.owner.to_vec())
                .bind(storable(object.size)?)
                .bind(object.chunk_list.to_vec())
                .bind(object.key.version)
                .bind(object.key.token.clone());
        }
        query.execute(&mut *connection).await.map_err(from_sqlx)?;
    }
    Ok(())
}

/// Whether there is an entry for the data.
pub(super) async fn is_there(
    connection: &mut Connection<'_>,
    data_hash: &DataHash,
) -> Result<bool, CatalogError> {
    let query = sql::query(ORDINAL).bind(data_hash.locator().as_bytes().to_vec());
    let row = query.fetch_optional(connection).await.map_err(from_sqlx)?;
    Ok(row.is_some())
}

/// Deletes an entry; SQLite overwrites its bytes (`secure_delete`).
pub(super) async fn remove(
    connection: &mut Connection<'_>,
    data_hash: &DataHash,
) -> Result<bool, CatalogError> {
    let query = sql::query(REMOVE).bind(data_hash.locator().as_bytes().to_vec());
    let done = query.execute(connection).await.map_err(from_sqlx)?;
    Ok(done > 0)
}

/// Replaces wrapped keys where the old ones are still there.
pub(super) async fn rewrap(connection: &mut Connection<'_>, keys: &[Rewrapped]) -> Result<(), CatalogError> {
    for key in keys {
        let query = sql::query(REWRAP)
            .bind(key.new.version)
            .bind(key.new.token.clone())
            .bind(key.data_hash.locator().as_bytes().to_vec())
            .bind(key.old.version)
            .bind(key.old.token.clone());
        query.execute(&mut *connection).await.map_err(from_sqlx)?;
    }
    Ok(())
}

/// Entries wrapped by versions before `version`: one range of the index for each
/// version that is in use, so that all others cost nothing.
async fn wrapped_before(
    catalog: &SqliteCatalog,
    version: u32,
    after: Option<DataHash>,
    limit: usize,
) -> Result<Vec<ReadableObject>, CatalogError> {
    let Some(after) = ordinal(&catalog.reads, after).await? else {
        return Ok(Vec::new());
    };
    let mut found: Vec<(i64, ReadableObject)> = Vec::new();
    let mut version = i64::from(version);
    loop {
        let older = sql::query_scalar(VERSION_BEFORE).bind(version);
        let Some(older): Option<i64> = older.fetch_one(&catalog.reads).await.map_err(from_sqlx)? else {
            break;
        };
        version = older;
        let query = |rows| sql::query(WRAPPED_BY).bind(version).bind(after).bind(rows);
        found.extend(catalog.page(OBJECTS, limit, query, read_with_ordinal).await?);
    }
    found.sort_unstable_by_key(|(ordinal, _)| *ordinal);
    Ok(found.into_iter().take(limit).map(|(_, object)| object).collect())
}

async fn get(pool: &Pool, locator: &Locator) -> Result<Option<ReadableObject>, CatalogError> {
    let query = sql::query(GET).bind(locator.as_bytes().to_vec());
    let row = query.fetch_optional(pool).await.map_err(from_sqlx)?;
    row.as_ref().map(read).transpose()
}

/// Whether there is a key for these chunks of the object, present or prepared. It is asked of each
/// own object that is looked at, so that the cache answers where it can.
pub(super) async fn is_known(
    catalog: &SqliteCatalog,
    id: &ObjectId,
    chunk_list: &[u8; 32],
) -> Result<bool, CatalogError> {
    let present = catalog.readable_at(&id.locator).await?;
    if present.is_some_and(|object| object.id == *id && object.chunk_list == *chunk_list) {
        return Ok(true);
    }
    let query = sql::query(IS_KNOWN)
        .bind(id.locator.as_bytes().to_vec())
        .bind(id.owner.to_vec())
        .bind(chunk_list.to_vec());
    let row = query.fetch_one(&catalog.reads).await.map_err(from_sqlx)?;
    row.value("is_known")
}

/// Entries of an owner in the order of their locators, after `after`.
pub(super) async fn of_owner(
    catalog: &SqliteCatalog,
    owner: Address,
    after: Option<Locator>,
    limit: usize,
) -> Result<Vec<ReadableObject>, CatalogError> {
    // The empty blob is before all others.
    let after = after.map(|after| after.as_bytes().to_vec()).unwrap_or_default();
    let query = |rows| {
        sql::query(OF_OWNER)
            .bind(after.clone())
            .bind(owner.to_vec())
            .bind(rows)
    };
    catalog.page(OBJECTS, limit, query, read).await
}

/// Own objects with fewer than `factor` replicas, oldest first: one range of
/// the index for each count below it, so that objects with enough replicas cost nothing.
pub(super) async fn under_replicated(
    catalog: &SqliteCatalog,
    owner: Address,
    factor: u32,
    after: Option<DataHash>,
    limit: usize,
) -> Result<Vec<ReadableObject>, CatalogError> {
    let Some(after) = ordinal(&catalog.reads, after).await? else {
        return Ok(Vec::new());
    };
    let mut found: Vec<(i64, ReadableObject)> = Vec::new();
    for replicas in 0..factor {
        let query = |rows| {
            sql::query(WITH_REPLICAS)
                .bind(owner.to_vec())
                .bind(replicas)
                .bind(after)
                .bind(rows)
        };
        found.extend(catalog.page(OBJECTS, limit, query, read_with_ordinal).await?);
    }
    found.sort_unstable_by_key(|(ordinal, _)| *ordinal);
    Ok(found.into_iter().take(limit).map(|(_, object)| object).collect())
}

/// Where an entry stands in the order of arrival: 0 for none, which is before
/// all; nothing where it is gone.
async fn ordinal(pool: &Pool, data_hash: Option<DataHash>) -> Result<Option<i64>, CatalogError> {
    let Some(data_hash) = data_hash else {
        return Ok(Some(0));
    };
    let query = sql::query_scalar(ORDINAL).bind(data_hash.locator().as_bytes().to_vec());
    query.fetch_optional(pool).await.map_err(from_sqlx)
}

pub(super) fn read(row: &Row) -> Result<ReadableObject, CatalogError> {
    Ok(ReadableObject {
        data_hash: DataHash::from_bytes(row.bytes("data_hash")?),
        id: ObjectId {
            locator: Locator::from_bytes(row.bytes("locator")?),
            owner: row.address("owner")?,
        },
        size: row.number("size")?,
        chunk_list: row.bytes("chunk_list")?,
        key: WrappedKey {
            version: row.small_number("key_version")?,
            token: row.value("key_token")?,
        },
    })
}

fn read_with_ordinal(row: &Row) -> Result<(i64, ReadableObject), CatalogError> {
    Ok((row.value("id")?, read(row)?))
}

#[async_trait]
impl ReadableObjects for SqliteCatalog {
    async fn put_readable(&self, object: &ReadableObject) -> Result<(), CatalogError> {
        self.make(BulkChange::PutReadable(object.clone())).await
    }

    async fn readable_at(&self, locator: &Locator) -> Result<Option<ReadableObject>, CatalogError> {
        self.caches
            .readable
            .get_or_load(locator, get(&self.reads, locator))
            .await
    }

    async fn readable(&self, data_hash: &DataHash) -> Result<Option<ReadableObject>, CatalogError> {
        self.readable_at(&data_hash.locator()).await
    }

    async fn wrapped_before(
        &self,
        version: u32,
        after: Option<DataHash>,
        limit: usize,
    ) -> Result<Vec<ReadableObject>, CatalogError> {
        wrapped_before(self, version, after, limit).await
    }

    async fn rewrap(&self, keys: Vec<Rewrapped>) -> Result<(), CatalogError> {
        self.make(SingleChange::Rewrap(keys)).await
    }

    async fn remove_readable(&self, data_hash: &DataHash) -> Result<bool, CatalogError> {
        self.make_if_there(OrderedChange::RemoveReadable(*data_hash))
            .await
    }
}
