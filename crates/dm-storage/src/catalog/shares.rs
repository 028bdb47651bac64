//! The shares of this node.

use std::{collections::HashSet, ops::Range, sync::LazyLock};

use async_trait::async_trait;
use dm_core::{
    Address, B256,
    envelope::ObjectId,
    hash::{DataHash, Locator},
    ports::{CatalogError, NumberedShare, ShareCatalog, ShareInsert},
    share::{IdempotencyKey, NewShare, ReadableObject, ShareRecord},
};
use sqlx::{SqliteConnection, SqliteExecutor, sqlite::SqliteRow};

use super::{
    SqliteCatalog,
    bulk::BulkStatement,
    change::{BulkChange, OrderedChange, Outcome, SingleChange},
    columns::{Columns, bound, storable},
    erasures,
    error::{corrupt, failed, from_sqlx},
    mandates,
    pages::Source,
    readable_objects, replicas,
};

const SHARES: Source = Source::new("shares", "id");
/// The recipients of shares, each once.
const RECIPIENTS: Source = Source::new("shares", "recipient");

macro_rules! select_shares {
    () => {
        "SELECT s.id, s.data_hash, s.recipient, s.client, s.idempotency_key, s.created_at,
            s.kind, s.request, s.expires_at AS ends_at, s.event_index, m.user_id, m.key, m.key_kind, m.statement, m.signature, m.expires_at
         FROM shares s LEFT JOIN mandates m ON m.digest = s.mandate"
    };
}

pub(super) const BY_RECIPIENT: &str = concat!(select_shares!(), " WHERE s.locator = ? AND s.recipient = ?");
pub(super) const BY_KEY: &str = concat!(select_shares!(), " WHERE s.client = ? AND s.idempotency_key = ?");
pub(super) const UNRECORDED: &str = concat!(
    select_shares!(),
    " WHERE s.event_index IS NULL AND s.id > ? ORDER BY s.id LIMIT ?"
);
pub(super) const UNRECORDED_OF: &str = concat!(
    select_shares!(),
    " WHERE s.locator = ? AND s.event_index IS NULL ORDER BY s.recipient"
);
pub(super) const IS_SHARED: &str = "SELECT EXISTS (SELECT 1 FROM shares WHERE locator = ?) AS is_shared";
pub(super) const OWED_RECIPIENTS: &str = "SELECT DISTINCT recipient FROM shares
    WHERE grant_owed = 1 AND recipient > ? ORDER BY recipient LIMIT ?";
pub(super) const GRANT_OWED: &str = concat!(
    select_shares!(),
    " WHERE s.grant_owed = 1 AND s.recipient = ? AND s.id > ? ORDER BY s.id LIMIT ?"
);
pub(super) const RECEIPT_DUE: &str = concat!(
    select_shares!(),
    " WHERE s.receipt_state = 1 AND s.event_index >= ? AND s.event_index < ?
      AND EXISTS (SELECT 1 FROM readable_objects r WHERE r.locator = s.locator AND r.replicas > 0)
      ORDER BY s.event_index LIMIT ?"
);
pub(super) const REMOVE: &str = "DELETE FROM shares WHERE locator = ? AND recipient = ?";
pub(super) const REMOVE_ALL: &str = "DELETE FROM shares WHERE locator = ?";
/// A share that no event speaks of.
pub(super) const TAKE_BACK: &str =
    "DELETE FROM shares WHERE locator = ? AND recipient = ? AND event_index IS NULL RETURNING mandate";
/// Payments for a share that was taken back; those for one that was recorded before,
/// whatever became of it, were delivered with it.
pub(super) const TAKE_BACK_DELIVERY: &str = "UPDATE orders SET undelivered = 1
    WHERE locator = ?1 AND recipient = ?2 AND undelivered = 0
        AND NOT EXISTS (SELECT 1 FROM orders r
            WHERE r.refund_of = orders.id AND r.status <> 'called_off')
        AND NOT EXISTS (SELECT 1 FROM events
            WHERE data_hash = ?3 AND kind IN ('data_share', 'grant') AND +recipient = ?2
                AND timestamp >= orders.created_at)";
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
             kind, request, expires_at, grant_owed, event_index, receipt_state)
         SELECT column1, column2, column3, column4, column5, column6, column7,
            column8, column9, column10, column11,
            (SELECT min(position) FROM events
             WHERE data_hash = column2 AND kind IN ('data_share', 'grant') AND +recipient = column3
                AND position > coalesce((SELECT max(position) FROM events
                    WHERE data_hash = column2 AND kind IN ('data_delete', 'revoke')
                        AND (kind = 'data_delete' OR +recipient = column3)), -1)),
            EXISTS (SELECT 1 FROM replicas WHERE replicas.locator = column1 AND replicas.replicas > 0)
         FROM",
        11,
        "ON CONFLICT DO NOTHING RETURNING locator, recipient",
    )
});

type ShareName = ([u8; 32], Address);

/// Lets shares come into being, with their objects and all that belongs to them, and
/// says of each, by its place, what became of it.
pub(super) async fn commit(
    connection: &mut SqliteConnection,
    shares: &[(usize, &NewShare)],
) -> Result<Vec<(usize, ShareInsert)>, CatalogError> {
    let outcomes = insert(connection, shares).await?;
    let mut objects = Vec::new();
    for ((_, share), (_, outcome)) in shares.iter().zip(&outcomes) {
        let (record, is_new) = (&share.record, *outcome == ShareInsert::Inserted);
        if is_new && let Some(mandate) = &record.mandate {
            mandates::insert(connection, mandate).await?;
        }
        let Some(object) = &share.object else { continue };
        if matches!(outcome, ShareInsert::KeyReused(_)) {
            continue;
        }
        objects.push(object);
        if record.expires_at.is_some() {
            erasures::schedule(connection, &record.data_hash, record.expires_at).await?;
        }
    }
    readable_objects::put(connection, &objects).await?;
    Ok(outcomes)
}

/// Keeps the shares that are new.
async fn insert(
    connection: &mut SqliteConnection,
    shares: &[(usize, &NewShare)],
) -> Result<Vec<(usize, ShareInsert)>, CatalogError> {
    let mut outcomes = Vec::with_capacity(shares.len());
    for (sql, run) in INSERT.runs(shares) {
        let names: Vec<Locator> = run
            .iter()
            .map(|(_, share)| share.record.data_hash.locator())
            .collect();
        let mut query = sqlx::query(sql);
        for ((_, share), locator) in run.iter().zip(&names) {
            let (record, key) = (&share.record, share.record.idempotency_key.as_ref());
            query = query
                .bind(locator.as_bytes().to_vec())
                .bind(record.data_hash.as_bytes().to_vec())
                .bind(record.recipient.to_vec())
                .bind(key.map(|key| key.client.clone()))
                .bind(key.map(|key| key.key.clone()))
                .bind(storable(record.created_at)?)
                .bind(record.mandate.as_ref().map(|kept| kept.mandate.digest().to_vec()))
                .bind(record.kind.as_str())
                .bind(record.request.map(|request| request.to_vec()))
                .bind(record.expires_at.map(storable).transpose()?)
                .bind(share.grant_owed);
        }
        let mut inserted = HashSet::<ShareName>::with_capacity(run.len());
        for row in query.fetch_all(&mut *connection).await.map_err(from_sqlx)? {
            inserted.insert((row.bytes("locator")?, row.address("recipient")?));
        }
        for ((place, share), locator) in run.iter().zip(&names) {
            // Removed, so that only the first of two equal shares is the new one.
            let outcome = if inserted.remove(&(*locator.as_bytes(), share.record.recipient)) {
                ShareInsert::Inserted
            } else {
                obstacle(connection, &share.record).await?
            };
            outcomes.push((*place, outcome));
        }
    }
    Ok(outcomes)
}

/// Takes back a share that no event speaks of; whether there was one.
pub(super) async fn take_back(
    connection: &mut SqliteConnection,
    data_hash: &DataHash,
    recipient: Address,
) -> Result<bool, CatalogError> {
    let locator = data_hash.locator().as_bytes().to_vec();
    let query = sqlx::query(TAKE_BACK)
        .bind(locator.clone())
        .bind(recipient.to_vec());
    let Some(row) = query.fetch_optional(&mut *connection).await.map_err(from_sqlx)? else {
        return Ok(false);
    };
    if let Some(digest) = row.optional_bytes("mandate")? {
        mandates::unuse(connection, B256::from(digest)).await?;
    }
    let query = sqlx::query(TAKE_BACK_DELIVERY)
        .bind(locator)
        .bind(recipient.to_vec())
        .bind(data_hash.as_bytes().to_vec());
    query.execute(connection).await.map_err(from_sqlx)?;
    Ok(true)
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
    let kind: &str = row.value("kind")?;
    Ok(ShareRecord {
        data_hash: DataHash::from_bytes(row.bytes("data_hash")?),
        recipient: row.address("recipient")?,
        idempotency_key: client
            .zip(key)
            .map(|(client, key)| IdempotencyKey { client, key }),
        created_at: row.number("created_at")?,
        mandate: mandates::read_joined(row)?,
        kind: kind
            .parse()
            .map_err(|_| corrupt("a share is of an unknown kind"))?,
        request: row.optional_bytes("request")?.map(B256::from),
        expires_at: row.optional_number("ends_at")?,
    })
}

fn read_numbered(row: &SqliteRow) -> Result<NumberedShare, CatalogError> {
    Ok((row.number("id")?, read(row)?))
}

fn read_recorded(row: &SqliteRow) -> Result<(u64, ShareRecord), CatalogError> {
    Ok((row.number("event_index")?, read(row)?))
}

#[async_trait]
impl ShareCatalog for SqliteCatalog {
    async fn commit_share(&self, share: &NewShare) -> Result<ShareInsert, CatalogError> {
        let change = BulkChange::CommitShare(Box::new(share.clone()));
        match self.writer.write(change).await? {
            Outcome::Share(insert) => Ok(insert),
            _ => Err(failed("the outcome is not that of a share")),
        }
    }

    async fn forget_share(&self, data_hash: &DataHash, recipient: Address) -> Result<bool, CatalogError> {
        let data_hash = *data_hash;
        self.make_if_there(OrderedChange::ForgetShare { data_hash, recipient })
            .await
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

    async fn is_shared(&self, data_hash: &DataHash) -> Result<bool, CatalogError> {
        let query = sqlx::query(IS_SHARED).bind(data_hash.locator().as_bytes().to_vec());
        let row = query.fetch_one(&self.reads).await.map_err(from_sqlx)?;
        row.value("is_shared")
    }

    async fn unrecorded_shares(&self, after: u64, limit: usize) -> Result<Vec<NumberedShare>, CatalogError> {
        let query = |rows| sqlx::query(UNRECORDED).bind(bound(after)).bind(rows);
        self.page(SHARES, limit, query, read_numbered).await
    }

    async fn unrecorded_shares_of(&self, data_hash: &DataHash) -> Result<Vec<ShareRecord>, CatalogError> {
        let query = sqlx::query(UNRECORDED_OF).bind(data_hash.locator().as_bytes().to_vec());
        self.all(SHARES, query, read).await
    }

    async fn is_known(&self, id: &ObjectId, chunk_list: &[u8; 32]) -> Result<bool, CatalogError> {
        readable_objects::is_known(&self.reads, id, chunk_list).await
    }

    async fn objects_of(
        &self,
        owner: Address,
        after: Option<Locator>,
        limit: usize,
    ) -> Result<Vec<ReadableObject>, CatalogError> {
        readable_objects::of_owner(self, owner, after, limit).await
    }

    async fn set_grant_owed(
        &self,
        data_hash: &DataHash,
        recipient: Address,
        owed: bool,
    ) -> Result<(), CatalogError> {
        let data_hash = *data_hash;
        self.make(SingleChange::SetGrantOwed {
            data_hash,
            recipient,
            owed,
        })
        .await
    }

    async fn owed_recipients(
        &self,
        after: Option<Address>,
        limit: usize,
    ) -> Result<Vec<Address>, CatalogError> {
        // The empty blob is before all others.
        let after = after.map(|after| after.to_vec()).unwrap_or_default();
        let query = |rows| sqlx::query(OWED_RECIPIENTS).bind(after.clone()).bind(rows);
        let recipient = |row: &SqliteRow| row.address("recipient");
        self.page(RECIPIENTS, limit, query, recipient).await
    }

    async fn owed_grants(
        &self,
        recipient: Address,
        after: u64,
        limit: usize,
    ) -> Result<Vec<NumberedShare>, CatalogError> {
        let query = |rows| {
            sqlx::query(GRANT_OWED)
                .bind(recipient.to_vec())
                .bind(bound(after))
                .bind(rows)
        };
        self.page(SHARES, limit, query, read_numbered).await
    }

    async fn set_replicas(&self, id: &ObjectId, sequence: u64, replicas: u32) -> Result<(), CatalogError> {
        let id = *id;
        self.make(SingleChange::SetReplicas {
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
        readable_objects::under_replicated(self, owner, factor, after, limit).await
    }

    async fn receipts_to_spread(
        &self,
        positions: Range<u64>,
        limit: usize,
    ) -> Result<Vec<(u64, ShareRecord)>, CatalogError> {
        let query = |rows| {
            sqlx::query(RECEIPT_DUE)
                .bind(bound(positions.start))
                .bind(bound(positions.end))
                .bind(rows)
        };
        self.page(SHARES, limit, query, read_recorded).await
    }

    async fn set_receipt_spread(&self, data_hash: &DataHash, recipient: Address) -> Result<(), CatalogError> {
        let data_hash = *data_hash;
        self.make(SingleChange::SetReceiptSpread { data_hash, recipient })
            .await
    }
}
