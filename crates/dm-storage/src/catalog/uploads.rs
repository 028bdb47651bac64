//! Uploads that resume.

use std::collections::BTreeSet;

use async_trait::async_trait;
use bytes::Bytes;
use dm_core::{
    Address,
    hash::DataHash,
    ports::{CatalogError, UploadCatalog},
    share::WrappedKey,
    upload::{OpenUploads, Received, UploadId, UploadRecord, UploadStage},
};

use super::{
    SqliteCatalog,
    change::{Outcome, SingleChange},
    columns::{Columns, bound, row_limit, storable},
    error::{corrupt, from_sqlx},
    sql::{self, Connection, Row},
};

const INSERT: &str = "INSERT INTO uploads
    (id, key_id, length, received, created_at, expires_at, terms, key_version, key_token, tail, refused,
    data_hash)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING";
pub(super) const GET: &str = "SELECT * FROM uploads WHERE id = ?";
pub(super) const ADVANCE: &str =
    "UPDATE uploads SET received = ?, tail = ? WHERE id = ? AND data_hash IS NULL";
pub(super) const REFUSE: &str = "UPDATE uploads SET refused = 1 WHERE id = ? AND data_hash IS NULL";
pub(super) const CLOSE: &str = "UPDATE uploads
    SET data_hash = ?, received = length, tail = NULL, key_version = NULL, key_token = NULL
    WHERE id = ? AND data_hash IS NULL";
pub(super) const REMOVE: &str = "DELETE FROM uploads WHERE id = ?";
/// No id is empty, so that all come after the empty one.
pub(super) const DUE: &str = "SELECT id FROM (
        SELECT id FROM uploads INDEXED BY uploads_by_end WHERE expires_at <= ?1 AND id > ?2
        UNION
        SELECT id FROM uploads INDEXED BY uploads_complete
        WHERE data_hash IS NULL AND received = length AND refused = 0 AND id > ?2
    ) AS subquery ORDER BY id LIMIT +?3";
pub(super) const OPEN_OF: &str =
    "SELECT count(*) AS uploads, CAST(coalesce(sum(length), 0) AS BIGINT) AS bytes
    FROM uploads WHERE data_hash IS NULL AND key_id = ?";
/// Of an upload that is no more nothing is noted.
pub(super) const NOTE_SHARE: &str = "INSERT INTO upload_shares (upload, recipient, locator)
    SELECT id, ?, ? FROM uploads WHERE id = ? ON CONFLICT DO NOTHING";
pub(super) const FORGET_SHARE: &str = "DELETE FROM upload_shares WHERE locator = ? AND recipient = ?";
pub(super) const SHARES_OF: &str = "SELECT recipient FROM upload_shares WHERE upload = ?";
/// Walks through the open ones, of which there are a limited number.
pub(super) const OPEN: &str = "SELECT count(*) AS uploads, CAST(coalesce(sum(length), 0) AS BIGINT) AS bytes
    FROM uploads INDEXED BY uploads_open WHERE data_hash IS NULL";

pub(super) async fn insert(
    connection: &mut Connection<'_>,
    upload: &UploadRecord,
) -> Result<Outcome, CatalogError> {
    let (key, tail, refused, data_hash) = match &upload.stage {
        UploadStage::Open {
            key,
            received,
            refused,
        } => (Some(key), received.tail.as_ref(), *refused, None),
        UploadStage::Shared(data_hash) => (None, None, false, Some(data_hash)),
    };
    let query = sql::query(INSERT)
        .bind(upload.id.0.to_vec())
        .bind(upload.key_id.clone())
        .bind(storable(upload.length)?)
        .bind(storable(upload.offset())?)
        .bind(storable(upload.created_at)?)
        .bind(storable(upload.expires_at)?)
        .bind(upload.terms.to_vec())
        .bind(key.map(|key| key.version))
        .bind(key.map(|key| key.token.clone()))
        .bind(tail.map(|tail| tail.to_vec()))
        .bind(refused)
        .bind(data_hash.map(|hash| hash.as_bytes().to_vec()));
    let done = query.execute(connection).await.map_err(from_sqlx)?;
    Ok(match done {
        0 => Outcome::Refused(format!("there is an upload {}", upload.id)),
        _ => Outcome::Done,
    })
}

pub(super) async fn advance(
    connection: &mut Connection<'_>,
    id: UploadId,
    received: &Received,
) -> Result<Outcome, CatalogError> {
    let query = sql::query(ADVANCE)
        .bind(storable(received.offset)?)
        .bind(received.tail.as_ref().map(|tail| tail.to_vec()))
        .bind(id.0.to_vec());
    let done = query.execute(connection).await.map_err(from_sqlx)?;
    Ok(Outcome::Existed(done > 0))
}

pub(super) async fn refuse(connection: &mut Connection<'_>, id: UploadId) -> Result<Outcome, CatalogError> {
    let query = sql::query(REFUSE).bind(id.0.to_vec());
    let done = query.execute(connection).await.map_err(from_sqlx)?;
    Ok(Outcome::Existed(done > 0))
}

pub(super) async fn close(
    connection: &mut Connection<'_>,
    id: UploadId,
    data_hash: &DataHash,
) -> Result<Outcome, CatalogError> {
    let query = sql::query(CLOSE)
        .bind(data_hash.as_bytes().to_vec())
        .bind(id.0.to_vec());
    let done = query.execute(connection).await.map_err(from_sqlx)?;
    Ok(Outcome::Existed(done > 0))
}

/// Notes with whom the data of an upload is shared.
pub(super) async fn note_shares(
    connection: &mut Connection<'_>,
    id: UploadId,
    data_hash: &DataHash,
    recipients: &[Address],
) -> Result<(), CatalogError> {
    for recipient in recipients {
        let query = sql::query(NOTE_SHARE)
            .bind(recipient.to_vec())
            .bind(data_hash.locator().as_bytes().to_vec())
            .bind(id.0.to_vec());
        query.execute(&mut *connection).await.map_err(from_sqlx)?;
    }
    Ok(())
}

/// A share was taken back, of whatever upload it was.
pub(super) async fn forget_share(
    connection: &mut Connection<'_>,
    data_hash: &DataHash,
    recipient: Address,
) -> Result<(), CatalogError> {
    let query = sql::query(FORGET_SHARE)
        .bind(data_hash.locator().as_bytes().to_vec())
        .bind(recipient.to_vec());
    query.execute(connection).await.map(|_| ()).map_err(from_sqlx)
}

pub(super) async fn remove(connection: &mut Connection<'_>, id: UploadId) -> Result<Outcome, CatalogError> {
    let query = sql::query(REMOVE).bind(id.0.to_vec());
    let done = query.execute(connection).await.map_err(from_sqlx)?;
    Ok(Outcome::Existed(done > 0))
}

fn read(row: &Row) -> Result<UploadRecord, CatalogError> {
    let stage = match row.optional_bytes("data_hash")? {
        Some(hash) => UploadStage::Shared(DataHash::from_bytes(hash)),
        None => UploadStage::Open {
            key: WrappedKey {
                version: row.small_number("key_version")?,
                token: row
                    .value::<Option<String>>("key_token")?
                    .ok_or_else(|| corrupt("an open upload has no key"))?,
            },
            received: Received {
                offset: row.number("received")?,
                tail: row.value::<Option<Vec<u8>>>("tail")?.map(Bytes::from),
            },
            refused: row.value("refused")?,
        },
    };
    Ok(UploadRecord {
        id: UploadId(row.bytes("id")?),
        key_id: row.value("key_id")?,
        length: row.number("length")?,
        created_at: row.number("created_at")?,
        expires_at: row.number("expires_at")?,
        terms: row.value::<Vec<u8>>("terms")?.into(),
        stage,
    })
}

#[async_trait]
impl UploadCatalog for SqliteCatalog {
    async fn insert_upload(&self, upload: &UploadRecord) -> Result<(), CatalogError> {
        self.make(SingleChange::InsertUpload(Box::new(upload.clone())))
            .await
    }

    async fn upload(&self, id: UploadId) -> Result<Option<UploadRecord>, CatalogError> {
        let query = sql::query(GET).bind(id.0.to_vec());
        let row = query.fetch_optional(&self.reads).await.map_err(from_sqlx)?;
        row.as_ref().map(read).transpose()
    }

    async fn advance_upload(&self, id: UploadId, received: &Received) -> Result<bool, CatalogError> {
        let received = received.clone();
        self.make_if_there(SingleChange::AdvanceUpload { id, received })
            .await
    }

    async fn refuse_upload(&self, id: UploadId) -> Result<bool, CatalogError> {
        self.make_if_there(SingleChange::RefuseUpload(id)).await
    }

    async fn close_upload(&self, id: UploadId, data_hash: &DataHash) -> Result<bool, CatalogError> {
        let data_hash = *data_hash;
        self.make_if_there(SingleChange::CloseUpload { id, data_hash })
            .await
    }

    async fn note_upload_shares(
        &self,
        id: UploadId,
        data_hash: &DataHash,
        recipients: &[Address],
    ) -> Result<(), CatalogError> {
        self.make(SingleChange::NoteUploadShares {
            id,
            data_hash: *data_hash,
            recipients: recipients.to_vec(),
        })
        .await
    }

    async fn upload_shares(&self, id: UploadId) -> Result<BTreeSet<Address>, CatalogError> {
        let query = sql::query(SHARES_OF).bind(id.0.to_vec());
        let rows = query.fetch_all(&self.reads).await.map_err(from_sqlx)?;
        rows.iter().map(|row| row.address("recipient")).collect()
    }

    async fn remove_upload(&self, id: UploadId) -> Result<bool, CatalogError> {
        self.make_if_there(SingleChange::RemoveUpload(id)).await
    }

    async fn due_uploads(
        &self,
        now: u64,
        after: Option<UploadId>,
        limit: usize,
    ) -> Result<Vec<UploadId>, CatalogError> {
        let query = sql::query(DUE)
            .bind(bound(now))
            .bind(after.map_or_else(Vec::new, |id| id.0.to_vec()))
            .bind(row_limit(limit));
        let rows = query.fetch_all(&self.reads).await.map_err(from_sqlx)?;
        rows.iter().map(|row| Ok(UploadId(row.bytes("id")?))).collect()
    }

    async fn open_uploads(&self, key_id: Option<&str>) -> Result<OpenUploads, CatalogError> {
        let query = match key_id {
            Some(key_id) => sql::query(OPEN_OF).bind(key_id.to_owned()),
            None => sql::query(OPEN),
        };
        let row = query.fetch_one(&self.reads).await.map_err(from_sqlx)?;
        Ok(OpenUploads {
            count: row.number("uploads")?,
            bytes: row.number("bytes")?,
        })
    }
}
