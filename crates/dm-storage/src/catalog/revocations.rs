//! Access that is being withdrawn.

use async_trait::async_trait;
use dm_core::{
    Address,
    hash::DataHash,
    ports::{CatalogError, Revocations},
    share::ReadableObject,
};

use super::{
    SqliteCatalog,
    change::{OrderedChange, SingleChange},
    columns::{Columns, storable},
    error::from_sqlx,
    pages::Source,
    readable_objects, share_writes,
    sql::{self, Connection, Row, Target},
};

const REVOCATIONS: Source = Source::new("revocations", "locator");

pub(super) const BEGIN: &str =
    "INSERT INTO revocations (locator, recipient, data_hash) VALUES (?, ?, ?) ON CONFLICT DO NOTHING";
pub(super) const END: &str = "DELETE FROM revocations WHERE locator = ? AND recipient = ?";
pub(super) const UNFINISHED: &str = "SELECT locator, data_hash, recipient FROM revocations
    WHERE (locator, recipient) > (?, ?) ORDER BY locator, recipient LIMIT +?";
pub(super) const END_ALL: &str = "DELETE FROM revocations WHERE locator = ?";
pub(super) const PREPARE: &str = "INSERT INTO prepared_keys
    (locator, data_hash, owner, size, chunk_list, key_version, key_token) VALUES (?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (locator) DO UPDATE SET data_hash = excluded.data_hash, owner = excluded.owner,
        size = excluded.size, chunk_list = excluded.chunk_list, key_version = excluded.key_version,
        key_token = excluded.key_token";
pub(super) const PREPARED: &str = "SELECT * FROM prepared_keys WHERE locator = ?";
pub(super) const FORGET_PREPARED: &str = "DELETE FROM prepared_keys WHERE locator = ?";

/// Forgets the share and keeps what is to be finished; whether it was not begun before.
pub(super) async fn begin(
    connection: &mut Connection<'_>,
    data_hash: &DataHash,
    recipient: Address,
) -> Result<bool, CatalogError> {
    let query = sql::query(BEGIN)
        .bind(data_hash.locator().as_bytes().to_vec())
        .bind(recipient.to_vec())
        .bind(data_hash.as_bytes().to_vec());
    let begun = query.execute(&mut *connection).await.map_err(from_sqlx)?;
    share_writes::remove(connection, data_hash, recipient).await?;
    Ok(begun > 0)
}

pub(super) async fn end(
    connection: &mut Connection<'_>,
    data_hash: &DataHash,
    recipient: Address,
) -> Result<(), CatalogError> {
    let query = sql::query(END)
        .bind(data_hash.locator().as_bytes().to_vec())
        .bind(recipient.to_vec());
    query.execute(connection).await.map(|_| ()).map_err(from_sqlx)
}

/// Forgets everything about revocations of this data.
pub(super) async fn forget(
    connection: &mut Connection<'_>,
    data_hash: &DataHash,
) -> Result<(), CatalogError> {
    for sql in [END_ALL, FORGET_PREPARED] {
        let query = sql::query(sql).bind(data_hash.locator().as_bytes().to_vec());
        query.execute(&mut *connection).await.map_err(from_sqlx)?;
    }
    Ok(())
}

pub(super) async fn prepare(
    connection: &mut Connection<'_>,
    next: &ReadableObject,
) -> Result<(), CatalogError> {
    let query = sql::query(PREPARE)
        .bind(next.id.locator.as_bytes().to_vec())
        .bind(next.data_hash.as_bytes().to_vec())
        .bind(next.id.owner.to_vec())
        .bind(storable(next.size)?)
        .bind(next.chunk_list.to_vec())
        .bind(next.key.version)
        .bind(next.key.token.clone());
    query.execute(connection).await.map(|_| ()).map_err(from_sqlx)
}

/// Moves the entry that was prepared for these chunks to the readable objects,
/// where the key before is overwritten; whether there was one.
pub(super) async fn adopt(
    connection: &mut Connection<'_>,
    data_hash: &DataHash,
    chunk_list: &[u8; 32],
) -> Result<bool, CatalogError> {
    let prepared = prepared(&mut *connection, data_hash).await?;
    let Some(next) = prepared.filter(|next| next.chunk_list == *chunk_list) else {
        return Ok(false);
    };
    readable_objects::put(connection, &[&next]).await?;
    let query = sql::query(FORGET_PREPARED).bind(data_hash.locator().as_bytes().to_vec());
    query.execute(connection).await.map_err(from_sqlx)?;
    Ok(true)
}

async fn prepared(
    executor: impl Into<Target<'_>>,
    data_hash: &DataHash,
) -> Result<Option<ReadableObject>, CatalogError> {
    let query = sql::query(PREPARED).bind(data_hash.locator().as_bytes().to_vec());
    let row = query.fetch_optional(executor).await.map_err(from_sqlx)?;
    row.as_ref().map(readable_objects::read).transpose()
}

#[async_trait]
impl Revocations for SqliteCatalog {
    async fn begin_revocation(&self, data_hash: &DataHash, recipient: Address) -> Result<(), CatalogError> {
        let data_hash = *data_hash;
        self.make(OrderedChange::BeginRevocation { data_hash, recipient })
            .await
    }

    async fn unfinished_revocations(
        &self,
        after: Option<(DataHash, Address)>,
        limit: usize,
    ) -> Result<Vec<(DataHash, Address)>, CatalogError> {
        // The empty blob is before all others.
        let (locator, recipient) = match after {
            Some((hash, recipient)) => (hash.locator().as_bytes().to_vec(), recipient.to_vec()),
            None => (Vec::new(), Vec::new()),
        };
        let query = |rows| {
            sql::query(UNFINISHED)
                .bind(locator.clone())
                .bind(recipient.clone())
                .bind(rows)
        };
        let unfinished = |row: &Row| {
            let data_hash = DataHash::from_bytes(row.bytes("data_hash")?);
            Ok((data_hash, row.address("recipient")?))
        };
        self.page(REVOCATIONS, limit, query, unfinished).await
    }

    async fn end_revocation(&self, data_hash: &DataHash, recipient: Address) -> Result<(), CatalogError> {
        let data_hash = *data_hash;
        self.make(SingleChange::EndRevocation { data_hash, recipient })
            .await
    }

    async fn prepare_key(&self, next: &ReadableObject) -> Result<(), CatalogError> {
        self.make(SingleChange::PrepareKey(next.clone())).await
    }

    async fn prepared_key(&self, data_hash: &DataHash) -> Result<Option<ReadableObject>, CatalogError> {
        prepared(&self.reads, data_hash).await
    }

    async fn adopt_prepared_key(
        &self,
        data_hash: &DataHash,
        chunk_list: &[u8; 32],
    ) -> Result<bool, CatalogError> {
        let (data_hash, chunk_list) = (*data_hash, *chunk_list);
        self.make_if_there(OrderedChange::AdoptPreparedKey {
            data_hash,
            chunk_list,
        })
        .await
    }
}
