//! The shares of this node.

use std::ops::Range;

use async_trait::async_trait;
use dm_core::{
    Address, B256,
    envelope::ObjectId,
    hash::{DataHash, Locator},
    idempotency::IdempotencyKey,
    ports::{CatalogError, NumberedShare, ShareCatalog, ShareInsert},
    share::{NewShare, ReadableObject, ShareRecord},
};

use super::{
    SqliteCatalog,
    change::{BulkChange, OrderedChange, Outcome, SingleChange},
    columns::{Columns, bound},
    error::{corrupt, failed, from_sqlx},
    mandates,
    pages::Source,
    readable_objects, replicas,
    sql::{self, Row, Target},
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
    " WHERE s.event_index IS NULL AND s.id > ? ORDER BY s.id LIMIT +?"
);
pub(super) const UNRECORDED_OF: &str = concat!(
    select_shares!(),
    " WHERE s.locator = ? AND s.event_index IS NULL ORDER BY s.recipient"
);
pub(super) const IS_SHARED: &str = "SELECT EXISTS (SELECT 1 FROM shares WHERE locator = ?) AS is_shared";
pub(super) const OWED_RECIPIENTS: &str = "SELECT DISTINCT recipient FROM shares
    WHERE grant_owed = 1 AND recipient > ? ORDER BY recipient LIMIT +?";
pub(super) const GRANT_OWED: &str = concat!(
    select_shares!(),
    " WHERE s.grant_owed = 1 AND s.recipient = ? AND s.id > ? ORDER BY s.id LIMIT +?"
);
pub(super) const RECEIPT_DUE: &str = concat!(
    select_shares!(),
    " WHERE s.receipt_state = 1 AND s.event_index >= ? AND s.event_index < ?
      AND EXISTS (SELECT 1 FROM readable_objects r WHERE r.locator = s.locator AND r.replicas > 0)
      ORDER BY s.event_index LIMIT +?"
);
pub(super) const IS_RECEIPT_SPREAD: &str = "SELECT EXISTS (SELECT 1 FROM shares
    WHERE locator = ? AND recipient = ? AND receipt_state = 2) AS is_spread";

pub(super) async fn by_recipient(
    executor: impl Into<Target<'_>>,
    data_hash: &DataHash,
    recipient: Address,
) -> Result<Option<ShareRecord>, CatalogError> {
    let query = sql::query(BY_RECIPIENT)
        .bind(data_hash.locator().as_bytes().to_vec())
        .bind(recipient.to_vec());
    let row = query.fetch_optional(executor).await.map_err(from_sqlx)?;
    row.as_ref().map(read).transpose()
}

pub(super) async fn by_key(
    executor: impl Into<Target<'_>>,
    key: &IdempotencyKey,
) -> Result<Option<ShareRecord>, CatalogError> {
    let query = sql::query(BY_KEY).bind(key.client.clone()).bind(key.key.clone());
    let row = query.fetch_optional(executor).await.map_err(from_sqlx)?;
    row.as_ref().map(read).transpose()
}

fn read(row: &Row) -> Result<ShareRecord, CatalogError> {
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

fn read_numbered(row: &Row) -> Result<NumberedShare, CatalogError> {
    Ok((row.number("id")?, read(row)?))
}

fn read_recorded(row: &Row) -> Result<(u64, ShareRecord), CatalogError> {
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
        let query = sql::query(IS_SHARED).bind(data_hash.locator().as_bytes().to_vec());
        let row = query.fetch_one(&self.reads).await.map_err(from_sqlx)?;
        row.value("is_shared")
    }

    async fn unrecorded_shares(&self, after: u64, limit: usize) -> Result<Vec<NumberedShare>, CatalogError> {
        let query = |rows| sql::query(UNRECORDED).bind(bound(after)).bind(rows);
        self.page(SHARES, limit, query, read_numbered).await
    }

    async fn unrecorded_shares_of(&self, data_hash: &DataHash) -> Result<Vec<ShareRecord>, CatalogError> {
        let query = sql::query(UNRECORDED_OF).bind(data_hash.locator().as_bytes().to_vec());
        self.all(SHARES, query, read).await
    }

    async fn is_known(&self, id: &ObjectId, chunk_list: &[u8; 32]) -> Result<bool, CatalogError> {
        readable_objects::is_known(self, id, chunk_list).await
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
        let query = |rows| sql::query(OWED_RECIPIENTS).bind(after.clone()).bind(rows);
        let recipient = |row: &Row| row.address("recipient");
        self.page(RECIPIENTS, limit, query, recipient).await
    }

    async fn owed_grants(
        &self,
        recipient: Address,
        after: u64,
        limit: usize,
    ) -> Result<Vec<NumberedShare>, CatalogError> {
        let query = |rows| {
            sql::query(GRANT_OWED)
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
            sql::query(RECEIPT_DUE)
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

    async fn is_receipt_spread(&self, locator: &Locator, recipient: Address) -> Result<bool, CatalogError> {
        let query = sql::query(IS_RECEIPT_SPREAD)
            .bind(locator.as_bytes().to_vec())
            .bind(recipient.to_vec());
        let row = query.fetch_one(&self.reads).await.map_err(from_sqlx)?;
        row.value("is_spread")
    }
}
