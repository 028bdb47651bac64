//! The shares of this node.

use std::{collections::HashSet, sync::LazyLock};

use async_trait::async_trait;
use dm_core::{
    Address,
    envelope::ObjectId,
    hash::{DataHash, Locator},
    ports::{CatalogError, ShareCatalog, ShareInsert},
    share::{IdempotencyKey, ReadableObject, ShareRecord},
};
use sqlx::{SqliteConnection, SqliteExecutor, sqlite::SqliteRow};

use super::{
    SqliteCatalog,
    bulk::BulkStatement,
    change::{Change, Outcome},
    columns::{Columns, bound, row_limit, storable},
    error::{failed, from_sqlx},
    mandates, readable_objects, replicas,
};

macro_rules! select_shares {
    () => {
        "SELECT s.data_hash, s.recipient, s.client, s.idempotency_key, s.created_at,
            m.user_id, m.key, m.key_kind, m.statement, m.signature, m.expires_at
         FROM shares s LEFT JOIN mandates m ON m.digest = s.mandate"
    };
}

pub(super) const BY_RECIPIENT: &str = concat!(select_shares!(), " WHERE s.locator = ? AND s.recipient = ?");
pub(super) const BY_KEY: &str = concat!(select_shares!(), " WHERE s.client = ? AND s.idempotency_key = ?");
pub(super) const UNRECORDED: &str = concat!(
    select_shares!(),
    " WHERE s.event_index IS NULL ORDER BY s.id LIMIT ?"
);
pub(super) const GRANT_OWED: &str =
    concat!(select_shares!(), " WHERE s.grant_owed = 1 ORDER BY s.id LIMIT ?");
pub(super) const RECEIPT_DUE: &str = concat!(
    select_shares!(),
    " WHERE s.receipt_state = 1 AND s.event_index < ?
      AND EXISTS (SELECT 1 FROM readable_objects r WHERE r.locator = s.locator AND r.replicas > 0)
      ORDER BY s.event_index LIMIT ?"
);
pub(super) const REMOVE: &str = "DELETE FROM shares WHERE locator = ? AND recipient = ?";
pub(super) const REMOVE_ALL: &str = "DELETE FROM shares WHERE locator = ?";
pub(super) const SET_GRANT_OWED: &str =
    "UPDATE shares SET grant_owed = ? WHERE locator = ? AND recipient = ?";
pub(super) const SET_RECEIPT_SPREAD: &str =
    "UPDATE shares SET receipt_state = 2 WHERE locator = ? AND recipient = ?";

/// An event may be older than its share, and so may a replica; what happened before
/// the data was erased, or the recipient's access withdrawn, is of other shares. The + keeps SQLite from walking through
/// all events of a recipient.
pub(super) static INSERT: LazyLock<BulkStatement> = LazyLock::new(|| {
    BulkStatement::new(
        "INSERT INTO shares
            (locator, data_hash, recipient, client, idempotency_key, created_at, mandate,
             event_index, receipt_state)
         SELECT column1, column2, column3, column4, column5, column6, column7,
            (SELECT min(position) FROM events
             WHERE data_hash = column2 AND kind IN ('data_share', 'grant') AND +recipient = column3
                AND position > coalesce((SELECT max(position) FROM events
                    WHERE data_hash = column2 AND kind IN ('data_delete', 'revoke')
                        AND (kind = 'data_delete' OR +recipient = column3)), -1)),
            EXISTS (SELECT 1 FROM replicas WHERE replicas.locator = column1 AND replicas.replicas > 0)
         FROM",
        7,
        "ON CONFLICT DO NOTHING RETURNING locator, recipient",
    )
});

type ShareName = ([u8; 32], Address);

/// Keeps the shares that are new, and says of each, by its place, what became of it.
pub(super) async fn insert(
    connection: &mut SqliteConnection,
    shares: &[(usize, &ShareRecord)],
) -> Result<Vec<(usize, ShareInsert)>, CatalogError> {
    let mut outcomes = Vec::with_capacity(shares.len());
    for (sql, run) in INSERT.runs(shares) {
        let names: Vec<Locator> = run.iter().map(|(_, share)| share.data_hash.locator()).collect();
        let mut query = sqlx::query(sql);
        for ((_, share), locator) in run.iter().zip(&names) {
            let key = share.idempotency_key.as_ref();
            query = query
                .bind(locator.as_bytes().to_vec())
                .bind(share.data_hash.as_bytes().to_vec())
                .bind(share.recipient.to_vec())
                .bind(key.map(|key| key.client.clone()))
                .bind(key.map(|key| key.key.clone()))
                .bind(storable(share.created_at)?)
                .bind(share.mandate.as_ref().map(|kept| kept.mandate.digest().to_vec()));
        }
        let mut inserted = HashSet::<ShareName>::with_capacity(run.len());
        for row in query.fetch_all(&mut *connection).await.map_err(from_sqlx)? {
            inserted.insert((row.bytes("locator")?, row.address("recipient")?));
        }
        for ((place, share), locator) in run.iter().zip(&names) {
            // Removed, so that only the first of two equal shares is the new one.
            let outcome = if inserted.remove(&(*locator.as_bytes(), share.recipient)) {
                if let Some(mandate) = &share.mandate {
                    mandates::insert(connection, mandate).await?;
                }
                ShareInsert::Inserted
            } else {
                obstacle(connection, share).await?
            };
            outcomes.push((*place, outcome));
        }
    }
    Ok(outcomes)
}

/// What keeps a share from being new.
async fn obstacle(
    connection: &mut SqliteConnection,
    share: &ShareRecord,
) -> Result<ShareInsert, CatalogError> {
    if let Some(key) = &share.idempotency_key
        && let Some(other) = by_key(&mut *connection, key).await?
        && (other.data_hash, other.recipient) != (share.data_hash, share.recipient)
    {
        return Ok(ShareInsert::KeyReused(other));
    }
    by_recipient(connection, &share.data_hash, share.recipient)
        .await?
        .map(ShareInsert::Exists)
        .ok_or_else(|| failed("a share was refused although nothing stands against it"))
}

async fn by_recipient(
    executor: impl SqliteExecutor<'_>,
    data_hash: &DataHash,
    recipient: Address,
) -> Result<Option<ShareRecord>, CatalogError> {
    let query = sqlx::query(BY_RECIPIENT)
        .bind(data_hash.locator().as_bytes().to_vec())
        .bind(recipient.to_vec());
    let row = query.fetch_optional(executor).await.map_err(from_sqlx)?;
    row.as_ref().map(read).transpose()
}

async fn by_key(
    executor: impl SqliteExecutor<'_>,
    key: &IdempotencyKey,
) -> Result<Option<ShareRecord>, CatalogError> {
    let query = sqlx::query(BY_KEY).bind(key.client.clone()).bind(key.key.clone());
    let row = query.fetch_optional(executor).await.map_err(from_sqlx)?;
    row.as_ref().map(read).transpose()
}

pub(super) async fn set_grant_owed(
    connection: &mut SqliteConnection,
    data_hash: &DataHash,
    recipient: Address,
    owed: bool,
) -> Result<(), CatalogError> {
    let query = sqlx::query(SET_GRANT_OWED)
        .bind(owed)
        .bind(data_hash.locator().as_bytes().to_vec())
        .bind(recipient.to_vec());
    query.execute(connection).await.map(|_| ()).map_err(from_sqlx)
}

pub(super) async fn set_receipt_spread(
    connection: &mut SqliteConnection,
    data_hash: &DataHash,
    recipient: Address,
) -> Result<(), CatalogError> {
    let query = sqlx::query(SET_RECEIPT_SPREAD)
        .bind(data_hash.locator().as_bytes().to_vec())
        .bind(recipient.to_vec());
    query.execute(connection).await.map(|_| ()).map_err(from_sqlx)
}

/// Deletes the share of this data with this recipient.
pub(super) async fn remove(
    connection: &mut SqliteConnection,
    data_hash: &DataHash,
    recipient: Address,
) -> Result<(), CatalogError> {
    let query = sqlx::query(REMOVE)
        .bind(data_hash.locator().as_bytes().to_vec())
        .bind(recipient.to_vec());
    query.execute(connection).await.map(|_| ()).map_err(from_sqlx)
}

/// Deletes the shares of this data with everybody.
pub(super) async fn remove_all(
    connection: &mut SqliteConnection,
    data_hash: &DataHash,
) -> Result<(), CatalogError> {
    let query = sqlx::query(REMOVE_ALL).bind(data_hash.locator().as_bytes().to_vec());
    query.execute(connection).await.map(|_| ()).map_err(from_sqlx)
}

fn read(row: &SqliteRow) -> Result<ShareRecord, CatalogError> {
    let client: Option<String> = row.value("client")?;
    let key: Option<String> = row.value("idempotency_key")?;
    Ok(ShareRecord {
        data_hash: DataHash::from_bytes(row.bytes("data_hash")?),
        recipient: row.address("recipient")?,
        idempotency_key: client
            .zip(key)
            .map(|(client, key)| IdempotencyKey { client, key }),
        created_at: row.number("created_at")?,
        mandate: mandates::read_joined(row)?,
    })
}

fn read_all(rows: &[SqliteRow]) -> Result<Vec<ShareRecord>, CatalogError> {
    rows.iter().map(read).collect()
}

#[async_trait]
impl ShareCatalog for SqliteCatalog {
    async fn insert_share(&self, share: &ShareRecord) -> Result<ShareInsert, CatalogError> {
        match self.writer.write(Change::InsertShare(share.clone())).await? {
            Outcome::Share(insert) => Ok(insert),
            _ => Err(failed("the outcome is not that of a share")),
        }
    }

    async fn share(
        &self,
        data_hash: &DataHash,
        recipient: Address,
    ) -> Result<Option<ShareRecord>, CatalogError> {
        by_recipient(&self.reads, data_hash, recipient).await
    }

    async fn share_by_key(&self, key: &IdempotencyKey) -> Result<Option<ShareRecord>, CatalogError> {
        by_key(&self.reads, key).await
    }

    async fn unrecorded_shares(&self, limit: usize) -> Result<Vec<ShareRecord>, CatalogError> {
        let query = sqlx::query(UNRECORDED).bind(row_limit(limit));
        read_all(&query.fetch_all(&self.reads).await.map_err(from_sqlx)?)
    }

    async fn set_grant_owed(
        &self,
        data_hash: &DataHash,
        recipient: Address,
        owed: bool,
    ) -> Result<(), CatalogError> {
        let data_hash = *data_hash;
        self.make(Change::SetGrantOwed {
            data_hash,
            recipient,
            owed,
        })
        .await
    }

    async fn owed_grants(&self, limit: usize) -> Result<Vec<ShareRecord>, CatalogError> {
        let query = sqlx::query(GRANT_OWED).bind(row_limit(limit));
        read_all(&query.fetch_all(&self.reads).await.map_err(from_sqlx)?)
    }

    async fn set_replicas(&self, id: &ObjectId, sequence: u64, replicas: u32) -> Result<(), CatalogError> {
        let id = *id;
        self.make(Change::SetReplicas {
            id,
            sequence,
            replicas,
        })
        .await
    }

    async fn replicas(&self, id: &ObjectId) -> Result<Option<(u32, u64)>, CatalogError> {
        replicas::get(&self.reads, id).await
    }

    async fn under_replicated(
        &self,
        owner: Address,
        factor: u32,
        after: Option<DataHash>,
        limit: usize,
    ) -> Result<Vec<ReadableObject>, CatalogError> {
        readable_objects::under_replicated(&self.reads, owner, factor, after, limit).await
    }

    async fn receipts_to_spread(
        &self,
        anchored_size: u64,
        limit: usize,
    ) -> Result<Vec<ShareRecord>, CatalogError> {
        let query = sqlx::query(RECEIPT_DUE)
            .bind(bound(anchored_size))
            .bind(row_limit(limit));
        read_all(&query.fetch_all(&self.reads).await.map_err(from_sqlx)?)
    }

    async fn set_receipt_spread(&self, data_hash: &DataHash, recipient: Address) -> Result<(), CatalogError> {
        let data_hash = *data_hash;
        self.make(Change::SetReceiptSpread { data_hash, recipient }).await
    }
}
