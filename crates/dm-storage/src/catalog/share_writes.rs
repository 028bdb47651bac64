//! Changes of shares, the frequent kinds many at a time.

use std::{collections::HashSet, sync::LazyLock};

use dm_core::{
    Address, B256,
    hash::{DataHash, Locator},
    ports::{CatalogError, ShareInsert},
    share::{NewShare, ShareRecord},
};

use super::{
    bulk::BulkStatement,
    columns::{Columns, storable},
    erasures,
    error::{failed, from_sqlx},
    mandates, readable_objects, sent,
    shares::{by_key, by_recipient},
    sql::{self, Connection},
    uploads,
};

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
            CAST(EXISTS (SELECT 1 FROM replicas
                WHERE replicas.locator = column1 AND replicas.replicas > 0) AS INTEGER)
         FROM",
        11,
        "ON CONFLICT DO NOTHING RETURNING locator, recipient",
    )
});

type ShareName = ([u8; 32], Address);

/// Lets shares come into being, with their objects and all that belongs to them, and
/// says of each, by its place, what became of it.
pub(super) async fn commit(
    connection: &mut Connection<'_>,
    shares: &[(usize, &NewShare)],
) -> Result<Vec<(usize, ShareInsert)>, CatalogError> {
    let outcomes = insert(connection, shares).await?;
    let mut objects = Vec::new();
    let mut new = Vec::new();
    for ((_, share), (_, outcome)) in shares.iter().zip(&outcomes) {
        let (record, is_new) = (&share.record, *outcome == ShareInsert::Inserted);
        if is_new && let Some(mandate) = &record.mandate {
            mandates::insert(connection, mandate).await?;
        }
        if is_new {
            new.push(*share);
        }
        if matches!(outcome, ShareInsert::KeyReused(_)) {
            continue;
        }
        if let Some(upload) = share.upload {
            uploads::note_shares(connection, upload, &record.data_hash, &[record.recipient]).await?;
        }
        let Some(object) = &share.object else { continue };
        objects.push(object);
        if record.expires_at.is_some() {
            erasures::schedule(connection, &record.data_hash, record.expires_at).await?;
        }
    }
    readable_objects::put(connection, &objects).await?;
    sent::begin(connection, &new).await?;
    Ok(outcomes)
}

/// Keeps the shares that are new.
async fn insert(
    connection: &mut Connection<'_>,
    shares: &[(usize, &NewShare)],
) -> Result<Vec<(usize, ShareInsert)>, CatalogError> {
    let mut outcomes = Vec::with_capacity(shares.len());
    for (sql, run) in INSERT.runs(shares) {
        let names: Vec<Locator> = run
            .iter()
            .map(|(_, share)| share.record.data_hash.locator())
            .collect();
        let mut query = sql::query(sql);
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
    connection: &mut Connection<'_>,
    data_hash: &DataHash,
    recipient: Address,
) -> Result<bool, CatalogError> {
    let locator = data_hash.locator().as_bytes().to_vec();
    let query = sql::query(TAKE_BACK)
        .bind(locator.clone())
        .bind(recipient.to_vec());
    let Some(row) = query.fetch_optional(&mut *connection).await.map_err(from_sqlx)? else {
        return Ok(false);
    };
    sent::forget(connection, data_hash, recipient).await?;
    uploads::forget_share(connection, data_hash, recipient).await?;
    if let Some(digest) = row.optional_bytes("mandate")? {
        mandates::unuse(connection, B256::from(digest)).await?;
    }
    let query = sql::query(TAKE_BACK_DELIVERY)
        .bind(locator)
        .bind(recipient.to_vec())
        .bind(data_hash.as_bytes().to_vec());
    query.execute(connection).await.map_err(from_sqlx)?;
    Ok(true)
}

/// What keeps a share from being new.
async fn obstacle(connection: &mut Connection<'_>, share: &ShareRecord) -> Result<ShareInsert, CatalogError> {
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

pub(super) async fn set_grant_owed(
    connection: &mut Connection<'_>,
    data_hash: &DataHash,
    recipient: Address,
    owed: bool,
) -> Result<(), CatalogError> {
    let query = sql::query(SET_GRANT_OWED)
        .bind(owed)
        .bind(data_hash.locator().as_bytes().to_vec())
        .bind(recipient.to_vec());
    query.execute(connection).await.map(|_| ()).map_err(from_sqlx)
}

pub(super) async fn set_receipt_spread(
    connection: &mut Connection<'_>,
    data_hash: &DataHash,
    recipient: Address,
) -> Result<(), CatalogError> {
    let query = sql::query(SET_RECEIPT_SPREAD)
        .bind(data_hash.locator().as_bytes().to_vec())
        .bind(recipient.to_vec());
    query.execute(connection).await.map(|_| ()).map_err(from_sqlx)
}

/// Deletes the share of this data with this recipient.
pub(super) async fn remove(
    connection: &mut Connection<'_>,
    data_hash: &DataHash,
    recipient: Address,
) -> Result<(), CatalogError> {
    let query = sql::query(REMOVE)
        .bind(data_hash.locator().as_bytes().to_vec())
        .bind(recipient.to_vec());
    query.execute(connection).await.map(|_| ()).map_err(from_sqlx)
}

/// Deletes the shares of this data with everybody.
pub(super) async fn remove_all(
    connection: &mut Connection<'_>,
    data_hash: &DataHash,
) -> Result<(), CatalogError> {
    let query = sql::query(REMOVE_ALL).bind(data_hash.locator().as_bytes().to_vec());
    query.execute(connection).await.map(|_| ()).map_err(from_sqlx)
}
